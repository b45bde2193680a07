"""Lifecycles: small pure automata that say what an event does to a subject's state.

No module in this package does input or output, or imports torch or libcst; the static and the runtime
engine run the same tables.
"""
