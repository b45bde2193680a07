"""The runtime engine: torch's own events → one account per optimizer → the same lifecycles, rules and findings.

hooks       the only file that patches torch; sites, where in the user's program an event happened
ledger      what each gradient is made of; gradients, how that is seen
watch       hears of every event and tells of each mistake; verdicts, which mistakes are beyond doubt
program     what is written around a place; names, how the user calls things
guard       the ways in: around a block, about one optimizer; launch, a whole script
"""
