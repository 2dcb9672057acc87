"""How few genes are enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.fit import Fit
from cellclf.nn import MLP
from cellclf.pp import _conditions, _gene_scores, _select_genes
from cellclf.tl._attempt import Problem
from cellclf.tl._genes import N_GENES, values_and_names
from cellclf.tl._panels import Judge, measure, train_panels
from cellclf.tl._rows import plan, test_rows
from cellclf.tl._start import settings
from cellclf.tl._tables import columns as columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._types import Matrix, Rng
    from cellclf.nn._registry import Description
    from cellclf.tl._rows import LearningRows

SIZES = (10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, eq=False)
class PanelCurve:
    """How well panels of the best genes do, beside the full model.

    Parameters
    ----------
    table
        One row per panel, the full model last (`full`). On the validation cells: `macro_f1`, `accuracy` and their
        standard errors, `linear_macro_f1` of a linear network on the same genes, `difference` of macro-F1 from the full
        model with the standard error of that, and whether it is `within_tolerance`. On the test cells, NaN if there are
        none: `test_macro_f1`, its standard error and `test_accuracy`.
    ranking
        The ranked genes, the best first, up to the largest panel.
    full_genes
        The genes of the full model.
    tolerance
        How far below the full model's macro-F1 a panel may lie.
    interrupted
        Whether the user stopped the work; the panels that were finished are there.
    """

    table: pd.DataFrame
    ranking: np.ndarray
    full_genes: np.ndarray
    tolerance: float
    interrupted: bool = False

    @property
    def smallest(self) -> int:
        """Number of genes of the smallest panel within the tolerance; of the full model where none is."""
        enough = self.table["within_tolerance"].to_numpy()
        return int(self.table["n_genes"].to_numpy()[enough].min())

    @property
    def panel(self) -> np.ndarray:
        """The genes of that panel."""
        panels = self.table[~self.table["full"] & self.table["within_tolerance"]]
        return self.full_genes if panels.empty else self.ranking[: panels["n_genes"].min()]

    def __str__(self) -> str:
        """Show the table, and which panel is enough."""
        shown = self.table[["n_genes", "macro_f1", "macro_f1_se", "difference", "difference_se", "test_macro_f1"]]
        table = shown.to_string(index=False, float_format="{:.3f}".format)
        error = self.table["difference_se"][self.table["n_genes"] == self.smallest].min()
        found = f"{self.smallest} genes are within {self.tolerance:g} of the full model"
        return f"{table}\n{found} (standard error of the difference: {error:.3f})"


def panel_curve(
    adata: AnnData,
    label: str | None = None,
    *,
    n_genes: Sequence[int] = SIZES,
    by: str = "mi",
    ascending: bool = False,
    network: Description | None = None,
    fit: Fit | None = None,
    tolerance: float = 0.01,
    layer: str | None = None,
    split: str | None = "split",
    rng: Rng = 0,
    key_added: str = "panel_curve",
) -> PanelCurve:
    """Measure how few genes are enough.

    The genes are ranked on the training rows, and the network is trained on the best 10, 20, 50, … of them and, as the
    full model, on the genes that :func:`cellclf.tl.train` would choose. All are trained on the training rows alone and
    judged by macro-F1 on the validation rows; the smallest panel within `tolerance` of the full model is
    :attr:`PanelCurve.smallest`.

    The test rows have no part in that choice. Their macro-F1 stands beside it and is the number to report: that on
    the validation rows is a little too high, since they chose the epoch, the temperature and the panel. Where the
    standard error of a difference exceeds `tolerance`, the choice is partly chance: more validation cells help.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. X is not changed.
    label
        Column of `adata.obs` with the class of each cell; cells without one are left out. `None`: the one recorded
        on this AnnData, else the only column that can be a label.
    n_genes
        Sizes of the panels. Sizes beyond the number of ranked genes are left out.
    by
        What ranks the genes. ``"mi"``: the default of :func:`cellclf.pp.select_genes`, for all classes together. Any other
        score of :func:`cellclf.pp.gene_scores` is computed afresh on the training rows and orders them. Any other column
        of `adata.var`, such as ``"selected_rank"``, is taken as it stands, and must not have been learnt from validation
        or test rows.
    ascending
        The smallest value is the best, as for ranks.
    network
        What to train, such as :class:`cellclf.nn.MLP` (default) or :class:`cellclf.nn.Linear`.
    fit
        How to train it; `None` for the defaults of :class:`cellclf.Fit`. `refit` has no effect here: validation rows
        must stay unseen.
    tolerance
        How far below the full model's macro-F1 a panel may lie.
    layer
        Layer to use instead of X.
    split
        Column of `adata.obs` with train / valid / test. If ``"split"`` is not there, it is made (80 / 10 / 10 %). Where no
        row is marked valid, a tenth of each class is taken out of the training rows. `None`: all labelled rows are
        training rows.
    rng
        Seed or generator; every panel is trained with the same.
    key_added
        Key of `adata.uns` for the record.

    Returns
    -------
    A :class:`PanelCurve`. Sets the following fields:

    `adata.uns['panel_curve']` : dict
        Record of the call; the columns of the table as arrays in `table`, `ranking`, `panel` (the genes of the smallest
        sufficient panel), `smallest`, `tolerance`, `n_valid` and `n_test`.
    `adata.obs['split']`, `adata.uns['split']`
        As :func:`cellclf.pp.split` writes them, where they were missing and `split="split"`.

    Raises
    ------
    KeyError
        `label`, `layer`, `split` or `by` is not in `adata`.
    ValueError
        Sizes that are no whole numbers, fewer ranked genes than the smallest panel, a negative tolerance, no validation
        rows, or as for :func:`cellclf.tl.train`.
    KeyboardInterrupt
        The work was stopped before the full model was finished; later, the finished panels are returned.

    See Also
    --------
    cellclf.pl.panel_curve : draw it.
    cellclf.pp.select_genes : rankings without redundancy, to be used by ``by="selected_rank", ascending=True``.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> curve = cc.tl.panel_curve(adata, "bulk_labels", n_genes=[5, 100], fit=cc.Fit(epochs=10))
    >>> curve.table["n_genes"].tolist()
    [5, 100, 765]
    >>> adata.var["panel"] = adata.var_names.isin(curve.panel)
    >>> clf = cc.tl.train(adata, "bulk_labels", genes="panel")
    """
    _slots.check_key(key_added)
    sizes = _sizes(n_genes, tolerance)
    fit, network = replace(settings(fit), refit=False), network or MLP()
    x, names = values_and_names(adata, layer)
    seed = int(np.random.default_rng(rng).integers(2**62))
    rows, slots = plan(adata, _slots.labels(adata, label), split, fit, seed)
    judge = Judge(adata, rows.found.codes, rows.valid, test_rows(adata, split, slots, rows), layer, seed)
    if not rows.valid.any():
        msg = (
            "There are no validation rows to choose the panel by, and no class of the training rows can spare a cell. "
            "Mark some rows as 'valid'."
        )
        raise ValueError(msg)
    codes = np.where(rows.train, rows.found.codes, -1)
    scores = _gene_scores.compute(x, codes, len(rows.found.classes))
    order = _order(adata, x, codes, scores, by, ascending, sizes[-1])
    panels = [order[:size] for size in sizes if size <= order.size]
    if not panels:
        msg = f"Only {order.size} genes have a value in by={by!r}, fewer than the smallest panel of {sizes[0]}. Add sizes."
        raise ValueError(msg)
    full = np.flatnonzero(~np.isnan(_select_genes.rank_in_turns(scores, N_GENES)))
    problem = Problem(x, names, rows, lambda _: full, description=network, options=fit, seed=seed)
    reference, verdicts, interrupted = train_panels(problem, full, panels, judge)
    lines = [
        {"n_genes": len(columns), "full": columns is full}
        | measure(verdict, reference, judge, len(rows.found.classes), tolerance)
        for columns, verdict in zip([*panels[: len(verdicts)], full], [*verdicts, reference], strict=True)
    ]
    table = pd.DataFrame(lines)
    curve = PanelCurve(table, names[panels[-1]], names[full], float(tolerance), interrupted)
    call: dict[str, Any] = {"label": label, "n_genes": sizes, "by": by, "ascending": ascending, "network": network}
    call |= {"fit": fit, "tolerance": tolerance, "layer": layer, "split": split, "rng": rng, "key_added": key_added}
    _slots.write(adata, _slots.merge(slots, {"uns": {key_added: _record(curve, call, rows, judge)}}))
    return curve


def _sizes(n_genes: Sequence[int], tolerance: float) -> list[int]:
    """Order the sizes of the panels, each once; refuse what is no size, and tolerances without meaning."""
    sizes = list(np.atleast_1d(np.asarray(n_genes, dtype=object)))
    if not sizes:
        msg = "n_genes is empty. Give the sizes of the panels, such as (10, 100)."
        raise ValueError(msg)
    for size in sizes:
        _conditions.require_count(size, "n_genes", "how many genes each panel holds")
    if isinstance(tolerance, bool) or not 0 <= tolerance < np.inf:
        msg = f"tolerance={tolerance!r} is no difference of macro-F1. Give a number such as 0.01."
        raise ValueError(msg)
    return sorted({int(size) for size in sizes})


def _order(
    adata: AnnData,
    x: Matrix,
    codes: np.ndarray,
    scores: dict[str, np.ndarray],
    by: str,
    ascending: bool,
    n_genes: int,
) -> np.ndarray:
    """Return the genes from the best on, by what the training rows say of them or by a column of `var`."""
    if by == "mi" and not ascending:
        return stats.covering(x, codes, _conditions.corrected_by_class(scores), n_genes=n_genes)
    ours = by in _gene_scores.SCORES
    return stats.by_score(scores[by] if ours else _conditions.scores(adata, by), ascending=ascending)


def _record(curve: PanelCurve, call: dict[str, Any], rows: LearningRows, judge: Judge) -> dict[str, Any]:
    """Lay out the curve so that every file format keeps it."""
    return _slots.record(
        "tl.panel_curve",
        call,
        classes=rows.found.classes,
        label=rows.found.name,
        table=columns_of(curve.table),
        ranking=curve.ranking,
        panel=curve.panel,
        smallest=curve.smallest,
        tolerance=curve.tolerance,
        n_valid=int(judge.valid.sum()),
        n_test=int(judge.test.sum()),
    )
