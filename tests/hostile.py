"""Programs that try to break the engine: deep, long, circular, doubling, or wrong. Each follows a broken loop."""

from __future__ import annotations

from programs import LOOP


def _nested(head: str, depth: int, body: str = "loss.backward()") -> str:
    lines = [f"{' ' * level}{head.format(level)}\n" for level in range(depth)]
    return "".join(lines) + f"{' ' * depth}{body}\n"


def _within(opening: str, closing: str, depth: int) -> str:
    return f"x = {opening * depth}1{closing * depth}\n"


def _many(line: str, count: int) -> str:
    return "".join(line.format(number) for number in range(count))


def _tries(depth: int) -> str:
    inner = "".join(f"{' ' * level}try:\n" for level in range(depth)) + f"{' ' * depth}loss.backward()\n"
    handlers = (f"{' ' * level}except E:\n{' ' * level} optimizer.step()\n" for level in reversed(range(depth)))
    return inner + "".join(handlers)


def _calling_each_other(count: int) -> str:
    body = _many("  f{}()\n", count) + "  loss.backward()\n"
    return "".join(f"def f{number}():\n{body}" for number in range(count)) + "f0()\n"


def _calling_the_next(count: int, times: int) -> str:
    functions = "".join(
        f"def f{number}(o):\n{f'  f{number + 1}(o){chr(10)}' * times}  o.step()\n" for number in range(count)
    )
    return f"{functions}def f{count}(o): o.zero_grad()\nf0(optimizer)\n"


def _of_optimizers(count: int) -> str:
    made = _many("o{} = torch.optim.SGD(model.parameters())\n", count)
    return f"{made}for x in loader:\n{_many('    loss.backward(); o{}.step()' + chr(10), count)}"


DEEP = {
    "parentheses": _within("(", ")", 2000),
    "parentheses that python accepts": _within("(", ")", 150),
    "lists": _within("[", "]", 2000),
    "lists that python accepts": _within("[", "]", 90),
    "calls": _within("f(", ")", 2000),
    "calls that python accepts": _within("f(", ")", 90),
    "conditional expressions in parentheses": _within("(a if b else ", ")", 80),
    "assignment expressions": _within("(a := ", ")", 80),
    "conditional expressions": f"x = {'a if b else ' * 1000}c\n",
    "lambdas": f"x = {'lambda: ' * 1000}c\n",
    "minus signs": f"x = {'-' * 3000}a\n",
    "nots": f"x = {'not ' * 3000}a\n",
    "nots of a test": f"if {'not ' * 3000}a:\n  loss.backward()\n",
    "awaits": f"async def f():\n  x = {'await a(' * 60}{')' * 60}\n",
    "attributes": f"x = loss{'.a' * 2500}\n",
    "attributes of an optimizer": f"a{'.b' * 300} = optimizer\na{'.b' * 300}.step()\n",
    "calls one after the other": f"x = loss{'.a()' * 900}\n",
    "subscripts one after the other": f"x = loss{'[0]' * 900}\n",
    "ifs": _nested("if a{}:", 95),
    "ifs that python refuses": _nested("if a{}:", 500),
    "fors": _nested("for a{0} in b{0}:", 18, "loss.backward(); optimizer.step()"),
    "fors that python refuses": _nested("for a{0} in b{0}:", 500),
    "withs": _nested("with a{}:", 90),
    "tries": _tries(90),
    "functions": _nested("def f{}():", 95),
    "classes": _nested("class A{}:", 95),
}
"""What is nested or chained too deeply for something."""

