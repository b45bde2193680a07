"""A finding: the one thing that both engines make and every renderer shows."""

from __future__ import annotations

from dataclasses import dataclass

from loopguard.events import Moment, Place


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake that a rule has named.

    `code`, `name` and `level` are the rule's, `url` is where one can read more about it (None: nowhere). `message`
    says in one line what is wrong, `advice` what to do, `place` where, and `evidence` shows one concrete path, in the
    order in which it happens.

    Of a run it also tells the `iterations` whose gradients are concerned and the `parameters` that hold them.
    """

    code: str
    name: str
    level: str
    message: str
    advice: str
    place: Place
    evidence: tuple[Moment, ...] = ()
    iterations: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()
    url: str | None = None

    @property
    def is_advice(self) -> bool:
        """Whether only those see it who select its rule."""
        return self.level == "advice"

    @property
    def fingerprint(self) -> str:
        """A key that survives shifted lines: file, rule, message and the texts of the evidence."""
        import hashlib

        parts = [self.place.path, self.code, self.message, *(m.event.text for m in self.evidence)]
        return hashlib.sha256("\x00".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
