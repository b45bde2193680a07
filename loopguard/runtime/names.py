"""How the user calls things: the variables, attributes and items that hold an object, and a parameter's name."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

_Kind = TypeVar("_Kind")

_FEW = 64
"""Containers larger than this are not searched."""


def name_of(thing: object, frames: Iterable[FrameType]) -> str | None:
    """An expression that stands for an object in one of some frames, the innermost first."""
    for frame in frames:
        for scope in (frame.f_locals, frame.f_globals):
            variables = list(scope.items())
            for name, value in variables:
                if value is thing and not name.startswith("__"):
                    return name
            for name, value in variables:
                inner = _inside(name, value, thing)
                if inner is not None:
                    return inner
    return None


def _inside(name: str, value: Any, thing: object) -> str | None:
    if isinstance(value, list | tuple):
        return next((f"{name}[{i}]" for i, item in enumerate(value[:_FEW]) if item is thing), None)
    if isinstance(value, dict):
        items = list(value.items())[:_FEW]
        return next((f"{name}[{key!r}]" for key, item in items if item is thing), None)
    if isinstance(value, type) or name.startswith("__"):
        return None
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        return next((f"{name}.{key}" for key, item in list(attributes.items()) if item is thing), None)
    return None


def resolve(expression: ast.expr, frames: Iterable[FrameType]) -> Any:
    """The object that a name or an attribute of a name stands for, without running any of the user's code."""
    if isinstance(expression, ast.Name):
        for frame in frames:
            for scope in (frame.f_locals, frame.f_globals):
                if expression.id in scope:
                    return scope[expression.id]
        return None
    if isinstance(expression, ast.Attribute):
        owner = resolve(expression.value, frames)
        for table in ("__dict__", "_modules", "_parameters"):
            attributes = getattr(owner, "__dict__", {}) if table == "__dict__" else getattr(owner, table, {})
            if isinstance(attributes, Mapping) and expression.attr in attributes:
                return attributes[expression.attr]
    if isinstance(expression, ast.Subscript) and isinstance(expression.slice, ast.Constant):
        owner = resolve(expression.value, frames)
        key: Any = expression.slice.value
        if isinstance(owner, dict | list | tuple | torch.nn.ModuleList | torch.nn.Sequential | torch.nn.ModuleDict):
            try:
                return owner[key]
            except (LookupError, TypeError):
                return None
    return None


def modules_in(frames: Iterable[FrameType]) -> Iterator[tuple[str, torch.nn.Module]]:
    """The modules that the variables of some frames hold, or attributes of these."""
    for frame in frames:
        for scope in (frame.f_locals, frame.f_globals):
            for name, value in list(scope.items()):
                if isinstance(value, torch.nn.Module):
                    yield name, value
                elif isinstance(attributes := getattr(value, "__dict__", None), dict) and not isinstance(value, type):
                    for key, item in list(attributes.items()):
                        if isinstance(item, torch.nn.Module):
                            yield f"{name}.{key}", item


def _named(module: torch.nn.Module) -> list[tuple[str, Tensor]]:
    try:
        return list(module.named_parameters(remove_duplicate=False))
    except RuntimeError:  # another thread is building it
        return []


def modules_alive() -> list[torch.nn.Module]:
    """All modules of the process. Takes a tenth of a second."""
    return _alive(torch.nn.Module)


def optimizers_alive() -> list[Optimizer]:
    """All optimizers of the process. Takes a tenth of a second."""
    # Another thread may be building one: what it holds comes last.
    return [optimizer for optimizer in _alive(Optimizer) if "param_groups" in vars(optimizer)]


def _alive(kind: type[_Kind]) -> list[_Kind]:
    # An instance refers to its class. To have `gc` list all objects is dangerous: `tuple()` fails in another thread if
    # somebody holds what it is still filling. By their type: proxies may do anything when asked for their class.
    return [item for item in gc.get_referrers(*_with_subclasses(kind)) if issubclass(type(item), kind)]


def _with_subclasses(kind: type) -> set[type]:
    found, todo = {kind}, [kind]
    while todo:
        news: set[type] = set(type.__subclasses__(todo.pop())) - found
        found |= news
        todo += news
    return found


def parameter_names(parameters: Sequence[Tensor], frames: Sequence[FrameType]) -> tuple[str, ...]:
    """The names of parameters as `named_parameters` of the module that holds most of them gives them."""
    wanted = {id(p) for p in parameters}
    known: dict[int, str] = {}
    for modules in (lambda: (module for _, module in modules_in(frames)), modules_alive):
        missing = wanted - known.keys()
        candidates = [{id(p): name for name, p in _named(module) if id(p) in missing} for module in modules()]
        for names in sorted(candidates, key=lambda names: -len(names)):
            for key, name in names.items():
                known.setdefault(key, name)
        if known.keys() >= wanted:
            break
    return tuple(
        known.get(id(p), f"parameter {number} of shape {tuple(p.shape)}") for number, p in enumerate(parameters)
    )
