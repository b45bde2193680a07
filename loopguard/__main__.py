"""`python -m loopguard` is the command `loopguard`."""

from loopguard.cli import main

main()
