"""What predictions are worth on rows whose class is known: the tables of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax

from cellclf import _slots, stats
from cellclf.tl._lesson import training_rows
from cellclf.tl._model import read, truth
from cellclf.tl._rows import split_digest
from cellclf.tl._tables import confusion_table, report_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anndata import AnnData

    from cellclf._classifier import Classifier

OF_CLASSES = ("precision", "recall", "f1")
INTERVALS = ("group", "model", "class", "measure", "value", "low", "high", "n_rows")
UNSEEN = ("class", "n_rows", "called", "confidence", "unknown_score", "auroc", "auroc_confidence")
N_BINS = 10  # of the reliability table
N_CONFIDENCES = 20


class Levels(NamedTuple):
    """A column of chosen rows: the level of each row (n_rows) and the names of the levels."""

    codes: np.ndarray
    names: np.ndarray


class Draws(NamedTuple):
    """How confidence intervals are found: number of draws, seed, and what is drawn as a whole (cells, where `None`)."""

    n: int
    seed: int
    units: Levels | None


def rows_to_judge(
    adata: AnnData, model: Classifier, label: str | None, rows: Any, split: str
) -> tuple[str, np.ndarray, np.ndarray, _slots.Labels]:
    """Return the label, each cell's class as the classifier counts (-1: none it knows), the rows to judge, and other classes.

    Of the last, only rows of the same part are given.
    """
    name, codes = truth(adata, model, label)
    mask = _slots.chosen_rows(adata, rows, split, codes >= 0)
    if rows is None or isinstance(rows, str):
        _say_if_learnt_from(adata, model, codes, mask, split, asked=rows is not None)
    found = _slots.labels(adata, name)
    strange = (found.codes >= 0) & (codes < 0)
    same_part = _slots.chosen_rows(adata, rows, split, strange | (codes >= 0))
    return name, codes, mask, found._replace(codes=np.where(strange & same_part, found.codes, -1))


def _say_if_learnt_from(
    adata: AnnData, model: Classifier, codes: np.ndarray, mask: np.ndarray, split: str, *, asked: bool
) -> None:
    """Warn where the split is no more that of the training; or where rows that nobody `asked` for are those learnt from."""
    known, here = model.facts.get("split"), split_digest(adata, split)
    if known is not None and here is not None and known["cells"] == here["cells"] and known["learnt"] != here["learnt"]:
        msg = (
            f"adata holds the cells of the training, but adata.obs[{split!r}] does not mark those that the classifier learnt from, "
            "so they may be among the cells to judge: what is measured says little of new cells. Train again, or name the split "
            "of the training by `split=`."
        )
        _slots.warn(msg)
        return
    learnt = None if asked else training_rows(adata, model, codes, split)
    if learnt is not None and (n := int((mask & learnt).sum())):
        msg = (
            f"{n} of the {int(mask.sum())} cells to judge are, it seems, those that the classifier learnt from: what is measured "
            "says little of new cells. Keep test rows out of training (`cc.pp.split`), or use `cc.tl.cross_validate`."
        )
        _slots.warn(msg)


def levels(adata: AnnData, argument: str, column: str | None, mask: np.ndarray) -> Levels | None:
    """Return a column of `obs` for some rows (mask), which must have a value each."""
    if column is None:
        return None
    values = _slots.member(adata.obs, column, argument, "adata.obs")[mask]
    codes, names = pd.factorize(values.astype(object), sort=False)
    if (codes < 0).any():
        msg = f"{argument}={column!r} has no value for {int((codes < 0).sum())} of the cells to judge. Fill it, or choose rows."
        raise ValueError(msg)
    return Levels(codes, np.array([str(name) for name in names], dtype=object))


def look(adata: AnnData, model: Classifier, rows: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    """Run the classifier over some rows (mask): probabilities of network and linear network, and strangeness."""
    blocks = [block for values in read(adata, model, rows, **options) for block in model.blocks(values.values)]
    return {
        "network": np.concatenate([block.proba for block in blocks]),
        "linear": np.concatenate([block.linear_proba for block in blocks]),
        "novelty": np.concatenate([block.network.novelty for block in blocks]),
    }


def tables(judged: Mapping[str, stats.Judged], classes: np.ndarray) -> dict[str, Any]:
    """Make the tables without intervals."""
    network = judged["network"]
    table = network.table()
    rows = {name: model.measures() for name, model in judged.items()}
    return {
        "summary": pd.DataFrame.from_dict(rows, orient="index", columns=list(stats.MEASURES)).rename_axis("model"),
        "report": report_table(table, classes),
        "confusion": confusion_table(table, classes),
        "n_rows": len(network.truth),
        "reliability": pd.DataFrame(stats.reliability(network.confidence, network.hit, N_BINS)),
        "confidences": np.histogram(network.confidence, bins=N_CONFIDENCES, range=(0, 1))[0],
    }


def before_and_after(proba: np.ndarray, truth: np.ndarray, temperature: float) -> pd.DataFrame:
    """Measure what the division of the logits by the temperature does to these rows."""
    logits = np.log(np.maximum(proba.astype(np.float64), np.finfo(np.float32).tiny)) * temperature
    measures = {"log_loss": stats.log_loss, "calibration_error": stats.expected_calibration_error}
    rows = {
        when: [measure(values, truth) for measure in measures.values()]
        for when, values in (("before", softmax(logits, axis=1)), ("after", proba))
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(measures)).rename_axis("temperature")


def intervals(judged: Mapping[str, stats.Judged], classes: np.ndarray, by: Levels | None, draws: Draws) -> pd.DataFrame:
    """Measure all rows, and those of each level, with the ends of 95 % intervals."""
    parts = [("", np.ones(len(judged["network"].truth), dtype=bool))]
    parts += [] if by is None else [(str(name), by.codes == k) for k, name in enumerate(by.names)]
    entries = [
        (group, model, *entry, int(rows.sum()))
        for group, rows in parts
        for model, of_all in judged.items()
        for entry in _measured(
            of_all.part(rows), classes, None if draws.units is None else draws.units.codes[rows], draws
        )
    ]
    return pd.DataFrame(entries, columns=list(INTERVALS))


def _measured(
    judged: stats.Judged, classes: np.ndarray, units: np.ndarray | None, draws: Draws
) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield class (empty for all), measure, value and ends of its interval."""
    table = judged.table()
    values, of_classes = judged.measures(), judged.by_class(table)
    ends, ends_of_classes = np.full((2, *values.shape), np.nan), np.full((2, *of_classes.shape), np.nan)
    if draws.n and (units is None or len(np.unique(units)) > 1):
        rng = np.random.default_rng([draws.seed, 0])  # the same rows for each model
        ends, ends_of_classes = stats.bootstrap(judged, units, n_repeats=draws.n, rng=rng)
    for i, measure in enumerate(stats.MEASURES):
        yield "", measure, values[i], ends[0, i], ends[1, i]
    for k, name in enumerate(classes):
        for i, measure in enumerate(OF_CLASSES):
            yield str(name), measure, of_classes[k, i], ends_of_classes[0, k, i], ends_of_classes[1, k, i]
        precision = stats.average_precision(judged.probabilities[:, k], judged.truth == k)
        yield str(name), "average_precision", precision, np.nan, np.nan


def strangers(
    values: Mapping[str, np.ndarray], known: np.ndarray, others: _slots.Labels, classes: np.ndarray
) -> pd.DataFrame:
    """Tell what becomes of cells of classes that the classifier never saw; `known` marks the cells that it is judged on."""
    confidence, entries = values["network"].max(axis=1), []
    for k in np.unique(others.codes[others.codes >= 0]):
        own = others.codes == k
        called = np.bincount(values["network"][own].argmax(axis=1), minlength=len(classes)).argmax()
        both = own | known
        entries.append(
            (
                str(others.classes[k]),
                int(own.sum()),
                str(classes[called]),
                float(confidence[own].mean()),
                float(values["novelty"][own].mean()),
                stats.auroc(values["novelty"][both], own[both]),
                stats.auroc(1 - confidence[both], own[both]),
            )
        )
    return pd.DataFrame(entries, columns=list(UNSEEN)).astype({"n_rows": np.int64})
