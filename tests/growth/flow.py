"""Loops, branches, jumps, conditions, calls."""

from __future__ import annotations

from growth.pieces import FAULTY, HEAD, HEALTHY, before, indented, many, within


def functions(body: str, last: str, call: str = "f0(optimizer)\n", parameters: str = "o") -> object:
    """Functions of which each calls the next one, as `body` says, and the last does something else."""

    def make(size: int) -> str:
        made = "".join(
            f"def f{number}({parameters}):\n"
            + indented(body.replace("{+}", str(number + 1)).replace("{++}", str(min(number + 2, size))))
            for number in range(size)
        )
        return f"{HEAD}{made}def f{size}({parameters}): {last}\nfor x in loader:\n    loss.backward()\n    {call}"

    return make


def in_loop(lines: str, size: int) -> str:
    """Lines, each with a number of its own, in a loop."""
    return f"{HEAD}for i, x in enumerate(loader):\n    loss = model(x).sum()\n" + indented(many(lines, size))


SHAPES = {
    "loops of a module": lambda size: HEAD + HEALTHY * size,
    "faulty loops of a module": lambda size: HEAD + FAULTY * size,
    "loops of a function": lambda size: f"{HEAD}def f():\n" + indented(HEALTHY * size),
    "faulty loops of a function": lambda size: f"{HEAD}def f():\n" + indented(FAULTY * size),
    "loops over one loop": lambda size: f"{HEAD}for epoch in range(9):\n" + indented(HEALTHY * size),
    "faulty loops over one loop": lambda size: f"{HEAD}for epoch in range(9):\n" + indented(FAULTY * size),
    "loops without events": lambda size: before(many("for a{} in b:\n    c{} = a{}\n", size)),
    "loops that only step": lambda size: before("for x in loader:\n    optimizer.step()\n" * size),
    "loops that only go backward": lambda size: before("for x in loader:\n    loss.backward()\n" * size),
    "loops with a break": lambda size: before(
        "for x in loader:\n    if a: break\n    loss.backward()\n    optimizer.step()\n" * size
    ),
    "functions that train": lambda size: HEAD + many("def f{}(loader):\n" + indented(HEALTHY), size),
    "functions that train badly": lambda size: HEAD + many("def f{}(loader):\n" + indented(FAULTY), size),
    "functions that are given all": lambda size: (
        HEAD + many("def f{}(model, optimizer, loader):\n" + indented(FAULTY), size)
    ),
    "functions that train, and are called": lambda size: (
        HEAD + many("def f{}():\n" + indented(FAULTY), size) + many("f{}()\n", size)
    ),
    "one function that is called": lambda size: f"{HEAD}def f():\n" + indented(FAULTY) + "f()\n" * size,
    "one function that is called in a loop": lambda size: (
        f"{HEAD}def f():\n    loss.backward()\n    optimizer.step()\nfor x in loader:\n" + "    f()\n" * size
    ),
    "functions without events": lambda size: before(many("def f{}(a):\n    return a + {}\n", size)),
    "functions without events that are called": lambda size: (
        before(many("def f{}(a):\n    return a + {}\n", size)) + many("    f{}(x)\n", size)
    ),
    "functions that call one that trains": lambda size: (
        f"{HEAD}def g(o):\n" + indented(FAULTY) + many("def f{}(o):\n    for x in loader: g(o)\n", size)
    ),
    "functions that step": lambda size: (
        HEAD + many("def f{}(o):\n    o.step()\n", size) + FAULTY + many("    f{}(optimizer)\n", size)
    ),
    "functions that make functions": lambda size: (
        HEAD + many("def f{}():\n    def g():\n" + indented(indented(FAULTY)) + "    return g\n", size)
    ),
    "functions that are made in one": lambda size: (
        f"{HEAD}def f():\n" + indented(many("def g{}():\n" + indented(FAULTY), size))
    ),
    "functions that are given away": lambda size: HEAD + many("def f{}():\n" + indented(FAULTY) + "run(f{})\n", size),
    "generators": lambda size: (
        HEAD
        + many(
            "def f{}():\n    for x in loader:\n        loss.backward()\n        yield x\n        optimizer.step()\n",
            size,
        )
        + many("for x in f{}(): loss.backward()\n", size)
    ),
    "closures": lambda size: (
        f"{HEAD}for x in loader:\n"
        + many("    def c{}():\n        loss.backward()\n        return loss\n    optimizer.step(c{})\n", size)
    ),
    "one closure": lambda size: (
        f"{HEAD}for x in loader:\n    def c():\n        loss.backward()\n        return loss\n"
        + "    optimizer.step(c)\n" * size
    ),
    "functions that call the next one": functions("f{+}(o)\n", "o.step()"),
    "functions that call the next one and step": functions("f{+}(o)\no.step()\n", "o.step()"),
    "functions that call the next one twice": functions("f{+}(o)\nf{+}(o)\n", "o.step()"),
    "functions that call the next one twice and step": functions("f{+}(o)\no.step()\nf{+}(o)\n", "o.step()"),
    "functions that call the next two": functions("f{+}(o)\nf{++}(o)\n", "o.step()"),
    "functions that call the next one on a condition": functions("if a: f{+}(o)\nelse: f{++}(o)\n", "o.step()"),
    "functions that call the next one in a loop": functions("for x in loader: f{+}(o)\n", "loss.backward(); o.step()"),
    "functions that give twice what the next one does": functions("return f{+}(o), f{+}(o)\n", "return o"),
    "functions that return what the next one does": functions("return f{+}(o)\n", "return o", "f0(optimizer).step()\n"),
    "functions that give the next one more": functions("f{+}((o, o))\n", "o[0].step()"),
    "functions that have the next one as a default": functions("o(f{+})\n", "o.step()"),
    "functions that call each other": lambda size: (
        HEAD
        + many("def f{}():\n" + indented(many("f{}()\n", 40)) + "    loss.backward()\n", 40) * max(size // 40, 1)
        + "f0()\n"
    ),
    "functions that call all of them": lambda size: (
        HEAD
        + many("def f{}():\n    g()\n    optimizer.step()\n", size)
        + "def g():\n"
        + many("    f{}()\n", size)
        + "for x in loader: g()\n"
    ),
    "functions that call many, and train": lambda size: (
        HEAD
        + many("def g{}(): optimizer.step()\n", 20)
        + many(
            "def f{}():\n" + indented(FAULTY) + indented(indented("".join(f"g{n}()\n" for n in range(20)))),
            max(size // 20, 1),
        )
    ),
    "functions that look for words": lambda size: (
        HEAD
        + "".join(f"def f{n}(): f{n + 1}()\n" for n in range(size))
        + f"def f{size}(): optimizer.step()\n"
        + "".join(f"def g{n}():\n    for x in loader: f{n}()\n" for n in range(0, size, 10))
    ),
    "choices": lambda size: in_loop("if a{}: loss.backward()\n", size),
    "choices of one thing": lambda size: in_loop("if a: loss.backward()\n", size),
    "choices between two": lambda size: in_loop("if a{}: loss.backward()\nelse: optimizer.step()\n", size),
    "choices of one variable each": lambda size: in_loop("if a{}: loss.backward()\nif a{}: optimizer.step()\n", size),
    "choices, then the same again": lambda size: (
        in_loop("if a{}: loss.backward()\n", size) + indented(many("if a{}: optimizer.step()\n", size))
    ),
    "choices, then the same again backwards": lambda size: (
        in_loop("if a{}: loss.backward()\n", size)
        + indented("".join(f"if a{n}: optimizer.step()\n" for n in reversed(range(size))))
    ),
    "choices of numbers": lambda size: in_loop("if i % {} == 0: optimizer.step()\n", size + 1),
    "choices about one thing": lambda size: in_loop("if a == {}: loss.backward()\n", size),
    "choices about one thing, twice": lambda size: in_loop(
        "if a == {}: loss.backward()\nif a == {}: optimizer.step()\n", size
    ),
    "choices, each with a clear": lambda size: (
        in_loop("if a{}: optimizer.zero_grad()\n", size) + "    loss.backward()\n    optimizer.step()\n"
    ),
    "choices of pairs": lambda size: (
        in_loop("if a{} and b{} or not c{}: optimizer.zero_grad()\nelse: loss.backward()\n", size)
        + "    optimizer.step()\n"
    ),
    "choices that set what they read": lambda size: (
        in_loop("if a{}:\n    loss.backward()\n    a{} = False\n", size) + "    optimizer.step()\n"
    ),
    "choices that set what others read": lambda size: (
        in_loop("if a{}: loss.backward()\na = 1\n", size) + indented(many("if a{}: optimizer.step()\n", size))
    ),
    "choices of what is called": lambda size: in_loop("if a{}(): loss.backward()\nif a{}(): optimizer.step()\n", size),
    "choices of attributes": lambda size: in_loop(
        "if self.a{}: loss.backward()\nif self.a{}: optimizer.step()\n", size
    ),
    "choices of values": lambda size: in_loop("b = (loss if a{} else model)\nif a{}: b.backward()\n", size),
    "choices without events": lambda size: (
        in_loop("if a{}: b = {}\n", size) + "    loss.backward()\n    optimizer.step()\n"
    ),
    "choices with a return": lambda size: (
        f"{HEAD}def f():\n  for x in loader:\n"
        + many("    if a{}: return\n    loss.backward()\n", size)
        + "    optimizer.step()\n"
    ),
    "breaks": lambda size: in_loop("if a{}: break\nloss.backward()\n", size) + "    optimizer.step()\n",
    "continues": lambda size: in_loop("if a{}: continue\nloss.backward()\n", size) + "    optimizer.step()\n",
    "continues without events": lambda size: (
        in_loop("if a{}: continue\n", size) + "    loss.backward()\n    optimizer.step()\n"
    ),
    "continues that clear": lambda size: (
        in_loop("if a{}:\n    optimizer.zero_grad()\n    continue\n", size)
        + "    loss.backward()\n    optimizer.step()\n"
    ),
    "raises": lambda size: in_loop("if a{}: raise E\nloss.backward()\n", size) + "    optimizer.step()\n",
    "exits": lambda size: in_loop("if a{}: sys.exit()\nloss.backward()\n", size) + "    optimizer.step()\n",
    "loops in a loop": lambda size: in_loop("for y in z{}: loss.backward()\n", size) + "    optimizer.step()\n",
    "loops with breaks in a loop": lambda size: in_loop(
        "for y in z{}:\n    if a: break\n    loss.backward()\nelse: optimizer.step()\n", size
    ),
    "loops in a loop that step": lambda size: in_loop(
        "for y in loader:\n    loss.backward()\n    optimizer.step()\n", size
    ),
    "endless loops": lambda size: before(
        "while True:\n    loss.backward()\n    if a: break\n    optimizer.step()\n" * size
    ),
    "endless loops without an end": lambda size: before(
        "def f():\n    while True:\n        loss.backward()\n        optimizer.step()\n" * size
    ),
    "code behind a return": lambda size: (
        f"{HEAD}def f():\n" + indented(FAULTY) + "    return\n" + many("    a{} = loss.backward()\n", size)
    ),
    "assignments between events": lambda size: in_loop("a{} = 1\nloss.backward()\n", size) + "    optimizer.step()\n",
    "assignments between choices": lambda size: (
        in_loop("a{} = 1\nif b{}: loss.backward()\n", size) + "    optimizer.step()\n"
    ),
    "assignments in two branches": lambda size: (
        in_loop("if c{}: a{} = 1\nelse: b{} = 2\n", size) + "    loss.backward()\n    optimizer.step()\n"
    ),
    "many names, then choices": lambda size: before(many("n{} = Wrapper()\n", size) + many("if c{}: d = 1\n", size)),
    "many names, then tries": lambda size: before(
        many("n{} = Wrapper()\n", size) + "try: f()\nexcept E: d = 1\n" * size
    ),
    "many names, then comprehensions": lambda size: before(
        many("n{} = Wrapper()\n", size) + "d = [a for a in b]\n" * size
    ),
    "many names, then cases": lambda size: before(
        many("n{} = Wrapper()\n", size) + "match a:\n" + many("  case {}: d = 1\n", size)
    ),
    "many names, then elifs": lambda size: before(
        many("n{} = Wrapper()\n", size) + "if a: d = 1\n" + many("elif a{}: d = 1\n", size)
    ),
    "many names that branches set": lambda size: before(
        f"if c:\n{indented(many('n{} = A()' + chr(10), size))}else:\n{indented(many('n{} = B()' + chr(10), size))}"
    ),
    "tries that return": lambda size: (
        f"{HEAD}def f():\n"
        + indented("try:\n    if a: return\n    loss.backward()\nfinally:\n    optimizer.step()\n" * size)
    ),
    "handlers of one try": lambda size: within(
        "try:\n  loss.backward()\n" + many("except E{}:\n  optimizer.step()\n", size)
    ),
}
