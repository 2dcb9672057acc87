"""What a picture is drawn of: an AnnData, or the result itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd
    from matplotlib.axes import Axes


def table_of(
    adata: Any, key: str | None, *, result: str, attribute: str, default: str, fetch: Callable[[str], pd.DataFrame]
) -> pd.DataFrame:
    """Return the table of what was given: `fetch(key)` from an AnnData, or the `attribute` of a result."""
    if isinstance(adata, AnnData):
        return fetch(key or default)
    if not hasattr(adata, attribute):
        msg = f"adata is a {type(adata).__name__}. Give an AnnData or what cc.tl.{default} returned."
        raise TypeError(msg)
    if key is not None:
        msg = f"key={key!r} names a place in an AnnData, but the {result} itself is given. Leave key out."
        raise ValueError(msg)
    return getattr(adata, attribute)


def check_measure(measure: str, known: Iterable[str]) -> None:
    """Refuse a measure that is not in the tables."""
    if measure not in known:
        msg = f"measure={measure!r} is not known. Choose one of {', '.join(map(repr, known))}."
        raise ValueError(msg)


def check_n_genes(n_genes: object) -> None:
    """Refuse what is no number of genes."""
    if isinstance(n_genes, bool) or not isinstance(n_genes, int | np.integer) or n_genes < 1:
        msg = f"n_genes={n_genes!r} is no number of genes. Give a whole number of 1 or more."
        raise ValueError(msg)


def panels(ax: Sequence[Axes] | np.ndarray | None, n: int, *, width: float, height: float) -> np.ndarray:
    """Return the axes given, or those of a new figure with so many panels side by side."""
    if ax is None:
        ax = plt.subplots(1, n, figsize=(width, height), layout="constrained", squeeze=False)[1]
    return given_axes(ax, n)


def given_axes(ax: Sequence[Axes] | np.ndarray, n: int) -> np.ndarray:
    """Return the axes given, refusing more or fewer than there are panels."""
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != n:
        msg = f"ax holds {len(axes)} axes; the picture has {n} panels. Give as many, such as plt.subplots(1, {n})[1]."
        raise ValueError(msg)
    return axes


def legend_above(ax: Axes, n_columns: int = 3) -> None:
    """Keep the legend above the curves."""
    style: dict[str, Any] = {
        "frameon": False,
        "fontsize": "small",
        "handlelength": 1.4,
        "columnspacing": 1,
        "borderaxespad": 0,
    }
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=n_columns, **style)
