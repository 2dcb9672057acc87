"""Supervised learning for AnnData: gene selection, classifiers, predictions to trust, and the genes behind them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellclf import datasets, get, io, nn, pl, pp, tl
    from cellclf._classifier import Classifier
    from cellclf.fit import Fit

__all__ = ["Classifier", "Fit", "__version__", "datasets", "get", "io", "nn", "pl", "pp", "tl"]

__version__ = "0.1.0"

_LAZY = {"Classifier": "cellclf._classifier", "Fit": "cellclf.fit"}


def __getattr__(name: str) -> object:
    """Load a wing of the package, and the heavy libraries behind it, when it is first used (PEP 562)."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in __all__:
        return import_module(f"cellclf.{name}")
    msg = f"module 'cellclf' has no attribute {name!r}; it offers {', '.join(__all__)}."
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
