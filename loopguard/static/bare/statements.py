"""Statements of Python's own parse to bare ones."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import libcst as cst

from loopguard.static.bare import kinds
from loopguard.static.bare.expressions import Expressions


class NoBareTreeError(Exception):
    """There is something in the program that no bare node stands for: syntax that is newer than this module."""


def bare_module(
    module: ast.Module, lines: list[str], skipped: int, body: Callable[[ast.AST], Any], unread: list[int]
) -> cst.Module:
    """The bare tree of a program that was parsed from rows of a text, `skipped` rows behind its start.

    `lines` are those of the whole text. `body` gives the body of a function that was left out of the program, and None
    for others. `unread` gets the rows of statements that are nested too deeply. Raises NoBareTreeError.
    """
    maker = _Statements(lines, skipped, body, unread)
    try:
        return kinds.Module(maker.statements(module.body))
    except KeyError as unknown:
        raise NoBareTreeError(str(unknown)) from None


class _Statements(Expressions):
    """Makes bare statements, each simple one on a line of its own."""

    def __init__(self, lines: list[str], skipped: int, body: Callable[[ast.AST], Any], unread: list[int]) -> None:
        super().__init__(lines, skipped)
        self._body = body
        self._unread = unread

    def statements(self, nodes: Iterable[ast.stmt]) -> Any:
        """Statements, each simple one on a line of its own."""
        try:
            return [_STATEMENTS[type(node)](self, node) for node in nodes]
        except RecursionError:
            return [self._readable(node) for node in nodes]

    def _readable(self, node: ast.stmt) -> Any:
        """A statement, or one of which nobody knows what it does, if it is nested too deeply."""
        try:
            return _STATEMENTS[type(node)](self, node)
        except RecursionError:
            self._around = None
            place = self.place(node)
            self._unread.append(place[1])
            call = kinds.Call(kinds.Name("exec", ()), (), place)
            return kinds.SimpleStatementLine((kinds.Expr(call, place),))

    def block(self, nodes: Iterable[ast.stmt]) -> Any:
        return kinds.IndentedBlock(self.statements(nodes))

    def _else(self, nodes: Sequence[ast.stmt]) -> Any:
        return kinds.Else(self.block(nodes)) if nodes else None

    def _expression(self, node: ast.Expr) -> Any:
        return kinds.SimpleStatementLine((kinds.Expr(self.make(node.value), self.place(node)),))

    def _assign(self, node: ast.Assign) -> Any:
        targets = tuple([kinds.AssignTarget(target) for target in self.make_all(node.targets)])
        return kinds.SimpleStatementLine((kinds.Assign(targets, self.make(node.value), self.place(node)),))

    def _augmented(self, node: ast.AugAssign) -> Any:
        operator = kinds.AUGMENTED[type(node.op)]
        return kinds.SimpleStatementLine(
            (kinds.AugAssign(self.make(node.target), operator, self.make(node.value), self.place(node)),)
        )

    def _annotated(self, node: ast.AnnAssign) -> Any:
        target, annotation = self.make(node.target), kinds.Annotation(self.make(node.annotation))
        return kinds.SimpleStatementLine(
            (kinds.AnnAssign(target, annotation, self.optional(node.value), self.place(node)),)
        )

    def _delete(self, node: ast.Delete) -> Any:
        place, targets = self.place(node), node.targets
        if len(targets) == 1:
            return kinds.SimpleStatementLine((kinds.Del(self.make(targets[0]), place),))
        several = (*self.place(targets[0])[:3], *self.place(targets[-1])[3:])
        return kinds.SimpleStatementLine((kinds.Del(kinds.Tuple(self.elements(targets), several), place),))

    def _return(self, node: ast.Return) -> Any:
        return kinds.SimpleStatementLine((kinds.Return(self.optional(node.value), self.place(node)),))

    def _raise(self, node: ast.Raise) -> Any:
        cause = kinds.From(self.make(node.cause)) if node.cause is not None else None
        return kinds.SimpleStatementLine((kinds.Raise(self.optional(node.exc), cause, self.place(node)),))

    def _assert(self, node: ast.Assert) -> Any:
        return kinds.SimpleStatementLine(
            (kinds.Assert(self.make(node.test), self.optional(node.msg), self.place(node)),)
        )

    def _pass(self, node: ast.Pass) -> Any:
        return kinds.SimpleStatementLine((kinds.Pass(),))

    def _break(self, node: ast.Break) -> Any:
        return kinds.SimpleStatementLine((kinds.Break(),))

    def _continue(self, node: ast.Continue) -> Any:
        return kinds.SimpleStatementLine((kinds.Continue(),))

    def _import(self, node: ast.Import) -> Any:
        return kinds.SimpleStatementLine((kinds.Import(self._aliases(node.names), self.place(node)),))

    def _import_from(self, node: ast.ImportFrom) -> Any:
        every = node.names[0].name == "*"
        names = cst.ImportStar() if every else self._aliases(node.names)
        module = _dotted(node.module, self.place(node)) if node.module else None
        return kinds.SimpleStatementLine(
            (kinds.ImportFrom(module, names, (kinds.DOT,) * node.level, self.place(node)),)
        )

    def _aliases(self, nodes: Iterable[ast.alias]) -> Any:
        return tuple(
            [
                kinds.ImportAlias(
                    _dotted(node.name, self.place(node)),
                    kinds.AsName(kinds.Name(node.asname, ())) if node.asname else None,
                )
                for node in nodes
            ]
        )

    def _global(self, node: ast.Global) -> Any:
        return kinds.SimpleStatementLine(
            (kinds.Global(tuple([kinds.NameItem(kinds.Name(name, ())) for name in node.names]), self.place(node)),)
        )

    def _nonlocal(self, node: ast.Nonlocal) -> Any:
        return kinds.SimpleStatementLine(
            (kinds.Nonlocal(tuple([kinds.NameItem(kinds.Name(name, ())) for name in node.names]), self.place(node)),)
        )

    def _if(self, node: ast.If) -> Any:
        rest = node.orelse
        # `elif` stands below its `if`, an `if` after `else:` does not.
        follows = len(rest) == 1 and isinstance(rest[0], ast.If) and rest[0].col_offset == node.col_offset
        orelse = self._if(rest[0]) if follows and isinstance(rest[0], ast.If) else self._else(rest)
        return kinds.If(self.make(node.test), self.block(node.body), orelse, self.block_place(node))

    def _for(self, node: ast.For | ast.AsyncFor) -> Any:
        waits = kinds.ASYNC if isinstance(node, ast.AsyncFor) else None
        target, over, body = self.make(node.target), self.make(node.iter), self.block(node.body)
        return kinds.For(target, over, body, self._else(node.orelse), waits, self.block_place(node))

    def _while(self, node: ast.While) -> Any:
        test, body = self.make(node.test), self.block(node.body)
        return kinds.While(test, body, self._else(node.orelse), self.block_place(node))

    def _with(self, node: ast.With | ast.AsyncWith) -> Any:
        waits = kinds.ASYNC if isinstance(node, ast.AsyncWith) else None
        items = [
            kinds.WithItem(
                self.make(item.context_expr),
                kinds.AsName(self.make(item.optional_vars)) if item.optional_vars else None,
            )
            for item in node.items
        ]
        return kinds.With(tuple(items), self.block(node.body), waits, self.block_place(node))

    def _try(self, node: ast.Try | ast.TryStar) -> Any:
        stars = isinstance(node, ast.TryStar)
        handlers = [
            (kinds.ExceptStarHandler if stars else kinds.ExceptHandler)(
                self.block(item.body),
                self.optional(item.type),
                kinds.AsName(kinds.Name(item.name, ())) if item.name else None,
            )
            for item in node.handlers
        ]
        last = kinds.Finally(self.block(node.finalbody)) if node.finalbody else None
        make = kinds.TryStar if stars else kinds.Try
        body = self.block(node.body)
        return make(body, tuple(handlers), self._else(node.orelse), last, self.block_place(node))

    def _match(self, node: ast.Match) -> Any:
        cases = [
            kinds.MatchCase(self._pattern(case.pattern), self.optional(case.guard), self.block(case.body))
            for case in node.cases
        ]
        return kinds.Match(self.make(node.subject), tuple(cases), self.block_place(node))

    def _pattern(self, node: ast.pattern) -> Any:
        """A pattern: of others than the simplest, nothing but the text is of any use."""
        if isinstance(node, ast.MatchAs) and node.pattern is None:
            return kinds.MatchAs(None, kinds.Name(node.name, ()) if node.name else None, self.place(node))
        return kinds.Name(" ".join(self.text(node).split()), ())

    def _decorators(self, node: Any) -> Any:
        return tuple([kinds.Decorator(item) for item in self.make_all(node.decorator_list)])

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
        if getattr(node, "type_params", None):
            raise NoBareTreeError("type parameters")
        body = self._body(node)
        return kinds.FunctionDef(
            kinds.Name(node.name, ()),
            self.parameters(node.args),
            body if body is not None else self.block(node.body),
            self._decorators(node),
            kinds.Annotation(self.make(node.returns)) if node.returns is not None else None,
            kinds.ASYNC if isinstance(node, ast.AsyncFunctionDef) else None,
            None,
            self.block_place(node),
        )

    def _class(self, node: ast.ClassDef) -> Any:
        if getattr(node, "type_params", None):
            raise NoBareTreeError("type parameters")
        given = self.arguments(node.bases, node.keywords)
        bases = tuple([item for item in given if item.keyword is None and item.star != "**"])
        keywords = tuple([item for item in given if item.keyword is not None or item.star == "**"])
        body, decorators = self.block(node.body), self._decorators(node)
        return kinds.ClassDef(
            kinds.Name(node.name, ()), body, bases, keywords, decorators, None, self.block_place(node)
        )


def _dotted(name: str, place: Any) -> Any:
    """The name of a module, of which nobody needs to know the place more exactly."""
    first, *rest = name.split(".")
    made: Any = kinds.Name(first, ())
    for part in rest:
        made = kinds.Attribute(made, kinds.Name(part, ()), place)
    return made


_STATEMENTS: dict[type[ast.AST], Callable[[_Statements, Any], Any]] = {
    ast.Expr: _Statements._expression,
    ast.Assign: _Statements._assign,
    ast.AugAssign: _Statements._augmented,
    ast.AnnAssign: _Statements._annotated,
    ast.Delete: _Statements._delete,
    ast.Return: _Statements._return,
    ast.Raise: _Statements._raise,
    ast.Assert: _Statements._assert,
    ast.Pass: _Statements._pass,
    ast.Break: _Statements._break,
    ast.Continue: _Statements._continue,
    ast.Import: _Statements._import,
    ast.ImportFrom: _Statements._import_from,
    ast.Global: _Statements._global,
    ast.Nonlocal: _Statements._nonlocal,
    ast.If: _Statements._if,
    ast.For: _Statements._for,
    ast.AsyncFor: _Statements._for,
    ast.While: _Statements._while,
    ast.With: _Statements._with,
    ast.AsyncWith: _Statements._with,
    ast.Try: _Statements._try,
    ast.TryStar: _Statements._try,
    ast.Match: _Statements._match,
    ast.FunctionDef: _Statements._function,
    ast.AsyncFunctionDef: _Statements._function,
    ast.ClassDef: _Statements._class,
}
