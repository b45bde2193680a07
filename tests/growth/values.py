"""What names stand for: collections, aliases, objects, classes."""

from __future__ import annotations

from growth.pieces import FAULTY, HEAD, HEALTHY, before, indented, many, several, within

_STEPPED = "for q in o: q.step()\n"


def doubled(first: str, again: str, then: str = _STEPPED) -> object:
    """Something that becomes twice itself in each line."""
    return lambda size: before(first + again * size) + indented(then)


def classes(head: str, body: str) -> object:
    """Classes, and an object of the last of them that trains."""

    def make(size: int) -> str:
        made = "".join(
            f"class {head.replace('{}', str(number)).replace('{-}', str(number - 1)).replace('{--}', str(number - 2))}:\n"
            + indented(body.replace("{}", str(number)).replace("{-}", str(number - 1)))
            for number in range(2, size + 2)
        )
        base = "class A0:\n    def f0(self): pass\nclass A1:\n    def f1(self): pass\n"
        return f"{HEAD}{base}{made}a = A{size + 1}()\nfor x in loader:\n    a.f{size + 1}()\n{indented(HEALTHY)}"

    return make


SHAPES = {
    "a tuple of itself": doubled("o = optimizer\n", "o = (o, o)\n"),
    "a list of itself": doubled("o = optimizer\n", "o = [o, o]\n"),
    "a dict of itself": doubled("o = optimizer\n", "o = {'a': o, 'b': o}\n"),
    "a dict of itself, by its values": doubled(
        "o = {'a': optimizer}\n", "o = {'a': o, 'b': o}\n", "for q in o.values(): q.step()\n"
    ),
    "a tuple of itself that takes a step": doubled("o = optimizer\n", "o = (o, o)\n", "o.step()\n"),
    "a tuple of itself that is cleared": doubled("o = optimizer\n", "o = (o, o)\n", "o.zero_grad()\n"),
    "a tuple of itself that is given away": doubled("o = optimizer\n", "o = (o, o)\n", "train(o)\n"),
    "a tuple of itself that is given": doubled("o = optimizer\n", "o = (o, o)\n", "accelerator.prepare(o)\n"),
    "a tuple of itself that is walked": doubled(
        "o = optimizer\n", "o = (o, o)\n", "for a in o:\n  for b in a:\n    for c in b: c.step()\n"
    ),
    "a tuple of itself that is unpacked": doubled("o = optimizer\n", "o = (o, o)\n", "a, b = o\na.step()\nb.step()\n"),
    "a tuple of itself or another": doubled("o = optimizer\n", "o = (o, o) if c else (o, model)\n"),
    "a tuple of itself in branches": doubled("o = optimizer\n", "if c:\n    o = (o, o)\nelse:\n    o = (o, model)\n"),
    "a tuple of itself and the next": doubled("o = p = optimizer\n", "o, p = (p, o), (o, p)\n"),
    "a list with stars": doubled("o = [optimizer]\n", "o = [*o, *o]\n"),
    "a tuple with stars": doubled("o = (optimizer,)\n", "o = (*o, *o)\n"),
    "a dict with stars": doubled("o = {'a': optimizer}\n", "o = {**o, 'b': o, 'c': {**o}}\n"),
    "a list by addition": doubled("o = [optimizer]\n", "o = o + o\n"),
    "a list by extension": doubled("o = [optimizer]\n", "o += o\n"),
    "a list extended by itself": doubled("o = [optimizer]\n", "o.extend(o)\n"),
    "a list appended to lists": doubled("o = [optimizer]\n", "p = []\np.append(o)\np.append(o)\no = p\n"),
    "arguments with stars": doubled("def f(*a): return a\no = [optimizer]\n", "o = f(*o, *o)\n"),
    "arguments of arguments": doubled("def f(a, b): return a, b\no = optimizer\n", "o = f(o, o)\n"),
    "parameters by addition": doubled("o = list(model.parameters())\n", "o = o + o\n", "torch.optim.SGD(o).step()\n"),
    "parameters by more": doubled("o = list(model.parameters())\n", "o += o\n", "torch.optim.SGD(o).step()\n"),
    "parameters in lists": doubled("o = list(model.parameters())\n", "o = [*o, *o]\n", "torch.optim.SGD(o).step()\n"),
    "parameters in tuples": doubled("o = model.parameters()\n", "o = (o, o)\n", "for p in o: p.grad = None\n"),
    "parameter groups in groups": doubled(
        "o = model.parameters()\n", "o = [{'params': o}, {'params': o}]\n", "torch.optim.SGD(o).step()\n"
    ),
    "parameters of a chain": doubled(
        "import itertools\no = model.parameters()\n", "o = itertools.chain(o, o)\n", "torch.optim.SGD(o).step()\n"
    ),
    "a clip of a tuple of itself": doubled(
        "o = model.parameters()\n", "o = (o, o)\n", "torch.nn.utils.clip_grad_norm_(o, 1.0)\n"
    ),
    "a partial of itself": doubled(
        "from functools import partial\ndef o(a): optimizer.step()\n", "o = partial(o, o)\n", "o()\n"
    ),
    "a partial of a partial": doubled(
        "from functools import partial\ndef o(*a): optimizer.step()\n", "o = partial(o, model)\n", "o()\n"
    ),
    "a lambda of itself": doubled("o = lambda: optimizer.step()\n", "o = lambda o=o: (o(), o())\n", "o()\n"),
    "a sum of itself": doubled("o = loss\n", "o = o + o\n", "o.backward()\n"),
    "a product of things": doubled("o = thing\n", "o = o * o\n", "o.backward()\n"),
    "a module of itself": doubled("o = model\n", "o = nn.Sequential(o, o)\n", "o.zero_grad()\n"),
    "a module of itself that is evaluated": doubled(
        "o = model\n", "o = nn.Sequential(o, o)\n", "o.eval()\nfor x in loader:\n    o(x)\n"
    ),
    "an unknown object of itself": doubled("o = model\n", "o = Wrapper(o, o)\n", "o.zero_grad()\n"),
    "an unknown result of itself": doubled("o = model\n", "o = wrap(o, o)\n", "o.step()\n"),
    "an optimizer of itself": doubled("o = optimizer\n", "o = Optimizer(o, o)\n", "o.step()\n"),
    "an optimizer with itself as an attribute": doubled(
        "o = optimizer\n", "o.a = o.b = Wrapper(o)\no = o.a\n", "o.step()\n"
    ),
    "one of two, again and again": doubled("o = optimizer\n", "if c: o = Wrapper(o)\n", "o.step()\n"),
    "one of two optimizers, again and again": doubled(
        "o = optimizer\n", "if c: o = torch.optim.SGD(model.parameters())\n", "o.step()\n"
    ),
    "one of two lists, again and again": doubled("o = [optimizer]\n", "if c: o = [Wrapper(optimizer)]\n"),
    "one of two lists of many": lambda size: (
        before(
            f"o = [{several('torch.optim.SGD(m{}.parameters())', size)}]\n"
            f"if c: o = [{several('torch.optim.Adam(m{}.parameters())', size)}]\n"
        )
        + indented(_STEPPED)
    ),
    "a list that grows": lambda size: before("o = []\n" + "o.append(Wrapper())\n" * size) + indented(_STEPPED),
    "a list of optimizers that grows": lambda size: (
        before("o = []\n" + "o.append(torch.optim.SGD(model.parameters()))\n" * size) + indented(_STEPPED)
    ),
    "a dict that grows": lambda size: (
        before("o = {}\n" + many("o['{}'] = Wrapper()\n", size)) + indented("for q in o.values(): q.step()\n")
    ),
    "a dict of optimizers that grows": lambda size: (
        before("o = {}\n" + many("o['{}'] = torch.optim.SGD(model.parameters())\n", size))
        + indented("for q in o.values(): q.step()\n")
    ),
    "a dict of lists that grows": lambda size: before("o = {}\n" + many("o['{}'] = [optimizer]\n", size)),
    "an object that grows": lambda size: before(many("model.a{} = nn.Linear(2, 2)\n", size)),
    "an object that grows, and is cleared in parts": lambda size: (
        before(many("model.a{} = nn.Linear(2, 2)\n", size)) + indented(many("model.a{}.zero_grad()\n", size))
    ),
    "a chain of attributes": lambda size: (
        before("o = optimizer\n" + "o.a = Wrapper()\no = o.a\n" * size) + indented("o.step()\n")
    ),
    "a chain of parts": lambda size: (
        before("o = model\n" + "o.a = nn.Linear(2, 2)\no = o.a\n" * size) + indented("o.zero_grad()\n")
    ),
    "a chain of names": lambda size: (
        before("o0 = optimizer\n" + "".join(f"o{n + 1} = o{n}\n" for n in range(size))) + indented(f"o{size}.step()\n")
    ),
    "names": lambda size: before(many("a{} = 1\n", size)),
    "names of objects": lambda size: before(many("a{} = Wrapper()\n", size)),
    "names in a loop": lambda size: within(many("a{} = f(x)\n", size)),
    "names of tensors in a loop": lambda size: within(many("a{} = model(x)\n", size)),
    "tensors of tensors": lambda size: within(
        "a0 = model(x)\n" + "".join(f"a{n + 1} = a{n} + a{n // 2}\n" for n in range(size))
    ),
    "sums that keep losses": lambda size: within(many("total{} += loss\n", size)),
    "a sum that keeps losses": lambda size: within("total += loss\n" * size),
    "lists that keep losses": lambda size: (
        before(many("l{} = []\n", size)) + indented(many("l{}.append(loss)\n", size))
    ),
    "a list that keeps losses": lambda size: before("l = []\n") + indented("l.append(loss)\n" * size),
    "counters": lambda size: before(many("i{} = 0\n", size)) + indented(many("i{} += 1\n", size)),
    "tests with names": lambda size: within(many("t{} = i % 4 == 0\nif t{}: loss.backward()\n", size)),
    "subscripts of one thing": lambda size: within(many("x = a[{}]\n", size)),
    "subscripts that are set": lambda size: within(many("a[{}] = x\n", size)),
    "attributes of one thing": lambda size: within(many("x = a.b{}\n", size)),
    "attributes that are set": lambda size: within(many("a.b{} = x\n", size)),
    "captured things": lambda size: before("a = f()\n" + many("a = f(a, b{})\n", size)) + indented("a.step()\n"),
    "things from things": lambda size: (
        before("a0 = f()\n" + "".join(f"a{n + 1} = f(a{n}, a{n // 2})\n" for n in range(size)))
        + indented(many("a{}.zero_grad()\n", size))
    ),
    "classes": lambda size: before(many("class A{}:\n    def f(self): pass\n", size)),
    "classes that train": lambda size: (
        HEAD
        + many(
            "class A{}:\n    def __init__(self, o): self.optimizer = o\n    def f(self):\n"
            + indented(indented(FAULTY.replace("optimizer", "self.optimizer"))),
            size,
        )
    ),
    "classes that train well": lambda size: (
        HEAD
        + many(
            "class A{}:\n    def __init__(self, o): self.optimizer = o\n    def f(self):\n"
            + indented(indented(HEALTHY.replace("optimizer", "self.optimizer"))),
            size,
        )
    ),
    "methods": lambda size: (
        HEAD
        + "class A:\n    def __init__(self): self.optimizer = optimizer\n"
        + many("    def f{}(self):\n" + indented(indented(FAULTY.replace("optimizer", "self.optimizer"))), size)
    ),
    "methods that set optimizers": lambda size: (
        HEAD
        + "class A:\n"
        + many("    def f{}(self): self.optimizer{} = torch.optim.SGD(self.parameters())\n", size)
        + "    def train(self):\n"
        + indented(indented(FAULTY.replace("optimizer", "self.optimizer0")))
    ),
    "methods that train, and set optimizers": lambda size: (
        HEAD
        + "class A:\n"
        + many(
            "    def f{}(self):\n        self.optimizer{} = torch.optim.SGD(self.parameters())\n"
            "        for x in loader:\n            loss.backward()\n            self.optimizer{}.step()\n",
            size,
        )
    ),
    "methods that call each other": lambda size: (
        HEAD
        + "class A:\n"
        + "".join(f"    def f{n}(self):\n        self.f{n + 1}()\n" for n in range(size))
        + f"    def f{size}(self): optimizer.step()\na = A()\nfor x in loader:\n    loss.backward()\n    a.f0()\n"
    ),
    "attributes of a class": lambda size: (
        HEAD + "class A:\n" + many("    a{} = 1\n", size) + "    def f(self):\n" + indented(indented(FAULTY))
    ),
    "attributes of a class that are read": lambda size: (
        HEAD
        + "class A:\n"
        + many("    a{} = model\n", size)
        + "    def f(self):\n"
        + indented(indented(FAULTY))
        + many("        self.a{}.zero_grad()\n", size)
    ),
    "properties": lambda size: (
        HEAD
        + "class A:\n"
        + many("    @property\n    def o{}(self): return optimizer\n", size)
        + "    def f(self):\n"
        + indented(indented(FAULTY))
        + many("        self.o{}.step()\n", size)
    ),
    "properties of properties": lambda size: (
        HEAD
        + "class A:\n"
        + "".join(f"    @property\n    def o{n}(self): return (self.o{n + 1}, self.o{n + 1})\n" for n in range(size))
        + f"    @property\n    def o{size}(self): return optimizer\n    def f(self):\n"
        + indented(indented(FAULTY))
        + "        self.o0.step()\n"
    ),
    "a chain of classes": classes("A{}(A{-})", "def f{}(self): self.f{-}()\n"),
    "a chain of classes that train": classes("A{}(A{-})", "def f{}(self):\n    self.f{-}()\n    optimizer.step()\n"),
    "diamonds of classes": classes("A{}(A{-}, A{--})", "def f{}(self): super().f{-}()\n"),
    "diamonds of classes that train": classes(
        "A{}(A{-}, A{--})", "def f{}(self):\n    self.f{-}()\n    optimizer.step()\n"
    ),
    "modules of modules": classes(
        "A{}(nn.Module)", "def __init__(self): self.a, self.b = A{-}(), A{-}()\ndef f{}(self): self.a.f{-}()\n"
    ),
    "modules of modules that train": classes(
        "A{}(nn.Module)",
        "def __init__(self):\n    self.a, self.b, self.optimizer = A{-}(), A{-}(), 1\ndef f{}(self):\n    self.a.f{-}()\n    self.b.f{-}()\n    optimizer.step()\n",
    ),
    "modules that are evaluated": lambda size: (
        HEAD
        + many(
            "class A{}(nn.Module):\n    def __init__(self): self.a = nn.Linear(2, 2)\n    def forward(self, x): return self.a(x)\n"
            "m{} = A{}()\nm{}.eval()\nfor x in loader:\n    m{}(x)\n",
            size,
        )
        + FAULTY
    ),
    "modules of modules that are evaluated": lambda size: (
        HEAD
        + "class A0(nn.Module):\n    def __init__(self): self.a = nn.Linear(2, 2)\n"
        + "".join(
            f"class A{n + 1}(nn.Module):\n    def __init__(self):\n        self.a = A{n}()\n        self.b = A{n}()\n"
            f"    def forward(self, x): return self.a(self.b(x))\n"
            for n in range(size)
        )
        + f"m = A{size}()\nfor x in loader:\n    m(x)\n"
        + HEALTHY
    ),
    "a container of modules": lambda size: (
        before(f"m = nn.Sequential({several('nn.Linear(2, 2)', size)})\n") + "m.eval()\nfor x in loader:\n    m(x)\n"
    ),
    "submodules that are cleared": lambda size: (
        HEAD
        + "class A(nn.Module):\n    def __init__(self):\n"
        + many("        self.a{} = nn.Linear(2, 2)\n", size)
        + "m = A()\no = torch.optim.SGD(m.parameters())\nfor x in loader:\n"
        + many("    m.a{}.zero_grad()\n", size)
        + "    m(x).backward()\n    o.step()\n"
    ),
}
