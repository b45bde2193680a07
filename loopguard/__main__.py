"""The process: `python -m loopguard`, and what the console script `loopguard` starts.

`python -m` looks into the current directory first, whatever it imports, and that may be a tree which is only to be
read. So its place is taken by that of Python's own modules, unless it is the current directory that loopguard is in.
Where a program is run, its own directory gets that place, as ever.
"""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Without pathlib, which is not there yet, and must not come from the current directory.
    if sys.path[0] != os.path.dirname(os.path.dirname(__file__)):  # noqa: PTH120
        sys.path[0] = os.path.dirname(os.__file__)  # noqa: PTH120

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
