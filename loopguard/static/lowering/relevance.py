"""Which functions are worth lowering: those whose text, or that of what they call by name, can hold an event."""

from __future__ import annotations

import re
from weakref import WeakKeyDictionary

import libcst as cst

from loopguard.static.scope import File, Import
from loopguard.static.syntax import text_of
from loopguard.static.values import Class, FileValue, Function

_EVENTS = re.compile(
    r"backward|zero_grad|\bstep\b|\.grad\b|optim|parameters\(|requires_grad|scaler|accumulat|\bclip_grad|\.eval\(|\.train\(|"
    r"set_epoch|DistributedSampler|no_grad|inference_mode|assign=True",
    re.IGNORECASE,
)
STRICT = re.compile(r"backward|zero_grad|\.step\b|loss_scaler")
_GLOBAL = re.compile(r"^\s*global\s+(.+)$", re.MULTILINE)
_WORD = re.compile(r"\b[A-Za-z_]\w*")

_relevant: WeakKeyDictionary[File, dict[cst.CSTNode, bool]] = WeakKeyDictionary()
_names: WeakKeyDictionary[File, set[str]] = WeakKeyDictionary()
_words: WeakKeyDictionary[File, dict[cst.CSTNode, set[str]]] = WeakKeyDictionary()


def is_relevant(file: File, node: cst.CSTNode) -> bool:
    """Whether lowering the definition `node` of `file` can show an event, an optimizer, or parameters."""
    known = _relevant.setdefault(file, {})
    if node not in known:
        text = file.tree.source(node)
        decorators = node.decorators if isinstance(node, cst.FunctionDef) else ()
        around = "".join(text_of(item.decorator) for item in decorators)
        words = {*_words_of(file, node), *_WORD.findall(around)}
        known[node] = names_event(file, text + around, _EVENTS) or not _relevant_names(file).isdisjoint(words)
    return known[node]


def holds_events(file: File, node: cst.CSTNode) -> bool:
    """Whether the text of a definition names a clear, a backward pass or a step."""
    return names_event(file, file.tree.source(node), STRICT)


def names_event(file: File, text: str, events: re.Pattern[str]) -> bool:
    """Whether a text has one of the words of events, or one that the user says is as good."""
    return events.search(text) is not None or file.project.knowledge.mentioned_in(text)


def globals_set_by(file: File, node: cst.FunctionDef) -> list[str]:
    """The names that a function declares global, and so may set."""
    return [name for line in _GLOBAL.findall(file.tree.source(node)) for name in _WORD.findall(line)]


def _words_of(file: File, node: cst.CSTNode) -> set[str]:
    """The words in the text of a definition."""
    known = _words.setdefault(file, {})
    if node not in known:
        known[node] = set(_WORD.findall(file.tree.source(node)))
    return known[node]


def _relevant_names(file: File) -> set[str]:
    """The names of definitions whose text may show an event, directly or through each other, and of such imports."""
    found = _names.get(file)
    if found is not None:
        return found
    words: dict[str, set[str]] = {}
    names: set[str] = set()
    _names[file] = names
    for name, value in list(file.env.variables.items()):
        if isinstance(value, Import):
            # Parsing a file only to learn that nothing here needs it would be dear.
            if file.may_hold_events(value):
                names.add(name)
        elif isinstance(value, Function | Class) and value.file is file:
            _collect(file, name, value, words, names)
        elif isinstance(value, FileValue | Function | Class):
            names.add(name)
    grown = True
    while grown:
        fresh = {name for name, used in words.items() if name not in names and not used.isdisjoint(names)}
        names |= fresh
        grown = bool(fresh)
    return names


def _collect(file: File, name: str, value: Function | Class, words: dict[str, set[str]], names: set[str]) -> None:
    definitions = [(name, value.node)]
    if isinstance(value, Class):
        definitions += [(method, node) for method, node in value.methods.items() if not method.startswith("__")]
    for called, node in definitions:
        text = file.tree.source(node)
        if names_event(file, text, _EVENTS):
            names.add(called)
        words.setdefault(called, set()).update(_words_of(file, node))
        words[called].discard(called)
