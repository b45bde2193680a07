"""The runtime engine: torch's own events → one account per optimizer → the same lifecycles, rules and findings.

hooks       the only file that patches torch
cruise      hears first: lets a known cycle of events go by, and lets no bug of the guard out
bookkeeper  enters every other event into the ledger; progress, how far the run is; journal, what an event came to
ledger      what each gradient is made of; gradients, how that is seen; movement, what a step has moved
sites       where in the user's program an event happened; program, what is written around it; names, what is called how
verdicts    which mistakes are beyond doubt; docket, which have been told; judge, which rules are on
peers       the other ranks: distributed, what they tell each other; replicas, what they should have in common
watch       all of it put together
guard       the ways in: around a block, about one optimizer; launch, a whole script; policies, what a finding does
"""
