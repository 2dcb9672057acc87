"""Judge a classifier on rows whose class is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf import _slots, stats
from cellclf.tl._inputs import check_number
from cellclf.tl._judge import Draws, before_and_after, intervals, levels, look, rows_to_judge, strangers, tables
from cellclf.tl._model import resolve
from cellclf.tl._tables import columns

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a classifier does, beside two models that it must beat.

    Parameters
    ----------
    summary
        One row each for the network, the linear network on the same genes and rows, and the class prior; columns
        accuracy, balanced_accuracy, macro_f1, median_f1, log_loss (nats), brier and calibration_error.
    report
        One row per class: precision, recall, f1, support (number of cells).
    confusion
        Number of cells by true class (rows) and predicted class (columns).
    n_rows
        Number of cells judged.
    intervals
        One row per number, with the ends `low` and `high` of its 95 % interval; columns `group` (empty for all cells, else a value
        of the column given as `by`), `model`, `class` (empty for measures of all classes), `measure`, `value`, `low`, `high`,
        `n_rows`. Of each class there are precision, recall, F1 and average precision, the last without an interval.
    reliability
        One row per bin of equally many cells, by confidence: `n_rows`, `confidence`, `accuracy`, and the 95 % interval of the
        accuracy, `low` and `high`.
    calibration
        Log loss and calibration error of the network on these cells `before` and `after` its logits were divided by the
        temperature.
    confidences
        Number of cells by confidence, in 20 equally wide bins from 0 to 1.
    unseen
        One row per class that the classifier never saw, whose cells are in none of the above: `n_rows`, `called` (the class most of
        them were given), mean `confidence`, mean `unknown_score`, and the area under the ROC curve by which unknown score and
        one minus confidence tell them from the cells judged, `auroc` and `auroc_confidence`.
    """

    summary: pd.DataFrame
    report: pd.DataFrame
    confusion: pd.DataFrame
    n_rows: int
    intervals: pd.DataFrame
    reliability: pd.DataFrame
    calibration: pd.DataFrame
    confidences: np.ndarray
    unseen: pd.DataFrame

    def __str__(self) -> str:
        """Show the three models side by side."""
        return f"{self.n_rows} cells\n{self.summary.to_string(float_format='{:.3f}'.format)}"

    @property
    def accuracy(self) -> float:
        """Share of cells whose class was found."""
        return self._of_network("accuracy")

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall over the classes that occur."""
        return self._of_network("balanced_accuracy")

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that occur."""
        return self._of_network("macro_f1")

    @property
    def log_loss(self) -> float:
        """Mean of minus the logarithm of the probability given to the true class, in nats."""
        return self._of_network("log_loss")

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the top class, 15 bins."""
        return self._of_network("calibration_error")

    @property
    def median_f1(self) -> float:
        """Median F1 over the classes that occur."""
        return self._of_network("median_f1")

    @property
    def brier(self) -> float:
        """Mean squared distance between probabilities and truth."""
        return self._of_network("brier")

    def _of_network(self, metric: str) -> float:
        """Return a metric of the network itself."""
        return float(self.summary[metric]["network"])


def evaluate(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    label: str | None = None,
    rows: str | Sequence[bool] | np.ndarray | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    by: str | None = None,
    groups: str | None = None,
    n_bootstrap: int = 500,
    split: str = "split",
    rng: Rng = 0,
    key_added: str = "cellclf",
) -> Evaluation:
    """Judge a classifier on rows whose class is known, beside the class prior and a linear network.

    Parameters
    ----------
    adata
        Annotated data with the true classes in `adata.obs`. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns[key_added]`.
    label
        Column of `adata.obs` with the true classes. `None`: the one that the classifier was trained on. Cells without
        a class are left out; those of a class that the classifier never saw are told of by themselves, with a warning.
    rows
        ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: the test rows, else the validation rows,
        else all labelled rows, with a warning where the classifier seems to have learnt from them.
    layer
        Layer to use. `None`: the one that the classifier was trained on; ``"X"``: X itself.
    gene_symbols
        Column of `adata.var` with the gene names to match on.
    by
        Column of `adata.obs`, such as the batch, for whose values the measures are also given one by one.
    groups
        Column of `adata.obs`, such as the donor, whose values are drawn as a whole for the confidence intervals, since cells of
        one donor are more alike than cells of two. `None`: cells are drawn one by one, which says how far the result would
        scatter with other cells of the same donors.
    n_bootstrap
        Number of draws for the confidence intervals; 0 for none.
    split
        Column of `adata.obs` with train / valid / test.
    rng
        Seed or generator of the draws.
    key_added
        Where the classifier lies in `adata.uns`; also the first word of the written field.

    Returns
    -------
    An :class:`cellclf.tl.Evaluation`. Sets the following fields:

    `adata.uns['cellclf_evaluation']` : dict
        Record of the call; `summary` (n_models × n_measures) with `models` and `metrics`, `report` (n_classes × 4),
        `confusion` (n_classes × n_classes, rows = truth), `classes`, `n_rows`, `confidences`, and one array per column of
        `intervals`, `reliability`, `calibration` and `unseen`.

    Raises
    ------
    KeyError
        There is no classifier, or `label`, `layer`, `by` or `groups` is not in `adata`.
    ValueError
        None of the rows has a class of the classifier, `by` or `groups` lacks values, or as for :func:`cellclf.tl.predict`.

    Warns
    -----
    UserWarning
        The split is not the one that the classifier was trained with; cells that nobody chose to judge were learnt from; cells
        have classes that the classifier never saw; or as for :func:`cellclf.tl.predict`.

    See Also
    --------
    cellclf.get.summary, cellclf.get.report, cellclf.get.confusion, cellclf.get.intervals, cellclf.get.reliability, \
    cellclf.get.unseen : the same tables from `adata`.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> cc.tl.evaluate(adata).accuracy > 0.7
    True
    """
    check_number("n_bootstrap", n_bootstrap, "draws", least=0)
    model = resolve(adata, classifier, key_added)
    name, codes, mask, others = rows_to_judge(adata, model, label, rows, split)
    by_levels, units = levels(adata, "by", by, mask), levels(adata, "groups", groups, mask)
    every = mask | (others.codes >= 0)
    values, seen = look(adata, model, every, layer=layer, gene_symbols=gene_symbols), mask[every]
    truth = codes[mask]
    probabilities = {"network": values["network"][seen], "linear": values["linear"][seen]}
    probabilities["prior"] = np.tile(model.prior, (len(truth), 1))
    judged = {of: stats.Judged.of(proba, truth) for of, proba in probabilities.items()}
    draws = Draws(n_bootstrap, int(np.random.default_rng(rng).integers(2**62)), units)
    result = Evaluation(
        **tables(judged, model.classes),
        intervals=intervals(judged, model.classes, by_levels, draws),
        calibration=before_and_after(probabilities["network"], truth, model.temperature),
        unseen=strangers(values, seen, others._replace(codes=others.codes[every]), model.classes),
    )
    call: dict[str, Any] = {
        "label": label,
        "rows": rows if isinstance(rows, str) else None,
        "layer": layer,
        "split": split,
    }
    call |= {"by": by, "groups": groups, "n_bootstrap": n_bootstrap}
    record = _slots.record(
        "tl.evaluate",
        call,
        classes=model.classes,
        label=name,
        models=np.array(result.summary.index, dtype=object),
        metrics=np.array(result.summary.columns, dtype=object),
        summary=result.summary.to_numpy(),
        report=result.report.to_numpy(dtype=np.float64),
        confusion=result.confusion.to_numpy(),
        n_rows=result.n_rows,
        confidences=result.confidences,
        calibration=columns(result.calibration.reset_index()),
        **{table: columns(getattr(result, table)) for table in ("intervals", "reliability", "unseen")},
    )
    _slots.write(adata, {"uns": {f"{key_added}_evaluation": record}})
    return result
