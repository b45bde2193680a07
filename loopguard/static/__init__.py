"""The static engine: text to a graph of events, to beliefs about every optimizer, to cases.

syntax      text to libcst tree, with positions
scope       names and files; project finds the files around
lower       trees to graphs of events: statements, expressions, calls, recognise, constructors, ...
graph       the graph, with the conditions on its edges
effects     what an event means to one optimizer's gradients
solve       the worklist
gradients, windows, losses      violations to cases
"""

from loopguard.static.analyse import analyse
from loopguard.static.project import Project

__all__ = ["Project", "analyse"]
