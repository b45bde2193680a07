"""Which functions are worth an analysis of their own: those that train, and those that loop around calls that may.

Only code counts for that, no words in comments and docstrings. A wrong yes costs time, a wrong no a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

import libcst as cst

from loopguard.static.project import Project
from loopguard.static.scope import File, Import, Names
from loopguard.static.syntax import code_of
from loopguard.static.training import BACKWARD, STRICT, TRAINING, spread
from loopguard.static.values import Class, FileValue, Function, Value
from loopguard.words import Words

_EVENT = Words(rf"(?<!def )(?<!save_for_){BACKWARD}|{TRAINING}", *STRICT.plain)
"""What an event looks like in code. A function of autograd defines its backward pass, and runs none."""

_LOOP = Words(r"\b(?:for|while)\b", "for", "while")
_LOOP_HEAD = re.compile(r"(?:async\s+)?(?:for|while)\b")
_WORD = re.compile(r"\.?\b[A-Za-z_]\w*")

_MATTERS = Words(r"\.eval\(|\b(?:training_step|compute_loss)\b", ".eval(", "training_step", "compute_loss")
"""What may be the matter in a file of which nothing trains: validation, and what a framework differentiates."""

_callers: WeakKeyDictionary[File, set[str]] = WeakKeyDictionary()
_words: WeakKeyDictionary[File, dict[cst.CSTNode, set[str]]] = WeakKeyDictionary()


def may_be_worth_it(text: str, path: str, project: Project) -> bool:
    """Whether anything may come of a file, before any of it is parsed: it has words of training, or an import has.

    What this says no to, `is_worth_it` says no to as well.
    """
    if _names_training(text):
        return True
    if bool(project.knowledge) and project.knowledge.mentioned_in(text):
        return True
    return project.training.in_imports(text, path)


def is_worth_it(text: str, names: Names) -> bool:
    """Whether anything can come of a file, before most of it is parsed: its code may train, or what it imports."""
    if _names_training(text):
        return True
    knowledge = names.project.knowledge
    if bool(knowledge) and knowledge.mentioned_in(code_of(text)):
        return True
    return any(map(names.leads_to_training, names.star_imports)) or any(
        _is_foreign_training(names, value) for value in list(names.env.variables.values())
    )


def _names_training(text: str) -> bool:
    """Whether the code of a text has words of training."""
    return any(words.search(text) and words.search(code_of(text)) for words in (_EVENT, _MATTERS))


def _is_foreign_training(names: Names, value: Value) -> bool:
    """Whether a value of the top level of a file comes from another one that may train."""
    if isinstance(value, Import):
        return names.leads_to_training(value)
    if not isinstance(value, Function | Class | FileValue):
        return False
    path, training = Path(value.file.path).resolve(), names.project.training
    if isinstance(value, FileValue) or not isinstance(value.node, cst.FunctionDef | cst.ClassDef):
        return training.in_file(path)
    return training.in_definition(path, value.node.name.value)


def is_root(file: File, node: cst.CSTNode) -> bool:
    """Whether a definition is worth an analysis of its own: it holds an event, or a loop around calls that may."""
    if _trains(file, node):
        return True
    if not file.tree.codes(node, _LOOP):
        return False
    names = _calling_names(file)
    return bool(names) and any(not names.isdisjoint(_WORD.findall(row)) for row in _looped(file, node))


def _looped(file: File, node: cst.CSTNode) -> Iterator[str]:
    """The rows of the loops in the code of a definition, by their indentation.

    Comprehensions are left out: they are loops only where an event stands in them.
    """
    loop: int | None = None
    for row in file.tree.code(node).split("\n"):
        text = row.lstrip()
        if not text:
            continue
        indent = len(row) - len(text)
        if loop is not None and indent <= loop and text[0] not in ")]}":
            loop = None
        if loop is None and _LOOP_HEAD.match(text):
            loop = indent
        if loop is not None:
            yield row


def _trains(file: File, node: cst.CSTNode) -> bool:
    """Whether the code of a definition names an event, or what the user says is one."""
    knowledge = file.project.knowledge
    return file.tree.codes(node, _EVENT) or (bool(knowledge) and knowledge.mentioned_in(file.tree.code(node)))


def _words_of(file: File, node: cst.CSTNode) -> set[str]:
    """The words in the code of a definition, those of attributes with their dots."""
    known = _words.setdefault(file, {})
    if node not in known:
        known[node] = set(_WORD.findall(file.tree.code(node)))
    return known[node]


def _calling_names(file: File) -> set[str]:
    """What calls look like that may train: of definitions, directly or through each other, and of imports."""
    found = _callers.get(file)
    if found is not None:
        return found
    names: set[str] = set()
    _callers[file] = names
    others: list[tuple[str, cst.CSTNode]] = []
    for name, value in list(file.env.variables.items()):
        if isinstance(value, Function | Class) and value.file is file:
            for called, node in _called_as(name, value):
                if _trains(file, node):
                    names.add(called)
                else:
                    others.append((called, node))
        elif _is_foreign_training(file, value):
            names.add(name)
    words: dict[str, set[str]] = {}
    for called, node in others if names else ():
        words.setdefault(called, set()).update(_words_of(file, node) - {called})
    spread(names, words)
    return names


def _called_as(name: str, value: Function | Class) -> Iterator[tuple[str, cst.CSTNode]]:
    """What calls of a definition and of its methods look like."""
    yield name, value.node
    if isinstance(value, Class):
        yield from ((f".{method}", node) for method, node in value.methods.items() if not method.startswith("__"))
