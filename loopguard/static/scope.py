"""Names and what they stand for: environments, and files with their imports and definitions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import libcst as cst

from loopguard.static.imports import Imported
from loopguard.static.records import record
from loopguard.static.syntax import Tree, text_of
from loopguard.static.values import Class, FileValue, Function, Inert, Ref, Thing, Value

if TYPE_CHECKING:
    from loopguard.source import Source
    from loopguard.static.project import Project


@record
class Import(Value):
    """What a name stands for that an import statement binds, resolved when it is first looked up."""

    item: Imported


class Env:
    """A scope: what its names stand for now, and the scope around it.

    Whoever lowers a branch says so, and what it binds can be undone: no branch takes a copy of all names.
    """

    __slots__ = ("_branches", "bound_in", "file", "number", "parent", "variables")
    _numbers = itertools.count(1)

    def __init__(self, file: Names, parent: Env | None = None) -> None:
        self.number = next(self._numbers)
        self.file = file
        self.parent = parent
        self.variables: dict[str, Value] = {}
        self.bound_in: dict[str, int] = {}
        self._branches: list[dict[str, Value | None]] = []
        file.scopes.append(self)

    def lookup(self, name: str) -> Value | None:
        """What `name` stands for, here or in a scope around; None if nothing is known of it."""
        env: Env | None = self
        while env is not None:
            value = env.variables.get(name)
            if value is not None:
                if isinstance(value, Import):
                    value = env.file.resolve(value)
                    env.variables[name] = value
                return value
            env = env.parent
        return None

    def bind(self, name: str, value: Value, loops: int = 0) -> None:
        """Let `name` stand for `value` from now on; `loops` counts the loops in which that happens."""
        self.set(name, value)
        self.bound_in[name] = loops

    def set(self, name: str, value: Value) -> None:
        """Let `name` stand for `value`, wherever it is bound."""
        if self._branches:
            self._branches[-1].setdefault(name, self.variables.get(name))
        self.variables[name] = value

    def branch(self) -> None:
        """Begin a branch, which is left, or undone."""
        self._branches.append({})

    def undo(self) -> dict[str, Value]:
        """Let names stand for what they stood for before the branch. Returns what it has bound."""
        before = self._branches.pop()
        bound = {name: self.variables[name] for name in before}
        for name, value in before.items():
            if value is None:
                del self.variables[name]
            else:
                self.variables[name] = value
        return bound

    def leave(self) -> dict[str, Value | None]:
        """Let what the branch has bound stand. Returns what those names stood for before it, None for new ones."""
        before = self._branches.pop()
        for around in self._branches[-1:]:
            for name, value in before.items():
                around.setdefault(name, value)
        return before

    def home(self, name: str) -> Env:
        """The scope that binds `name`, this one if none does."""
        env: Env | None = self
        while env is not None:
            if name in env.variables:
                return env
            env = env.parent
        return self

    def root(self) -> Env:
        """The outermost scope: the module's."""
        env = self
        while env.parent is not None:
            env = env.parent
        return env


@record
class Defined(Value):
    """A function or class, of which only that it is defined is known."""

    name: str


class Names:
    """The names that the top level of a file binds, and what its imports lead to.

    `scopes` are all that were made in the file. They and what their names stand for refer to each other: who is done
    with a file closes it, so that no collection of garbage has to find that out.
    """

    def __init__(self, path: str, project: Project, bindings: Iterable[str | Imported] = ()) -> None:
        self.path = path
        self.project = project
        self.scopes: list[Env] = []
        self.env = Env(self)
        self.star_imports: list[Import] = []
        self.imported_packages: set[str] = set()
        self._resolving: list[Import] = []
        for binding in bindings:
            self.bind(binding, self.env)

    def close(self) -> None:
        """Let go of what the names stand for."""
        for scope in self.scopes:
            scope.variables.clear()
        self.scopes.clear()
        del self.env

    def bind(self, item: str | Imported, env: Env) -> None:
        """Bind the name of a definition, or what an import binds."""
        if isinstance(item, str):
            env.bind(item, Defined(item))
            return
        if not item.level:
            self.imported_packages.add(item.module.split(".")[0])
        if item.attribute == "*":
            self.star_imports.append(Import(item._replace(attribute="")))
            self._bind_all(self.resolve(self.star_imports[-1]), env)
        else:
            env.bind(item.name, Import(item))

    def _bind_all(self, imported: Value, env: Env) -> None:
        if isinstance(imported, FileValue) and imported.file is not self:
            for name, value in imported.file.env.variables.items():
                if not name.startswith("_") and name not in env.variables:
                    env.set(name, imported.file.resolve(value) if isinstance(value, Import) else value)

    def may_hold_events(self, value: Import) -> bool:
        """Whether an import leads to a file of the project whose text holds words of events."""
        item = value.item
        return any(self.project.may_hold_events(module, item.level, self.path) for module in item.modules)

    def leads_to_training(self, value: Import) -> bool:
        """Whether an import leads to what may train in a file of the project."""
        return self.project.training.in_import(value.item, self.path)

    def resolve(self, value: Import) -> Value:
        """What an import stands for: a definition of the project, or a reference to something outside."""
        if value in self._resolving:
            return Thing(value.item.attribute or value.item.module)  # it only leads back here
        self._resolving.append(value)
        try:
            return self._resolve(value.item)
        finally:
            self._resolving.pop()

    def _resolve(self, item: Imported) -> Value:
        target = self.project.find(item.module, item.level, self.path)
        if not item.attribute:
            return target if target is not None else Ref(item.module)
        if isinstance(target, FileValue):
            found = target.file.env.variables.get(item.attribute)
            if isinstance(found, Import):
                return target.file.resolve(found)
            if found is not None:
                return found
        inner = self.project.find(item.submodule, item.level, self.path)
        if inner is not None:
            return inner
        if isinstance(target, Inert):
            return target.attribute(item.attribute)
        return Thing(item.attribute) if target is not None else Ref(item.submodule)


