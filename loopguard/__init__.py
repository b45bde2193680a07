"""loopguard keeps the promises of a PyTorch training loop.

`guard` watches a block or a function, `wrap` one optimizer, `ledger` tells what each gradient is made of now.
They need torch, which is imported when one of them is first asked for.
"""

# Nothing is imported here: with `python -m loopguard`, the current directory is still the first to be asked.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from loopguard.errors import TrainingLoopError
    from loopguard.runtime.guard import guard, ledger, wrap

__all__ = ["TrainingLoopError", "__version__", "guard", "ledger", "wrap"]

__version__ = "0.1.0"

_HOMES = {
    "TrainingLoopError": "loopguard.errors",
    "guard": "loopguard.runtime.guard",
    "ledger": "loopguard.runtime.guard",
    "wrap": "loopguard.runtime.guard",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module `loopguard` has no attribute `{name}`")
    try:
        value: object = getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise ImportError(f"`loopguard.{name}` needs torch: pip install 'torch-loopguard[runtime]'") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
