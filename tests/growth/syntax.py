"""Every construct many times, long, or nested as deeply as Python allows."""

from __future__ import annotations

from growth.pieces import FAULTY, HEAD, before, indented, many, several, within

_DEEPEST = 90
"""Python takes 100 levels of indentation."""


def nested(head: str, body: str, tail: str = "") -> str:
    """A block within a block, as deep as Python allows. `head` and `tail` stand at each level."""
    lines = "".join(f"{' ' * level}{head.replace('{}', str(level))}\n" for level in range(_DEEPEST))
    tails = "".join(
        f"{' ' * level}{line}\n" for level in reversed(range(_DEEPEST)) for line in tail.split("\n") if tail
    )
    return f"{lines}{' ' * _DEEPEST}{body}\n{tails}"


def towers(head: str, body: str = "loss.backward()", tail: str = "") -> object:
    """So many such blocks that there are about `size` lines."""
    return lambda size: before(nested(head, body, tail) * max(size // (_DEEPEST * (2 if tail else 1)), 1))


def brackets(opening: str, closing: str, inner: str = "a", depth: int = 80) -> object:
    """Brackets within brackets, as deep as Python allows, line after line."""
    return lambda size: within(f"x = {opening * depth}{inner}{closing * depth}\n" * max(size // depth, 1))


SHAPES = {
    "ifs within ifs": towers("if a{}:"),
    "ifs within ifs, with an else": towers("if a{}:", "loss.backward()", "else: optimizer.step()"),
    "the same if within itself": towers("if a:"),
    "loops within loops": towers("for a{} in b{}:"),
    "loops within loops that step": towers("for a{} in b{}:", "loss.backward(); optimizer.step()", " optimizer.step()"),
    "loops over data within loops": towers("for a{} in loader{}:", "loss.backward(); optimizer.step()"),
    "whiles within whiles": towers("while a{}:"),
    "withs within withs": towers("with a{}:"),
    "tries within tries": towers("try:", "loss.backward()", "except E: optimizer.step()"),
    "tries within tries with finally": towers("try:", "loss.backward()", "finally: optimizer.step()"),
    "tries within finally": lambda size: (
        f"{HEAD}def f():\n"
        + indented(
            (
                "".join(f"{' ' * level}try: return\n{' ' * level}finally:\n" for level in range(_DEEPEST))
                + f"{' ' * _DEEPEST}loss.backward()\n"
            )
            * max(size // _DEEPEST, 1)
        )
        + FAULTY
    ),
    "returns within tries with finally": lambda size: (
        f"{HEAD}def f():\n"
        + indented(nested("try:", "return loss.backward()", "finally: optimizer.step()"))
        + "for x in loader:\n"
        + "    f()\n" * max(size // _DEEPEST, 1)
    ),
    "functions within functions": towers("def f{}():"),
    "classes within classes": towers("class A{}:", "a = 1"),
    "matches within matches": lambda size: before(
        (
            "".join(f"{' ' * 2 * level}match a:\n{' ' * (2 * level + 1)}case {level}:\n" for level in range(45))
            + f"{' ' * 90}loss.backward()\n"
        )
        * max(size // 90, 1)
    ),
    "ifs within a loop": lambda size: within(nested("if a{}:", "loss.backward()") * max(size // _DEEPEST, 1)),
    "parentheses": brackets("(", ")"),
    "lists": brackets("[", "]"),
    "tuples": brackets("(", ",)"),
    "dicts": brackets("{'a': ", "}"),
    "calls of calls": brackets("f(", ")"),
    "calls with the optimizer": brackets("f(optimizer, ", ")"),
    "subscripts of subscripts": brackets("a[", "]"),
    "lambdas in calls": brackets("f(lambda: ", ")"),
    "conditional expressions in parentheses": brackets("(a if b else ", ")"),
    "conditional expressions of backward passes": brackets("(loss.backward() if b else ", ")"),
    "conjunctions in parentheses": brackets("(a and b or ", ")"),
    "assignment expressions in parentheses": brackets("(a := ", ")"),
    "comprehensions of comprehensions": brackets("[a for a in ", "]", depth=60),
    "dict comprehensions of themselves": brackets("{a: a for a in ", "}", depth=60),
    "generators of generators": brackets("(a for a in ", ")", depth=60),
    "comprehensions in comprehensions": brackets("[", " for a in b]", depth=60),
    "comprehensions with backward in themselves": brackets("[", " for a in b]", "loss.backward()", depth=60),
    "f-strings in f-strings": brackets('f"{f', '}"', "'a'", depth=1),
    "sums in parentheses": brackets("(a + ", ")"),
    "comparisons in parentheses": brackets("(a < ", ")"),
    "a sum": lambda size: within(f"x = {several('a{}', size, ' + ')}\n"),
    "a sum of losses": lambda size: within(f"loss = {several('loss', size, ' + ')}\n"),
    "a product": lambda size: within(f"x = {several('a', size, ' * ')}\n"),
    "a quotient": lambda size: within(f"loss = loss / {several('a', size, ' / ')}\n"),
    "a power": lambda size: within(f"x = {several('a', min(size, 1000), ' ** ')}\n"),
    "a conjunction": lambda size: within(f"if {several('a{}', size, ' and ')}:\n    loss.backward()\n"),
    "a disjunction": lambda size: within(f"if {several('a{}', size, ' or ')}:\n    loss.backward()\n"),
    "a mixed condition": lambda size: within(f"if {several('a{} and b{}', size, ' or ')}:\n    loss.backward()\n"),
    "short conditions": lambda size: within(
        many(f"if {several('a{}', 90, ' and ')}:\n    loss.backward()\n", max(size // 90, 1))
    ),
    "a conjunction that is a value": lambda size: within(f"x = {several('a{}', size, ' and ')}\n"),
    "a comparison": lambda size: within(f"x = {several('a{}', size, ' < ')}\n"),
    "a comparison that decides": lambda size: within(f"if {several('a{}', size, ' < ')}:\n    loss.backward()\n"),
    "conditional expressions": lambda size: within(f"x = {'a if b else ' * min(size, 1500)}c\n"),
    "minus signs": lambda size: within(f"x = {'-' * min(size, 1500)}a\n"),
    "nots": lambda size: within(f"x = {'not ' * min(size, 1500)}a\n"),
    "attributes": lambda size: within(f"x = loss{'.a' * size}\n"),
    "attributes of an optimizer": lambda size: before(f"a{'.b' * size} = optimizer\na{'.b' * size}.step()\n"),
    "attribute chains": lambda size: within(f"x = a{'.b' * 50}\n" * max(size // 50, 1)),
    "calls one after the other": lambda size: within(f"x = loss{'.a()' * size}\n"),
    "calls of what was called": lambda size: within(f"x = f{'()' * size}\n"),
    "subscripts one after the other": lambda size: within(f"x = loss{'[0]' * size}\n"),
    "strings one after the other": lambda size: within("x = " + "'a' " * size + "\n"),
    "an f-string": lambda size: within(f"x = f'{'{a}' * size}'\n"),
    "an f-string of backward passes": lambda size: within(f"x = f'{'{loss.backward()}' * size}'\n"),
    "a list": lambda size: within(f"x = [{several('a{}', size)}]\n"),
    "a tuple": lambda size: within(f"x = {several('a{}', size)}\n"),
    "a set": lambda size: within(f"x = {{{several('a{}', size)}}}\n"),
    "a dict": lambda size: within(f"x = {{{several('a{}: b{}', size)}}}\n"),
    "a dict of strings": lambda size: within("x = {" + several("'a{}': {}", size) + "}\n"),
    "arguments": lambda size: within(f"f({several('a{}', size)})\n"),
    "keyword arguments": lambda size: within(f"f({several('a{}=b{}', size)})\n"),
    "starred arguments": lambda size: within(f"f({several('*a{}', size)})\n"),
    "arguments that are optimizers": lambda size: within(f"f({several('optimizer', size)})\n"),
    "parameters": lambda size: before(f"def f({several('a{}', size)}): loss.backward()\nf({several('a{}', size)})\n"),
    "parameters with defaults": lambda size: before(f"def f({several('a{}=1', size)}): loss.backward()\nf()\n"),
    "parameters of a lambda": lambda size: within(f"f(lambda {several('a{}', size)}: loss.backward())\n"),
    "keyword parameters": lambda size: before(
        f"def f(*, {several('a{}', size)}): loss.backward()\nf({several('a{}=1', size)})\n"
    ),
    "decorators": lambda size: before("@d\n" * size + "def f(): loss.backward()\nf()\n"),
    "decorators of methods": lambda size: before(
        "class A:\n" + "    @d\n" * size + "    def f(self): loss.backward()\n"
    ),
    "bases": lambda size: before(f"class A({several('B{}', size)}):\n    def f(self): self.optimizer.step()\n"),
    "keywords of a class": lambda size: before(
        f"class A({several('b{}=1', size)}):\n    def f(self): self.optimizer.step()\n"
    ),
    "elifs": lambda size: within("if a: pass\n" + many("elif a{}: loss.backward()\n", size)),
    "elifs about one thing": lambda size: within(
        "if a == 'a': pass\n" + many("elif a == '{}': loss.backward()\n", size)
    ),
    "elifs that do nothing": lambda size: within("if a: pass\n" + many("elif a{}: b = {}\n", size)),
    "elifs in a function": lambda size: before(
        "def f():\n  if a: pass\n" + many("  elif a{}:\n    return {}\n", size) + indented(FAULTY)
    ),
    "cases": lambda size: within("match x:\n" + many("  case {}: loss.backward()\n", size)),
    "cases that do nothing": lambda size: within("match x:\n" + many("  case {}: y = 1\n", size)),
    "alternatives of a case": lambda size: within(f"match x:\n  case {several('{}', size, ' | ')}: loss.backward()\n"),
    "handlers": lambda size: within("try:\n  f()\n" + many("except E{}:\n  loss.backward()\n", size)),
    "tries": lambda size: within(many("try:\n  f()\nexcept E:\n  loss.backward()\n", size)),
    "tries with finally": lambda size: within(many("try:\n  f()\nfinally:\n  loss.backward()\n", size)),
    "managers of one with": lambda size: within(f"with {several('a{} as b{}', size)}:\n  f()\n"),
    "withs": lambda size: within(many("with torch.no_grad():\n  f()\n", size)),
    "withs that train": lambda size: within(many("with autocast():\n  loss.backward()\n", size)),
    "asserts": lambda size: within(many("assert a{}\n", size)),
    "deletions": lambda size: within(f"del {several('a{}.grad', size)}\n"),
    "chained assignments": lambda size: within(f"{'a = ' * size}loss\n"),
    "chained assignments of attributes": lambda size: within(f"{several('a{}.b', size, ' = ')} = loss\n"),
    "unpacked targets": lambda size: within(f"{several('a{}', size)} = loss\n"),
    "unpacked values": lambda size: within(f"{several('a{}', size)} = {several('b{}', size)}\n"),
    "starred values": lambda size: within(f"x = [{several('*a{}', size)}]\n"),
    "annotations": lambda size: within(many("a{}: int = b\n", size)),
    "a long annotation": lambda size: within(f"a: A[{several('int', size)}] = b\n"),
    "slices": lambda size: within(f"x = a[{several('{}:{}', size)}]\n"),
    "returns": lambda size: before("def f():\n" + many("  if a{}: return loss\n", size) + "f()\n"),
    "yields": lambda size: before("def f():\n" + many("  yield loss{}\n", size) + "for x in f(): loss.backward()\n"),
    "comprehensions": lambda size: within(many("x = [a for a in b{}]\n", size)),
    "fors of a comprehension": lambda size: within(f"x = [a {several('for a{} in b{}', size, ' ')}]\n"),
    "ifs of a comprehension": lambda size: within(f"x = [a for a in b {several('if a{}', size, ' ')}]\n"),
    "lambdas": lambda size: within(many("f{} = lambda: loss\n", size)),
    "lambdas that train": lambda size: within(many("f{} = lambda: loss.backward()\nf{}()\n", size)),
    "ellipses": lambda size: within("...\n" * size),
    "passes": lambda size: within("pass\n" * size),
    "expressions": lambda size: within(many("a{}\n", size)),
    "calls": lambda size: within(many("a{}()\n", size)),
    "prints": lambda size: within(many("print(a{})\n", size)),
    "methods of anything": lambda size: within(many("a.b{}()\n", size)),
    "numbers": lambda size: within(many("x = {}\n", size)),
    "strings": lambda size: within(many("x = '{}'\n", size)),
    "imports in a loop": lambda size: within(many("import a{}\n", size)),
    "functions in a loop": lambda size: within(many("def f{}(): pass\n", size)),
    "functions in a loop that train": lambda size: within(many("def f{}(): loss.backward()\n", size)),
    "classes in a loop": lambda size: within(many("class A{}: pass\n", size)),
}
