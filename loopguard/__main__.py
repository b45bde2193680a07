"""The process: `python -m loopguard`, and what the console script `loopguard` starts."""

from __future__ import annotations

import os
import sys

from loopguard import cli


def main() -> None:
    """Run the command line and end the process at once; or be the program that it names, to whose end nothing is added.

    Freeing a syntax tree object by object at the end takes longer than many a check.
    """
    try:
        program = cli.main()
    except SystemExit as leaving:
        if sys.gettrace() is not None or sys.getprofile() is not None or not isinstance(leaving.code, int):
            raise  # whoever watches the process wants to see its end
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            raise leaving from None
        os._exit(leaving.code)
    program()


if __name__ == "__main__":
    main()
