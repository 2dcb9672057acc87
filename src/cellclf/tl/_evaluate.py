"""Judge a classifier on rows whose class is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.tl._model import read, resolve, truth

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error")
REPORT = ("precision", "recall", "f1", "support")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a classifier does, beside two models that it must beat.

    Parameters
    ----------
    summary
        One row each for the network, the linear network on the same genes and rows, and the class prior; columns
        accuracy, balanced_accuracy, macro_f1, log_loss (nats) and calibration_error.
    report
        One row per class: precision, recall, f1, support (number of cells).
    confusion
        Number of cells by true class (rows) and predicted class (columns).
    n_rows
        Number of cells judged.
    """

    summary: pd.DataFrame
    report: pd.DataFrame
    confusion: pd.DataFrame
    n_rows: int

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
    split: str = "split",
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
        a class, or of a class that the classifier never saw, are left out (a warning counts the latter).
    rows
        ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: the test rows, else the validation rows,
        else all labelled rows.
    layer
        Layer to use. `None`: the one that the classifier was trained on; ``"X"``: X itself.
    gene_symbols
        Column of `adata.var` with the gene names to match on.
    split
        Column of `adata.obs` with train / valid / test.
    key_added
        Where the classifier lies in `adata.uns`; also the first word of the written field.

    Returns
    -------
    An :class:`cellclf.tl.Evaluation`. Sets the following fields:

    `adata.uns['cellclf_evaluation']` : dict
        Record of the call; `summary` (n_models × n_metrics) with `models` and `metrics`, `report` (n_classes × 4),
        `confusion` (n_classes × n_classes, rows = truth), `classes`, `n_rows`.

    Raises
    ------
    KeyError
        There is no classifier, or `label` or `layer` is not in `adata`.
    ValueError
        None of the rows has a class of the classifier, or as for :func:`cellclf.tl.predict`.

    See Also
    --------
    cellclf.get.summary, cellclf.get.report, cellclf.get.confusion : the same tables from `adata`.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> cc.tl.evaluate(adata).accuracy > 0.7
    True
    """
    model = resolve(adata, classifier, key_added)
    name, codes = truth(adata, model, label)
    mask = _slots.chosen_rows(adata, rows, split, codes >= 0)
    parts = [
        block
        for values in read(adata, model, mask, layer=layer, gene_symbols=gene_symbols)
        for block in model.blocks(values.values)
    ]
    proba = np.concatenate([part.proba for part in parts])
    models = {
        "network": proba,
        "linear": np.concatenate([part.linear_proba for part in parts]),
        "prior": np.tile(model.prior, (len(proba), 1)),
    }
    result = _judge(models, codes[mask], model.classes)
    call = {"label": label, "rows": rows if isinstance(rows, str) else None, "layer": layer, "split": split}
    record = _slots.record(
        "tl.evaluate",
        call,
        classes=model.classes,
        label=name,
        models=np.array(result.summary.index, dtype=object),
        metrics=np.array(METRICS, dtype=object),
        summary=result.summary.to_numpy(),
        report=result.report.to_numpy(dtype=np.float64),
        confusion=result.confusion.to_numpy(),
        n_rows=result.n_rows,
    )
    _slots.write(adata, {"uns": {f"{key_added}_evaluation": record}})
    return result


def _judge(models: dict[str, np.ndarray], truth: np.ndarray, classes: np.ndarray) -> Evaluation:
    """Measure each model's probabilities (n_cells, n_classes) against the truth."""
    tables = {name: stats.confusion(truth, proba.argmax(axis=1), len(classes)) for name, proba in models.items()}
    rows = {
        name: [
            stats.accuracy(tables[name]),
            stats.balanced_accuracy(tables[name]),
            stats.macro_f1(tables[name]),
            stats.log_loss(proba, truth),
            stats.expected_calibration_error(proba, truth),
        ]
        for name, proba in models.items()
    }
    report = stats.classification_report(tables["network"])
    return Evaluation(
        summary=pd.DataFrame.from_dict(rows, orient="index", columns=list(METRICS)).rename_axis("model"),
        report=pd.DataFrame({name: report[name] for name in REPORT}, index=pd.Index(classes, name="class")),
        confusion=pd.DataFrame(
            tables["network"], index=pd.Index(classes, name="truth"), columns=pd.Index(classes, name="predicted")
        ),
        n_rows=len(truth),
    )
