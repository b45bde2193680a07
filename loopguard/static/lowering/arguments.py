"""The arguments of a call: lowered once, then bound to the parameters of whatever is called."""

from __future__ import annotations

from dataclasses import dataclass, field

import libcst as cst

from loopguard.static.collected import extended
from loopguard.static.lowering.context import Context, Frame
from loopguard.static.scope import Env
from loopguard.static.syntax import text_of
from loopguard.static.values import Const, Function, Group, Partial, Table, Thing, Value


@dataclass(slots=True, repr=False)
class Arguments:
    """The values of a call's arguments, and the expression that is the first of them."""

    positional: list[Value] = field(default_factory=list)
    keywords: dict[str, Value] = field(default_factory=dict)
    first: cst.BaseExpression | None = None
    open: bool = False

    @classmethod
    def lower(cls, ctx: Context, node: cst.Call) -> Arguments:
        """Lower the argument expressions of `node`, in order."""
        made = cls()
        for argument in node.args:
            value = ctx.evaluate(ctx, argument.value)
            if argument.keyword is not None:
                made.keywords[argument.keyword.value] = value
            elif argument.star == "*":
                if isinstance(value, Group) and not value.open:
                    made.open = extended(made.positional, value.items) or made.open
                else:
                    made.positional.append(value)
                    made.open = True
            elif argument.star == "**":
                made.open = True
                if isinstance(value, Table):
                    made.keywords.update(value.items)
                else:
                    made.keywords["**"] = value
            else:
                made.positional.append(value)
                made.first = made.first or argument.value
        return made

    @property
    def written(self) -> str:
        """How the first argument is written, if it has no keyword: that of a backward pass is a loss."""
        return text_of(self.first) if self.first is not None else "loss"

    @property
    def values(self) -> list[Value]:
        """Every argument's value."""
        return [*self.positional, *self.keywords.values()]

    def get(self, position: int, *names: str) -> Value | None:
        """The argument at `position`, or under one of the keywords `names`."""
        for name in names:
            if name in self.keywords:
                return self.keywords[name]
        return self.positional[position] if position < len(self.positional) else None

    def behind(self, partial: Partial) -> Arguments:
        """These arguments behind those that `functools.partial` was given."""
        return Arguments(
            [*partial.positional, *self.positional], {**partial.keywords, **self.keywords}, self.first, self.open
        )

    def bind_to(self, ctx: Context, function: Function, receiver: Thing | None) -> Frame:
        """A frame for a call of `function`, in which its parameters stand for these arguments."""
        env = Env(function.file, function.env)
        parameters = function.node.params
        names = [parameter.name.value for parameter in (*parameters.posonly_params, *parameters.params)]
        given = list(self.positional)
        if receiver is not None and names and not _is_static(function.node):
            env.bind(names[0], receiver)
            names = names[1:]
        for name, value in zip(names, given, strict=False):
            env.bind(name, value)
        everything = (*parameters.posonly_params, *parameters.params, *parameters.kwonly_params)
        for parameter in everything:
            name = parameter.name.value
            if name in self.keywords:
                env.bind(name, self.keywords[name])
            elif name not in env.variables:
                env.bind(name, self._default(ctx, function, parameter))
        if isinstance(parameters.star_arg, cst.Param):
            env.bind(parameters.star_arg.name.value, Group(given[len(names) :], self.open))
        if parameters.star_kwarg is not None:
            known = {parameter.name.value for parameter in everything}
            rest = {name: value for name, value in self.keywords.items() if name not in known}
            env.bind(parameters.star_kwarg.name.value, Table(rest, self.open))
        return Frame(env, function.file, owner=function.owner)

    def _default(self, ctx: Context, function: Function, parameter: cst.Param) -> Value:
        if parameter.default is None or self.open:
            made = Thing(parameter.name.value)
            made.parameter = True
            return made
        if isinstance(parameter.default, cst.Name) and parameter.default.value == "None":
            return Const(None, fixed=True)
        saved = ctx.frame
        ctx.frame = Frame(function.env, function.file)
        with ctx.values_only():
            value = ctx.evaluate(ctx, parameter.default)
        ctx.frame = saved
        return Const(value.value) if isinstance(value, Const) else value


def _is_static(node: cst.FunctionDef | cst.Lambda) -> bool:
    return type(node) is cst.FunctionDef and any(
        text_of(decorator.decorator) == "staticmethod" for decorator in node.decorators
    )
