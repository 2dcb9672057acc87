"""Draw a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData
from matplotlib.ticker import MaxNLocator

from cellclf import get
from cellclf.pl._display import BLUE, GREEN, GREY, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from cellclf._classifier import Classifier


def history(
    adata: AnnData | Classifier, *, key: str | None = None, ax: Sequence[Axes] | np.ndarray | None = None
) -> np.ndarray:
    """Draw how loss and accuracy went, epoch by epoch.

    Left: what the training minimised, and the log loss on the validation rows; right: accuracy and macro-F1 on the
    validation rows, and dotted those of the training batches, which dropout makes harder. A dashed line marks the epoch
    whose weights were kept: the last one that the validation rows do not show to be worse than the best.

    Parameters
    ----------
    adata
        Annotated data on which a classifier was trained, or the :class:`cellclf.Classifier` itself.
    key
        The `key_added` of :func:`cellclf.tl.train`; `None`: ``"cellclf"``. Not with a classifier.
    ax
        Two axes to draw on; `None` for a new figure.

    Returns
    -------
    The two :class:`matplotlib.axes.Axes`, as an array.

    Raises
    ------
    KeyError
        There is no such training in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `ax` does not hold two axes, or `key` is given with a classifier.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> axes = cc.pl.history(clf)
    """
    table = _table(adata, key)
    if ax is None:
        ax = plt.subplots(1, 2, figsize=(9.4, 3.2), layout="constrained")[1]
    axes = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if len(axes) != 2:
        msg = f"ax holds {len(axes)} axes; the history has two panels. Give two, such as plt.subplots(1, 2)[1]."
        raise ValueError(msg)
    judged = table["valid_loss"].notna().any()
    _curves(axes[0], table, {"train_loss": ("training objective", GREY), "valid_loss": ("validation log loss", BLUE)})
    _curves(axes[1], table, {"valid_accuracy": ("accuracy", BLUE), "valid_macro_f1": ("macro-F1", ORANGE)})
    _curves(axes[1], table, {"train_accuracy": ("_", BLUE), "train_macro_f1": ("_", ORANGE)}, style=":")
    axes[0].set_ylabel("Loss (nats)")
    axes[1].set_ylabel("Validation rows (dotted: training)")
    for panel in axes:
        _finish(panel, table.attrs["best_epoch"] if judged else None)
    if not judged:
        axes[1].text(0.5, 0.5, "no validation rows", transform=axes[1].transAxes, ha="center", va="center", color=GREY)
    return axes


def _table(adata: AnnData | Classifier, key: str | None) -> pd.DataFrame:
    """Return the history of what was given."""
    if isinstance(adata, AnnData):
        return get.history(adata, key=key or "cellclf")
    if not hasattr(adata, "history"):
        msg = f"adata is a {type(adata).__name__}. Give an AnnData or a Classifier."
        raise TypeError(msg)
    if key is not None:
        msg = f"key={key!r} names a place in an AnnData, but a classifier is given. Leave key out."
        raise ValueError(msg)
    return adata.history


def _curves(ax: Axes, table: pd.DataFrame, columns: dict[str, tuple[str, str]], *, style: str = "-") -> None:
    """Draw columns against the epoch, those that were measured."""
    marker = "o" if len(table) <= 40 and style == "-" else ""
    for column, (label, colour) in columns.items():
        if column in table and table[column].notna().any():
            ax.plot(
                table["epoch"],
                table[column],
                style,
                color=colour,
                label=label,
                linewidth=1.5,
                marker=marker,
                markersize=3,
            )


def _finish(ax: Axes, best: int | None) -> None:
    """Mark the epoch whose weights were kept, and keep the legend above the curves."""
    if best is not None:
        ax.axvline(best, color=GREEN, linestyle="--", linewidth=1, label=f"epoch kept ({best})", zorder=1)
    ax.set_xlabel("Epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=0,
            ncols=3,
            frameon=False,
            fontsize="small",
            handlelength=1.4,
            columnspacing=1,
        )
