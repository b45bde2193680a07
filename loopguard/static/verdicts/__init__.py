"""Stories to cases: which violations are beyond doubt, and the evidence for each.

telling         the stories of one optimizer's events; evidence, how they are shown
gradients       the gradient lifecycle: stale_steps, empty_steps, unused_gradients
windows         accumulation windows; losses, what needs no state
automation      what is done by hand where a framework does it
"""
