"""The file cannot be parsed.

## What it does

Reports a file that is not valid Python, with the place and the reason. In a notebook it names the cell.
The other files of the run are checked all the same.

## Why is this bad?

A file that cannot be parsed does not run, and no other rule can look into it. To say nothing would read
as "checked, nothing found"; so it is a finding like any other, and the command exits with 1.

## Known limits

The rest of the file is not checked: mend the syntax, then check again.

A file without a word of training, which imports nothing that has one, is not parsed: nothing is said of its syntax.

The file is read as the Python that runs loopguard reads it. Syntax of a newer Python can be reported
although it is valid there. Python 2 code is reported at its first statement that Python 3 cannot read,
most often a `print`.

## References

- [Python: syntax errors](https://docs.python.org/3/tutorial/errors.html#syntax-errors)
- [Python: full grammar specification](https://docs.python.org/3/reference/grammar.html)
"""

from loopguard.rule import Case, Level, Rule, source


class InvalidSyntax(Rule):
    code = "LG000"
    level = Level.ERROR
    engines = "S"
    mistakes = frozenset({source.Mistake.INVALID_SYNTAX})

    bad = (
        # The colon is missing.
        """\
for inputs, targets in loader  # expect: LG000
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
""",
        # Python 2.
        """\
for epoch in range(num_epochs):
    print "epoch", epoch  # expect: LG000
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # An argument that was renamed to `non_blocking` when `async` became a keyword.
        """\
for inputs, targets in loader:
    inputs = inputs.cuda(async=True)  # expect: LG000
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # What a merge left behind.
        """\
def train(model, loader, optimizer):
    for inputs, targets in loader:
        optimizer.zero_grad()
<<<<<<< HEAD  # expect: LG000
        loss = criterion(model(inputs), targets)
=======
        loss = F.cross_entropy(model(inputs), targets)
>>>>>>> cross-entropy
        loss.backward()
        optimizer.step()
""",
        # A parenthesis that nobody closes.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets  # expect: LG000
    loss.backward()
    optimizer.step()
""",
        # A line that was moved by two columns.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
      loss.backward()  # expect: LG000
    optimizer.step()
""",
    )
    good = (
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
""",
        # `match` is an ordinary name too.
        """\
def loss_of(kind, outputs, targets):
    match kind:
        case "ce":
            return F.cross_entropy(outputs, targets)
        case "nll":
            return F.nll_loss(F.log_softmax(outputs, dim=1), targets)
        case _:
            raise ValueError(kind)


match = 0
for inputs, targets in loader:
    optimizer.zero_grad()
    outputs = model(inputs)
    loss_of("nll", outputs, targets).backward()
    optimizer.step()
    match += (outputs.argmax(1) == targets).sum().item()
""",
        # Several statements on a line, a continuation, an assignment expression, a coroutine.
        """\
async def train():
    losses = []
    for inputs, targets in loader:
        optimizer.zero_grad(); loss = criterion(model(inputs), targets); loss.backward(); optimizer.step()
        losses.append(value := loss.item())
        print(f"{value:.3f} of {sum(losses):{8}.{3}f}", \\
              end="\\n")
    return losses


import asyncio

asyncio.run(train())
""",
        # A group of exceptions, star expressions, positional-only parameters.
        """\
def batches(loader, /, *, limit=None):
    for index, (inputs, *rest) in enumerate(loader):
        if limit is not None and index >= limit:
            return
        yield inputs, *rest


try:
    for inputs, targets in batches(loader, limit=3):
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
except* RuntimeError as group:
    print(group.exceptions)
""",
    )

    def explain(self, case: Case) -> str | None:
        return f"this file cannot be parsed, so nothing in it is checked: {case.facts['reason']}"

    def advise(self, case: Case) -> str:
        return "mend the syntax here, then check the file again"
