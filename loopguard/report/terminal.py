"""What is said on stderr, be it while somebody else's program has the terminal.

The program may have closed its streams, or have put objects of its own in their place, which lack methods or raise
whatever they like. None of that is a reason to stop watching, let alone training.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from loopguard.escape import visible
from loopguard.report.style import Style, choose


def style() -> Style:
    """The style of stderr."""
    return choose("auto", _is_terminal(sys.stderr), os.environ)


def say(text: str) -> bool:
    """Print on stderr, in the right place among what the program prints. Whether it was taken."""
    _put(sys.stdout, "")
    return _put(sys.stderr, f"{text}\n")


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except Exception:  # there is none (`pythonw`), it is closed, or not a file
        return False


def _put(stream: Any, text: str) -> bool:
    """Write a text and all that was written before. False where the stream is none, or its reader is gone."""
    try:
        if text:
            try:
                stream.write(text)
            except UnicodeEncodeError:
                stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
        stream.flush()
    except Exception:
        return False
    return True


def note(message: str) -> None:
    """Say one line that is loopguard's own, whatever names it speaks of."""
    say(f"loopguard: {visible(message)}")


def warn(message: str) -> None:
    """Note what does not keep the rest from being done."""
    note(f"warning: {message}")
