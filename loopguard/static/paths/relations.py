"""What one thing has to do with another: whether clearing, using or escaping with it touches some parameters."""

from __future__ import annotations

from loopguard.events import Relation
from loopguard.static.collected import leaves
from loopguard.static.steps import spend
from loopguard.static.values import Gradient, Group, Params, Role, Table, Tensor, Thing, Value


def covers(thing: Thing, part: Thing) -> Relation:
    """How much of the parameters of `part` are parameters of `thing`."""
    if thing is part or thing in part.owners():
        return Relation.WHOLE
    if part in thing.parts():
        return Relation.WHOLE
    if part in thing.owners() or thing in part.parts():
        return Relation.PART
    if _built_from(thing, part) or _built_from(part, thing):
        return Relation.UNKNOWN
    if thing.known and part.known:
        return Relation.OTHER
    if thing.parameter and part.parameter and thing.label not in part.label and part.label not in thing.label:
        return Relation.OTHER  # nobody hands the same module over twice, unless as `model` and `model_without_ddp`
    if thing.parent is not None and thing.parent is part.parent and thing.role is not Role.OPAQUE:
        return Relation.OTHER
    return Relation.UNKNOWN


def _built_from(thing: Thing, other: Thing) -> bool:
    """Whether `thing` was built from `other`, so that it may contain it or be another name for it."""
    seen: set[Thing] = set()
    todo = [thing]
    while todo:
        spend()
        item = todo.pop()
        if item is other:
            return True
        if item not in seen:
            seen.add(item)
            todo += item.captured
            if item.parent is not None:
                todo.append(item.parent)
    return False


def touches(target: Value | None, optimizer: Thing, part: Thing | None) -> Relation:
    """How much of what `optimizer` holds (of its `part`, if that is known) is touched by clearing `target`."""
    if target is None:
        return Relation.UNKNOWN
    if isinstance(target, Group | Table):
        return _best([touches(item, optimizer, part) for item in leaves(target)])
    if isinstance(target, Params):
        found = _best([touches(item, optimizer, part) for item in target.of])
        return Relation.UNKNOWN if found is Relation.OTHER and not target.complete else found
    if isinstance(target, Gradient):
        return touches(target.of, optimizer, part)
    if isinstance(target, Thing):
        return _touched_by(target, optimizer, part)
    return Relation.UNKNOWN


def _touched_by(target: Thing, optimizer: Thing, part: Thing | None) -> Relation:
    if target is optimizer:
        return Relation.WHOLE
    if target.role is Role.OPTIMIZER:
        if _built_from(target, optimizer) or _built_from(optimizer, target):
            return Relation.UNKNOWN
        if target.parameter is not optimizer.parameter:
            return Relation.UNKNOWN  # what a function is given may be what it knows by another name
        if target.label == optimizer.label and not (target.known and optimizer.known):
            return Relation.UNKNOWN
        if part is not None and target.holds is not None:
            return _best([covers(held, part) for held in target.holds])
        return Relation.OTHER
    if part is None:
        return Relation.UNKNOWN
    return covers(target, part)


def _best(found: list[Relation]) -> Relation:
    for relation in (Relation.WHOLE, Relation.PART, Relation.UNKNOWN):
        if relation in found:
            return relation
    return Relation.OTHER


def reaches(thing: Thing, optimizer: Thing, part: Thing | None) -> bool:
    """Whether unknown code that gets `thing` may clear, fill or step what `optimizer` holds."""
    if thing is optimizer or thing in optimizer.owners() or optimizer in thing.parts():
        return True
    if any(optimizer in value_parts(value) for value in thing.attrs.values()):
        return True
    if _built_from(thing, optimizer) or (_built_from(optimizer, thing) and thing.role is not Role.MODULE):
        return True
    if thing.role is Role.OPTIMIZER:
        return False
    if part is None:
        return optimizer.holds is None and thing.role in (Role.MODULE, Role.OPAQUE, Role.INSTANCE)
    return covers(thing, part) is not Relation.OTHER


def value_parts(value: Value) -> list[Value]:
    """A value, and the elements of it if it is a collection."""
    if isinstance(value, Group):
        return list(value.items)
    if isinstance(value, Table):
        return list(value.items.values())
    return [value]


def feeds(loss: Tensor, part: Thing | None) -> Relation:
    """Whether a backward pass from `loss` deposits into `part`: WHOLE if so, OTHER if not, else UNKNOWN."""
    if part is None:
        return Relation.UNKNOWN
    found = [covers(source, part) for source in loss.sources]
    if Relation.WHOLE in found or Relation.PART in found:
        return Relation.WHOLE
    if loss.complete and not loss.carried and all(relation is Relation.OTHER for relation in found):
        return Relation.OTHER
    return Relation.UNKNOWN
