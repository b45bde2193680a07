"""The static engine: text to a graph of events, to stories about every optimizer, to cases.

analyse         one file, from text to cases
syntax          what trees are: texts and places of nodes; bare/ makes them by Python's own parser, parsed by libcst's
outline         where the functions of a text are; rows, where words stand in it; wording, what names say
caches          what is remembered of nodes, until it is to be forgotten
scope           names and files; project finds the files around; families tells PyTorch's from others'
values          what a name can stand for; library, what is known of other people's names, frameworks, of their doings
lowering/       trees to graphs of events
paths/          graphs to stories
verdicts/       stories to cases
"""

from loopguard.static.analyse import analyse
from loopguard.static.caches import forget
from loopguard.static.project import Project

__all__ = ["Project", "analyse", "forget"]
