"""Draw a search for settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.ticker import MaxNLocator, NullFormatter

from cellclf import get
from cellclf.pl._by_fold import LABELS
from cellclf.pl._display import BLUE, GREY, ORANGE, wrapped
from cellclf.pl._given import legend_above, panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from cellclf.tl import Tuning

WORDS = ((BLUE, "all folds"), (GREY, "given up"), (ORANGE, "best"))


def tune(
    adata: AnnData | Tuning, *, key: str | None = None, ax: Sequence[Axes] | np.ndarray | None = None
) -> np.ndarray:
    """Draw the trials of a search: in their order, and against each setting.

    Blue points ran all folds, grey ones were given up after some. The line is the best so far, the orange point the best.
    Settings searched by :class:`cellclf.tl.LogUniform` have a logarithmic axis.

    Parameters
    ----------
    adata
        Annotated data on which :func:`cellclf.tl.tune` ran, or the :class:`cellclf.tl.Tuning` itself.
    key
        The `key_added` of :func:`cellclf.tl.tune`; `None`: ``"tune"``. Not with a result.
    ax
        One axes more than there are settings; `None` for a new figure.

    Returns
    -------
    The :class:`matplotlib.axes.Axes`, as an array.

    Raises
    ------
    KeyError
        There is no such search in `adata`.
    TypeError
        `adata` is neither.
    ValueError
        The number of axes does not fit, or `key` is given with a result.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5)}
    >>> space = cc.tl.Space(fit={"weight_decay": cc.tl.Uniform(0.0, 0.1)})
    >>> found = cc.tl.tune(adata, space=space, n_trials=2, n_folds=2, **quick)
    >>> ax = cc.pl.tune(found)
    """
    trials, metric, best = _content(adata, key)
    settings = [name for name in trials.columns if "." in name]
    axes = panels(ax, 1 + len(settings), width=3.2 + 2.4 * len(settings), height=3.0)
    colours = np.where(trials["state"] == "complete", BLUE, GREY)
    colours[int(np.argmax((trials["value"] == best) & (trials["state"] == "complete")))] = ORANGE
    numbers = np.arange(1, len(trials) + 1)
    style: dict[str, Any] = {"c": colours, "s": 24, "linewidths": 0, "zorder": 3}
    axes[0].scatter(numbers, trials["value"], **style)
    complete = trials["value"].where(trials["state"] == "complete")
    so_far = (complete.cummin() if metric == "log_loss" else complete.cummax()).ffill()
    axes[0].plot(numbers, so_far, color=BLUE, linewidth=1.2, drawstyle="steps-post")
    axes[0].set(xlabel="Trial", ylabel=LABELS[metric])
    axes[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for panel, name in zip(axes[1:], settings, strict=True):
        values = trials[name]
        if pd.api.types.is_numeric_dtype(values):
            panel.scatter(values, trials["value"], **style)
            if name in trials.attrs.get("logarithmic", ()):
                panel.set_xscale("log")
                panel.xaxis.set_minor_formatter(NullFormatter())
            else:
                panel.xaxis.set_major_locator(MaxNLocator(4))
        else:
            options = sorted(set(values))
            panel.scatter([options.index(value) for value in values], trials["value"], **style)
            panel.set_xticks(range(len(options)), labels=wrapped(options, 12), rotation=45, ha="right")
            panel.set_xlim(-0.6, len(options) - 0.4)
        panel.set_xlabel(name.partition(".")[2])
        panel.sharey(axes[0])
        panel.tick_params(labelleft=False)
    for colour, word in WORDS:
        axes[0].scatter([], [], color=colour, s=24, linewidths=0, label=word)
    legend_above(axes[0])
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return axes


def _content(adata: AnnData | Tuning, key: str | None) -> tuple[pd.DataFrame, str, float]:
    """Return trials, metric and best value of what was given."""
    if isinstance(adata, AnnData):
        trials = get.tune(adata, key=key or "tune")
        return trials, trials.attrs["metric"], trials.attrs["value"]
    if not hasattr(adata, "trials") or not hasattr(adata, "metric"):
        msg = f"adata is a {type(adata).__name__}. Give an AnnData or a Tuning."
        raise TypeError(msg)
    if key is not None:
        msg = f"key={key!r} names a place in an AnnData, but the search itself is given. Leave key out."
        raise ValueError(msg)
    return adata.trials, adata.metric, adata.value
