"""Graphs to stories: what follows from each event along every feasible path.

graph           the graph of events, with conditions on its edges
conditions      conditions brought to one form; guards compares those of events
relations       what one thing has to do with another; effects, what an event means to an optimizer
solve           the worklist
"""
