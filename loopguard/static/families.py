"""Whether a file's `backward` and `step` are PyTorch's, or those of another library with the same words."""

from __future__ import annotations

from loopguard.static.library import OTHER_FAMILIES, TORCH_FAMILY
from loopguard.static.scope import Names
from loopguard.static.values import Class, FileValue, Function


def is_pytorch(file: Names) -> bool:
    """Whether the file uses PyTorch: it imports it, or imports something that does and no other library of its kind."""
    tops = file.imported_packages
    if "torch" in tops:
        return True
    if tops & OTHER_FAMILIES:
        return False  # some packages of the family have other backends too
    if tops & TORCH_FAMILY:
        return True
    if file.star_imports:
        return True
    # Nothing of the family by name: the project's own modules may bring it in.
    return any(
        (isinstance(value, FileValue) and bool(value.file.imported_packages & TORCH_FAMILY))
        or (
            isinstance(value, Function | Class)
            and value.file is not file
            and bool(value.file.imported_packages & TORCH_FAMILY)
        )
        for value in (file.env.lookup(name) for name in list(file.env.variables))
    )