LONG = {
    "a sum": f"x = {' + '.join(['loss'] * 5000)}\nx.backward()\n",
    "a conjunction": f"if {' and '.join(f'a{number}' for number in range(5000))}:\n  loss.backward()\n",
    "a comparison": f"x = {'<'.join(['a'] * 5000)}\n",
    "a chain of assignments": f"{'a = ' * 3000}loss\n",
    "a list": f"x = [{','.join(['1'] * 20_000)}]\n",
    "an f-string": f"x = f'{'{a}' * 3000}'\n",
    "adjacent strings": f"x = {' '.join(['b'] * 3000)}\n".replace("b", "''"),
    "elifs": "if a: pass\n" + _many("elif a{}: loss.backward()\n", 1000),
    "cases": "match x:\n" + _many("  case {}: loss.backward()\n", 1000),
    "decorators": "@d\n" * 2000 + "def f(): loss.backward()\nf()\n",
    "parameters": f"def f({_many('a{},', 1000)}): loss.backward()\nf({_many('a{},', 1000)})\n",
    "choices of one variable each": "for x in loader:\n"
    + _many("    if a{0}: loss.backward()\n    if a{0}: optimizer.step()\n", 40),
    "choices, then the same again": "for x in loader:\n"
    + _many("    if a{}: loss.backward()\n", 40)
    + _many("    if a{}: optimizer.step()\n", 40),
    "choices after a loop over a pair": "for x in loader:\n"
    + _many("    if a{0} and b{0} or not c{0}: optimizer.zero_grad()\n    else: loss.backward()\n", 40)
    + "    optimizer.step()\n",
    "loops": LOOP.partition("0.1)\n")[2] * 300,
    "optimizers": _of_optimizers(40),
    "functions that call each other": _calling_each_other(40),
    "functions that call the next one twice": _calling_the_next(25, 2),
    "functions that call the next one": _calling_the_next(200, 1),
    "jumps": "for a in b:\n"
    + "  for c in d:\n    if e: break\n    if f: continue\n    loss.backward()\n  else: optimizer.step()\n" * 100,
}
"""What there is too much of."""

CIRCULAR = {
    "a list in itself": "a = []\na.append(a)\na.step()\nfor b in a:\n  b.step()\n  for c in b: c.zero_grad()\n",
    "an optimizer that is a list in itself": "a = [optimizer]\na.append(a)\noptimizer = a\noptimizer.step()\n",
    "a dict in itself": "a = {}\na['a'] = a\na['a']['a'].step()\na.update(a)\nfor v in a.values(): v.step()\n",
    "a model in itself": "model.a = model\nmodel.a.a.zero_grad()\nmodel.b = [model]\nmodel.zero_grad()\n",
    "an optimizer in itself": "optimizer.optimizer = optimizer\noptimizer.optimizer.step()\n",
    "a function": "def f():\n  f()\n  optimizer.step()\nf()\n",
    "two functions": "def f():\n  g()\n  loss.backward()\ndef g(): f()\nf()\n",
    "a lambda": "f = lambda: (optimizer.step(), f())\nf()\n",
    "a function of itself": "y = lambda g: g(g)\ny(y)\n(lambda s: s(s))(lambda s: s(s))\n",
    "a default": "def f(a=f, b=optimizer.step()):\n  a()\nf()\n",
    "stars": "def f(*a, **k):\n  a[0].step()\n  f(*a, **k)\nf(*[optimizer], **{'o': optimizer})\nf(*f)\n",
    "a generator": "def g():\n  yield from g()\n  yield optimizer.step()\nfor a in g(): a\n[o for o in [p for p in g()]]\n",
    "a class from itself": "class A(A):\n  def f(self):\n    super().f()\n    self.o.step()\nA().f()\n",
    "two classes from each other": "class A(B):\n  def f(self): super().f()\nclass B(A):\n"
    "  def f(self):\n    super().f()\n    self.optimizer.step()\nA().f()\nB().f()\n",
    "two classes that hold each other": "class A:\n  def __init__(self): self.b, self.optim = B(), 1\n"
    "  def f(self):\n    self.b.f()\n    self.optim.step()\n"
    "class B:\n  def __init__(self): self.a, self.optim = A(), 1\n  def f(self): self.a.f()\nA().f()\nB().f()\n",
    "a class that makes itself": "class A:\n  optimizer = A\n  def __init__(self): self.__init__()\n"
    "  def __call__(self): return self()\nA()()\n",
    "a property": "class A:\n  @property\n  def optimizer(self): return self.optimizer\n"
    "  def f(self): self.optimizer.step()\nA().f()\n",
    "a module that imports itself": "import train\nfrom train import *\nfrom . import train\nfrom .train import f\nf()\n",
}
"""What leads back to where it came from."""

