"""Draw how far confidence can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from anndata import AnnData

from cellclf import get
from cellclf.get._reliability import calibration, confidences
from cellclf.pl import _display, _given

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from cellclf.tl import Evaluation


def reliability(
    adata: AnnData | Evaluation, *, key: str | None = None, ax: Sequence[Axes] | np.ndarray | None = None
) -> np.ndarray:
    """Draw how often the network was right, by how sure it was.

    Above, one point per bin of equally many cells: its mean confidence and the share of its cells whose class was found, with the
    95 % interval :cite:p:`Clopper1934` and the number of cells. On the diagonal, confidence means what it says; below, the network
    is too sure of itself. The calibration error is given before and after the logits were divided by the temperature. Below the
    diagram, the number of cells by confidence.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.evaluate` ran, or the :class:`cellclf.tl.Evaluation` itself.
    key
        Where the evaluation lies in `adata.uns`; `None`: ``"cellclf_evaluation"``. Not with an evaluation.
    ax
        Two axes to draw on; `None` for a new figure.

    Returns
    -------
    Array of the two :class:`matplotlib.axes.Axes`.

    Raises
    ------
    KeyError
        There is no such evaluation in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        `key` is given with an evaluation, or `ax` holds other than two axes.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> clf = cc.tl.train(adata, network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> evaluation = cc.tl.evaluate(adata, n_bootstrap=0)
    >>> ax = cc.pl.reliability(evaluation)
    """
    bins = _given.table_of(
        adata,
        key,
        result="evaluation",
        attribute="reliability",
        default="cellclf_evaluation",
        fetch=lambda name: get.reliability(adata, key=name),
    )
    name = key or "cellclf_evaluation"
    errors = calibration(adata, name) if isinstance(adata, AnnData) else adata.calibration
    counts = confidences(adata, name) if isinstance(adata, AnnData) else adata.confidences
    if ax is None:
        ax = plt.subplots(
            2, 1, figsize=(4.6, 5.6), sharex=True, layout="constrained", gridspec_kw={"height_ratios": [3.2, 1]}
        )[1]
    diagram, histogram = _given.panels(ax, 2, width=0, height=0)
    _draw_bins(diagram, bins, errors["calibration_error"])
    edges = np.linspace(0, 1, len(counts) + 1)
    histogram.stairs(counts, edges, fill=True, color=_display.BLUE, alpha=0.35)
    histogram.set(xlabel="Confidence", ylabel="Cells", xlim=(0, 1))
    histogram.spines[["top", "right"]].set_visible(False)
    return np.array([diagram, histogram], dtype=object)


def _draw_bins(ax: Axes, bins: pd.DataFrame, errors: pd.Series) -> None:
    """Draw accuracy against confidence."""
    ax.plot([0, 1], [0, 1], color=_display.GREY, linewidth=0.8, linestyle="--", label="as sure as it is right")
    below, above = bins["accuracy"] - bins["low"], bins["high"] - bins["accuracy"]
    ax.errorbar(
        bins["confidence"],
        bins["accuracy"],
        yerr=np.stack([below, above]).clip(min=0),
        fmt="o",
        markersize=5,
        color=_display.BLUE,
        elinewidth=1,
        capsize=2,
        label=f"found, 95 % interval ({_cells(bins['n_rows'])} a point)",
    )
    ax.set(ylabel="Share whose class was found", xlim=(0, 1), ylim=(-0.02, 1.02))
    ax.set_title(
        f"calibration error {errors['after']:.3f} (uncalibrated {errors['before']:.3f})", fontsize=10, loc="left"
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small", loc="lower right")


def _cells(n_rows: pd.Series) -> str:
    """Say how many cells the bins hold."""
    least, most = int(n_rows.min()), int(n_rows.max())
    return f"{least:,} cells" if least == most else f"{least:,} to {most:,} cells"
