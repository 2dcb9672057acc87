"""Draw what several models reach on the same folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from cellclf import get
from cellclf.pl import _by_fold
from cellclf.pl._given import check_measure, panels, table_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from matplotlib.axes import Axes

    from cellclf.tl import Baselines


def baselines(
    adata: AnnData | Baselines,
    *,
    measure: Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss"] = "macro_f1",
    key: str | None = None,
    ax: Sequence[Axes] | np.ndarray | None = None,
) -> np.ndarray:
    """Draw each model on each fold, the best on top, and the time that it took.

    Each point is a fold, each line the mean of the folds; blue is the network, grey are its own bars (a linear network on
    the same genes, the class frequencies), orange are the other models. After a split, validation and test rows count as
    folds.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.baselines` ran, or the :class:`cellclf.tl.Baselines` itself.
    measure
        ``"accuracy"``, ``"balanced_accuracy"``, ``"macro_f1"`` or ``"log_loss"``; of the log loss, models without
        probabilities have none.
    key
        The `key_added` of :func:`cellclf.tl.baselines`; `None`: ``"baselines"``. Not with a result.
    ax
        Two axes, for the measure and for the time; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`, as an array.

    Raises
    ------
    KeyError
        There is no such comparison in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `measure` is not known, the number of axes is not two, or `key` is given with a result.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5)}
    >>> found = cc.tl.baselines(adata, models=["nearest_neighbors"], n_folds=3, **quick)
    >>> ax = cc.pl.baselines(found)
    """
    check_measure(measure, _by_fold.LABELS)
    folds = table_of(
        adata,
        key,
        result="result",
        attribute="folds",
        default="baselines",
        fetch=lambda name: get.baselines(adata, table="folds", key=name),
    )
    means = folds.groupby("model", sort=False)[measure].mean().sort_values(ascending=measure == "log_loss")
    rows = [str(name) for name in means.index]
    axes = panels(ax, 2, width=7.6, height=0.3 * len(rows) + 1)
    _by_fold.draw(axes[0], folds, measure, names=folds["model"], rows=rows)
    seconds = folds.groupby("model")["seconds"].mean().reindex(rows).to_numpy(dtype=np.float64)
    axes[1].barh(np.arange(len(rows)), np.nan_to_num(seconds), height=0.55, color="#bbbbbb")
    for place, value in enumerate(seconds):
        text = "with the network" if np.isnan(value) else f"{value:.2g} s"
        axes[1].annotate(
            text, (np.nan_to_num(value), place), xytext=(3, 0), textcoords="offset points", va="center", size=8
        )
    axes[1].set(xlabel="Seconds per fold", ylim=axes[0].get_ylim(), yticks=[])
    axes[1].margins(x=0.3)
    axes[1].spines[["top", "right"]].set_visible(False)
    return axes