DOUBLING = {
    "a list by extension": "a = [optimizer]\n" + "a.extend(a)\n" * 24 + "for o in a: o.step()\n",
    "a list by addition": "a = [optimizer]\n" + "a = a + a\n" * 30 + "for o in a: o.step()\n",
    "a tuple of itself": "a = loss\n" + "a = (a, a)\n" * 40 + "for o in a: optimizer.step()\n",
    "a dict of itself": "a = {}\n" + "a = {'a': a, 'b': a}\n" * 40 + "a['a'].step()\n",
    "one of two values": "a = [optimizer]\n" + "if c: a = a + a\n" * 40 + "for o in a: o.step()\n",
}
"""What has twice as many parts after each line."""

STRANGE = {
    "names rebound to everything": "optimizer = optimizer.step\noptimizer = optimizer()\noptimizer = [optimizer]\n"
    "loss = model\nloss = loss.backward\nloss()\ntorch = loss\ntorch.optim.SGD(model)\n"
    "for torch in torch: torch.step()\ndel torch\ndef torch(): torch()\ntorch()\nclass torch(torch): torch = torch\n",
    "a global that becomes its function": "def f():\n  global optimizer\n  optimizer = f\n  optimizer()\nf()\n",
    "names found at run time": "getattr(optimizer, 'step')()\nexec('optimizer.step()')\nglobals()['optimizer'].step()\n",
    "jumps out of nowhere": "break\ncontinue\nreturn\nyield\nawait x\n",
    "loops that never end": "while True:\n  while 1:\n    while not False: pass\nloss.backward()\n",
    "exception groups": "try:\n  loss.backward()\nexcept* E as e:\n  optimizer.step()\nfinally:\n  optimizer.zero_grad()\n",
    "patterns": "match loss:\n  case {'a': [1, *_, A(b=c)] | None as d, **rest} if d.step(): loss.backward()\n"
    "  case [x, y]: optimizer.step()\n  case _: optimizer.zero_grad()\n",
    "context managers": "with (a as b, c() as (d, [e, *f]), torch.no_grad() as g.h, x as y[0]):\n  loss.backward()\n",
    "asynchronous": "async def f():\n  async for a in b:\n    async with c as d:\n      await loss.backward()\n"
    "      optimizer.step()\n",
    "type parameters": "def f[T: int, *A, **P](x: T) -> T: optimizer.step()\nclass A[T]: pass\n",
    "slices": "a[1:2, ..., ::3].step()\na[:, (b := 1)].backward()\nx[*y].step()\n",
    "targets": "(a, *b), [c, d.e, f[g]] = loss\na.b: int = loss\na[0]: int = loss\n*a, = loss\n"
    "for a.b in c: a.b.step()\nfor a[0] in c: a[0].step()\nfor (a, *b) in c: b.step()\ndel a, (b, c[0]), d.grad\n",
    "a call of everything": "(optimizer or model).step()\n(lambda: optimizer)().step()\n[optimizer][0].step()\n"
    "{'a': optimizer}['a'].step()\n(optimizer if a else b).zero_grad()\n(o := optimizer).step()\n'a'.step()\n1 .step()\n"
    "None.backward()\n....backward()\nf'{loss}'.backward()\n",
    "wrong arguments": "torch.optim.SGD()\ntorch.optim.SGD(*a, **b)\ntorch.optim.SGD(1, 2, 3, params=4)\n"
    "optimizer.step(1, 2, *c, closure=3)\noptimizer.zero_grad(optimizer.step())\nloss.backward(loss.backward())\n",
}
"""What nobody writes, and Python accepts or not."""

HOSTILE = {
    f"{kind}: {name}": LOOP + text
    for kind, group in {
        "deep": DEEP,
        "long": LONG,
        "circular": CIRCULAR,
        "doubling": DOUBLING,
        "strange": STRANGE,
    }.items()
    for name, text in group.items()
}
"""Every program, by name."""

TOO_MANY = {
    "optimizers": LOOP + _of_optimizers(400),
    "loops": LOOP + LOOP.partition("0.1)\n")[2] * 2000,
    "functions that call each other": LOOP + _calling_each_other(80),
}
"""What is so much that silence is an answer."""
