"""A suppression comment suppresses nothing.

## What it does

Finds `# loopguard: ignore[...]` comments (and the `LG` codes of a `# noqa: ...`) that keep no finding
quiet: the finding is gone, it is on another line, or no rule has this name.

## Why is this bad?

A suppression is a promise that somebody has looked at a finding and knows better. One that suppresses
nothing says that there is a problem where there is none, and it will hide the next real finding on its
line, unseen. A misspelt one does not do what its author believes.

## Known limits

A bare `# noqa` and the codes of other tools are left alone. Codes of rules that are not selected in this
run are not reported, since their findings were not looked for.

## References

- [Ruff: unused-noqa](https://docs.astral.sh/ruff/rules/unused-noqa/), the same idea for other linters
"""

from loopguard.rule import Case, Level, Rule, source


class UnusedIgnore(Rule):
    code = "LG002"
    level = Level.WARNING
    engines = "S"
    mistakes = frozenset({source.Mistake.UNUSED_IGNORE})

    bad = (
        # The loop was mended, the comment was kept.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # loopguard: ignore[missing-zero-grad]  # expect: LG002
""",
        # On the wrong line: the finding is at the step.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()  # loopguard: ignore[missing-zero-grad]  # expect: LG002
    optimizer.step()  # expect: LG101
""",
        # The finding has another code.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # loopguard: ignore[LG204]  # expect: LG002, LG101
""",
        # No rule has this name.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # loopguard: ignore[mising-zero-grad]  # expect: LG002, LG101
""",
        # One of two codes is of no use.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # loopguard: ignore[missing-zero-grad, repeated-step]  # expect: LG002
""",
        # As a `noqa`.
        """\
for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()  # noqa: LG101  # expect: LG002
""",
    )
    good = (
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # loopguard: ignore[missing-zero-grad]
""",
        # By code.
        """\
for inputs, targets in loader:
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()  # loopguard: ignore[LG101]
""",
        # As other linters write it, next to one of their codes.
        """\
for inputs, targets in loader:
    criterion(model(inputs), targets).backward(); optimizer.step()  # noqa: E702, LG101
""",
        # Nothing of ours.
        """\
import math  # noqa: F401
import os  # noqa

for inputs, targets in loader:
    optimizer.zero_grad()
    criterion(model(inputs), targets).backward()
    optimizer.step()
""",
        # Text is not a comment.
        '''\
HELP = """
Write `optimizer.step()  # loopguard: ignore[missing-zero-grad]` to keep a finding quiet.
"""
print(HELP, "# noqa: LG101")
''',
    )

    def explain(self, case: Case) -> str | None:
        codes = case.facts["codes"]
        if case.facts["why"] == "unknown code":
            return f"`{case.subject}` hides nothing: there is no rule `{codes}`"
        found = "no finding" if codes == "ALL" else f"no finding of `{codes}`"
        return f"`{case.subject}` hides nothing: there is {found} for it to hide"

    def advise(self, case: Case) -> str:
        codes = case.facts["codes"]
        if case.facts["why"] == "unknown code":
            return f"correct `{codes}`, or remove it from the comment"
        return "remove the comment" if codes == "ALL" else f"remove `{codes}` from the comment"
