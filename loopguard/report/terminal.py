"""What is said on stderr, be it while somebody else's program has the terminal."""

from __future__ import annotations

import os
import sys

from loopguard.escape import visible
from loopguard.report.style import Style, choose


def style() -> Style:
    """The style of stderr."""
    return choose("auto", sys.stderr is not None and sys.stderr.isatty(), os.environ)


def say(text: str) -> None:
    """Print on stderr, in the right place among what the program prints.

    Where nobody reads it any more nothing is printed: that is no reason to stop watching, let alone training.
    """
    if sys.stderr is None:
        return
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # the reader is gone, or the stream is closed
        return


def note(message: str) -> None:
    """Say one line that is loopguard's own, whatever names it speaks of."""
    say(f"loopguard: {visible(message)}")


def warn(message: str) -> None:
    """Note what does not keep the rest from being done."""
    note(f"warning: {message}")
