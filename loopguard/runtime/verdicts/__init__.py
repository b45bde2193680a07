"""Accounts to cases: which mistakes of a run are beyond doubt, and the evidence for each.

telling         what every verdict asks of a run: subject, loop, related events, trail
stale_steps     steps on gradients that are not theirs alone
empty_steps     steps that find no gradients
unused_gradients    gradients that are thrown away; windows, how many deposits a step uses
closures        what an optimizer's closure lacks; losses, what happens to a loss and its graph
coverage        parameters that no optimizer holds, and optimizers that hold the wrong ones
"""
