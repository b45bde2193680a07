"""Graphs to stories: what follows from each event along every feasible path.

graph           the graph of events, with conditions on its edges
conditions      conditions brought to one form; guards compares those of events
relations       what one thing has to do with another; effects, what an event means to an optimizer
choices         the conditions of a graph, numbered; ways, its edges between events, with what matters of them
solve           the worklist
"""
