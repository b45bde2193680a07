"""Which functions are worth lowering: those whose text, or that of what they call by name, can hold an event."""

from __future__ import annotations

import re
from weakref import WeakKeyDictionary

import libcst as cst

from loopguard.static.scope import File, Import
from loopguard.static.steps import spend
from loopguard.static.syntax import text_of
from loopguard.static.training import STRICT, spread
from loopguard.static.values import Class, FileValue, Function
from loopguard.words import Words

_EVENTS = Words(
    r"backward|zero_grad|\bstep\b|\.grad\b|optim|parameters\(|requires_grad|scaler|accumulat|\bclip_grad|\.eval\(|\.train\(|"
    r"set_epoch|DistributedSampler|no_grad|inference_mode|assign=True",
    *("backward", "_grad", ".grad", "step", "optim", "parameters(", "scaler", "accumulat", ".eval(", ".train("),
    *("set_epoch", "distributedsampler", "inference_mode", "assign=true"),
    ignoring_case=True,
)
_GLOBAL = re.compile(r"^[ \t]*global[ \t]+(.+)$", re.MULTILINE)
_WORD = re.compile(r"\b[A-Za-z_]\w*")

_globals: WeakKeyDictionary[File, dict[cst.CSTNode, list[str]]] = WeakKeyDictionary()
_relevant: WeakKeyDictionary[File, dict[cst.CSTNode, bool]] = WeakKeyDictionary()
_names: WeakKeyDictionary[File, set[str]] = WeakKeyDictionary()
_words: WeakKeyDictionary[File, dict[cst.CSTNode, set[str]]] = WeakKeyDictionary()


def is_relevant(file: File, node: cst.CSTNode) -> bool:
    """Whether lowering the definition `node` of `file` can show an event, an optimizer, or parameters."""
    known = _relevant.setdefault(file, {})
    if node not in known:
        decorators = node.decorators if isinstance(node, cst.FunctionDef) else ()
        around = "".join(text_of(item.decorator) for item in decorators)
        known[node] = (
            _names_event(file, node)
            or _EVENTS.search(around) is not None
            or file.project.knowledge.mentioned_in(around)
            or not _relevant_names(file).isdisjoint({*_words_of(file, node), *_WORD.findall(around)})
        )
    return known[node]


def holds_events(file: File, node: cst.CSTNode) -> bool:
    """Whether the text of a definition names a clear, a backward pass or a step."""
    return file.tree.mentions(node, STRICT) or mentions_known(file, node)


def mentions_known(file: File, node: cst.CSTNode) -> bool:
    """Whether the text of a definition names what the user says is an event."""
    knowledge = file.project.knowledge
    return bool(knowledge) and knowledge.mentioned_in(file.tree.source(node))


def _names_event(file: File, node: cst.CSTNode) -> bool:
    return file.tree.mentions(node, _EVENTS) or mentions_known(file, node)


def globals_set_by(file: File, node: cst.FunctionDef) -> list[str]:
    """The names that a function declares global, and so may set."""
    known = _globals.setdefault(file, {})
    if node not in known:
        known[node] = [name for line in _GLOBAL.findall(file.tree.source(node)) for name in _WORD.findall(line)]
    spend(len(known[node]))
    return known[node]


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
    spread(names, words)
    return names


def _collect(file: File, name: str, value: Function | Class, words: dict[str, set[str]], names: set[str]) -> None:
    definitions = [(name, value.node)]
    if isinstance(value, Class):
        definitions += [(method, node) for method, node in value.methods.items() if not method.startswith("__")]
    for called, node in definitions:
        if _names_event(file, node):
            names.add(called)
        else:
            words.setdefault(called, set()).update(_words_of(file, node) - {called})