class File(Names):
    """A parsed file of the project: its tree, and the names that its top level binds."""

    def __init__(self, source: Source, project: Project, tree: Tree) -> None:
        super().__init__(source.path, project)
        self.source = source
        self.tree = tree
        for statement in _definitions(tree.module.body):
            self.declare(statement, self.env)

    def close(self) -> None:
        """Let go of what the names stand for, and of the tree."""
        super().close()
        self.tree.close()

    def declare(self, statement: cst.CSTNode, env: Env) -> None:
        """Bind what a definition or an import statement defines."""
        if isinstance(statement, cst.FunctionDef):
            env.bind(statement.name.value, Function(statement, env, self))
        elif isinstance(statement, cst.ClassDef):
            env.bind(statement.name.value, class_of(statement, env, self))
        elif isinstance(statement, cst.Import | cst.ImportFrom):
            for item in _imported_by(statement):
                self.bind(item, env)


def _imported_by(statement: cst.Import | cst.ImportFrom) -> Iterator[Imported]:
    """What an import statement binds."""
    if isinstance(statement, cst.Import):
        for alias in statement.names:
            name = text_of(alias.name)
            top = name.split(".")[0]
            yield Imported(text_of(alias.asname.name), name) if alias.asname is not None else Imported(top, top)
        return
    module = text_of(statement.module) if statement.module is not None else ""
    level = len(statement.relative)
    if isinstance(statement.names, cst.ImportStar):
        yield Imported("*", module, level, "*")
        return
    for alias in statement.names:
        name = text_of(alias.name)
        yield Imported(text_of(alias.asname.name) if alias.asname is not None else name, module, level, name)


def class_of(node: cst.ClassDef, env: Env, file: File) -> Class:
    """The class that a definition makes, with its methods by name."""
    methods = {item.name.value: item for item in _definitions(node.body.body) if isinstance(item, cst.FunctionDef)}
    return Class(node.name.value, node, env, file, methods=methods, declared=_declared(node))


def _declared(node: cst.ClassDef) -> dict[str, cst.BaseExpression | None]:
    """The plain names that the body of a class assigns to or annotates."""
    found: dict[str, cst.BaseExpression | None] = {}
    for line in node.body.body:
        for small in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(small, cst.AnnAssign) and isinstance(small.target, cst.Name):
                found[small.target.value] = small.value
            elif isinstance(small, cst.Assign) and isinstance(small.targets[0].target, cst.Name):
                found[small.targets[0].target.value] = small.value
    return found


_DEFINITIONS = frozenset({cst.FunctionDef, cst.ClassDef})
_IMPORTS = frozenset({cst.Import, cst.ImportFrom})


def _definitions(body: object) -> Iterator[cst.CSTNode]:
    """Every definition and import of a block, also those under `if`, `try` and `with`."""
    for statement in body if isinstance(body, list | tuple) else ():
        if type(statement) in _DEFINITIONS:
            yield statement
        elif type(statement) is cst.SimpleStatementLine:
            for small in statement.body:
                if type(small) in _IMPORTS:
                    yield small
        elif isinstance(statement, cst.If | cst.Try | cst.With | cst.TryStar):
            yield from _definitions(statement.body.body)
            rest = statement.orelse if not isinstance(statement, cst.With) else None
            while isinstance(rest, cst.If):
                yield from _definitions(rest.body.body)
                rest = rest.orelse
            if rest is not None:
                yield from _definitions(rest.body.body)
            if isinstance(statement, cst.Try | cst.TryStar):
                for handler in statement.handlers:
                    yield from _definitions(handler.body.body)
