"""What is said on stderr while somebody else's program has the terminal."""

from __future__ import annotations

import os
import sys

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
