"""loopguard keeps the promises of a PyTorch training loop."""

__all__ = ["__version__"]

__version__ = "0.1.0"
