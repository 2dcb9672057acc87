"""Rows that are left out in turn, and what a classifier trained on the others makes of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.fit import Fit
from cellclf.nn import MLP
from cellclf.nn._registry import to_header
from cellclf.tl._attempt import Problem
from cellclf.tl._genes import check_order, feature_names, given_columns, most_informative
from cellclf.tl._learn import learn
from cellclf.tl._model import read
from cellclf.tl._rows import within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Matrix
    from cellclf.nn._registry import Description

MODELS = ("network", "linear", "prior")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


class Fold(NamedTuple):
    """Rows to train on and rows to be judged on (masks); `scheme` says how the rows were dealt."""

    scheme: str
    repeat: int
    name: str
    train: np.ndarray
    test: np.ndarray


class Answer(NamedTuple):
    """What a model says of the rows of a fold, the seconds it took, and the settings that it chose for itself (JSON)."""

    predicted: np.ndarray
    proba: np.ndarray | None
    seconds: float = float("nan")
    settings: str = ""


class Judged(NamedTuple):
    """A fold that is done: the answers of the models, and the classes of its rows."""

    fold: Fold
    answers: dict[str, Answer]
    truth: np.ndarray


@dataclass(frozen=True)
class Study:
    """What is to be learnt again and again; `columns` None: genes are chosen anew from the rows of each training."""

    adata: AnnData
    found: _slots.Labels
    x: Matrix
    names: np.ndarray
    columns: np.ndarray | None
    network: Description
    fit: Fit
    layer: str | None
    use_rep: str | None

    def columns_of(self, mask: np.ndarray) -> np.ndarray:
        """Return the genes for a training on some rows."""
        if self.columns is not None:
            return self.columns
        return most_informative(self.x, np.where(mask, self.found.codes, -1), len(self.found.classes))

    def learn(self, train: np.ndarray, seed: int) -> Classifier:
        """Train a classifier that has seen nothing but these rows; Ctrl-C is passed on."""
        fit = replace(self.fit, conformal_folds=0)  # calibration scores cost trainings, and nobody would read them here
        problem = Problem(
            x=self.x,
            names=self.names,
            rows=within(self.found, train, fit, seed),
            columns_for=self.columns_of,
            description=self.network,
            options=fit,
            seed=seed,
        )
        facts = {"label": self.found.name, "layer": self.layer, "use_rep": self.use_rep, "colors": None}
        classifier = learn(problem, facts)
        if classifier.facts["interrupted"]:
            raise KeyboardInterrupt
        return classifier

    def answers(self, classifier: Classifier, rows: np.ndarray, seconds: float) -> dict[str, Answer]:
        """Predict some rows, by a training that took so long; a class that it never saw has probability 0."""
        start = time.perf_counter()
        blocks = [block for values in read(self.adata, classifier, rows) for block in classifier.blocks(values.values)]
        said = {
            "network": np.concatenate([block.proba for block in blocks]),
            "linear": np.concatenate([block.linear_proba for block in blocks]),
            "prior": np.tile(classifier.prior.astype(np.float32), (int(rows.sum()), 1)),
        }
        seconds += time.perf_counter() - start
        place = pd.Index(self.found.classes).get_indexer(pd.Index(classifier.classes))
        answers = {}
        for name, own in said.items():
            proba = np.zeros((len(own), len(self.found.classes)), np.float32)
            proba[:, place] = own
            answers[name] = Answer(proba.argmax(axis=1), proba, seconds if name == "network" else np.nan)
        return answers


def study(
    adata: AnnData,
    label: str | None,
    *,
    network: Description | None,
    fit: Fit | None,
    genes: str | Sequence[str],
    layer: str | None,
    use_rep: str | None,
) -> Study:
    """Look up what is to be learnt, refusing what cannot be, before any work."""
    fit, network = fit or Fit(), network or MLP()
    to_header(network)
    if not getattr(network, "needs_label", True):
        msg = f"{network} learns without a label, so there is no class to predict. Give the network a head."
        raise ValueError(msg)
    found = _slots.labels(adata, label)
    x = _slots.matrix(adata, layer=layer, use_rep=use_rep)
    if use_rep is None:
        _slots.warn_if_scaled(adata, layer)
    names = feature_names(adata, x, use_rep)
    anew = use_rep is None and isinstance(genes, str) and genes == "auto"
    if anew:
        check_order(network, genes)
    columns = None if anew else given_columns(adata, names, genes, use_rep, None)
    return Study(adata, found, x, names, columns, network, fit, layer, use_rep)


# --- How rows are dealt -------------------------------------------------------------------------------------------------


def deal(
    adata: AnnData,
    found: _slots.Labels,
    *,
    n_folds: int,
    n_repeats: int,
    groups: str | None,
    batch: str | None,
    generator: np.random.Generator,
) -> list[Fold]:
    """Deal the labelled rows into folds: at random by class, whole groups together, or one batch at a time."""
    if groups is not None and batch is not None:
        msg = f"Both groups={groups!r} and batch={batch!r} are given. Give one of them."
        raise ValueError(msg)
    if batch is not None:
        if n_repeats > 1:
            msg = f"n_repeats={n_repeats} would leave out the same batches again. Leave it out."
            raise ValueError(msg)
        codes, names = column_codes(adata, batch, "batch", found.codes)
        return _apart("batch", found, codes, names, 0, f"batch={batch!r}")
    folds = []
    for repeat in range(n_repeats):
        if groups is None:
            folds += at_random(found, n_folds, repeat, generator)
        else:
            codes, _ = column_codes(adata, groups, "groups", found.codes)
            dealt = stats.stratified_folds(found.codes, n_folds, generator, codes)
            folds += _apart("grouped", found, dealt, numbered(n_folds), repeat, f"groups={groups!r}")
    return folds


def at_random(
    found: _slots.Labels, n_folds: int, repeat: int, generator: np.random.Generator, scheme: str = "random"
) -> list[Fold]:
    """Deal the rows of each class at random; the only row of a class always trains and is never judged."""
    dealt = stats.stratified_folds(found.codes, n_folds, generator)
    sizes = np.bincount(found.codes[found.codes >= 0], minlength=len(found.classes))
    dealt[np.isin(found.codes, np.flatnonzero(sizes == 1))] = -1
    return _folds(scheme, found, dealt, numbered(n_folds), repeat)


def numbered(n_folds: int) -> list[str]:
    """Name the folds, from 1."""
    return [str(number + 1) for number in range(n_folds)]


def column_codes(adata: AnnData, column: str, argument: str, codes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Number the values of a column, in which no row with a class may lack one; rows without a class get -1."""
    numbers, values = pd.factorize(_slots.member(adata.obs, column, argument, "adata.obs").astype(object))
    without = int(((numbers < 0) & (codes >= 0)).sum())
    if without:
        msg = (
            f"{argument}={column!r} is missing in {without} cells that have a class. Fill it, or leave those cells out."
        )
        raise ValueError(msg)
    there = np.unique(numbers[codes >= 0])
    if len(there) < 2:
        msg = f"{argument}={column!r} has one value only among the cells that have a class. Name a column with two or more."
        raise ValueError(msg)
    place = np.full(len(values) + 1, -1)
    place[there] = np.arange(len(there))
    return np.where(codes >= 0, place[numbers], -1), [str(values[i]) for i in there]


def _apart(
    scheme: str, found: _slots.Labels, dealt: np.ndarray, names: Sequence[str], repeat: int, what: str
) -> list[Fold]:
    """Make folds of groups, refusing those that leave nothing of a class to train on."""
    for k, name in enumerate(found.classes):
        own = np.unique(dealt[found.codes == k])
        if len(own) == 1:
            msg = (
                f"{what}: all cells of class {name!r} are left out together ({scheme} fold {names[own[0]]!r}), so that no "
                "cell is left to learn it from. Leave the class out, take fewer folds, or name another column."
            )
            raise ValueError(msg)
    return _folds(scheme, found, dealt, names, repeat)


def _folds(scheme: str, found: _slots.Labels, dealt: np.ndarray, names: Sequence[str], repeat: int) -> list[Fold]:
    """Turn the number of the fold of each row into masks."""
    known = found.codes >= 0
    return [Fold(scheme, repeat, name, known & (dealt != k), dealt == k) for k, name in enumerate(names)]


def warn_of_single_rows(found: _slots.Labels, folds: Sequence[Fold]) -> None:
    """Name the classes that are never judged."""
    sizes = np.bincount(found.codes[found.codes >= 0], minlength=len(found.classes))
    if folds[0].scheme == "random" and (sizes == 1).any():
        names = found.classes[sizes == 1]
        _slots.warn(
            f"{len(names)} classes have a single cell ({_slots.listing(names, 3)}), which always trains and is never "
            "judged. Leave them out, or merge them with others."
        )


# --- How well they are told ---------------------------------------------------------------------------------------------


def measures(truth: np.ndarray, predicted: np.ndarray, proba: np.ndarray | None, n_classes: int) -> dict[str, float]:
    """Measure what a model says of some rows; the log loss is NaN where it gives no probabilities."""
    table = stats.confusion(truth, predicted, n_classes)
    return {
        "accuracy": stats.accuracy(table),
        "balanced_accuracy": stats.balanced_accuracy(table),
        "macro_f1": stats.macro_f1(table),
        "log_loss": np.nan if proba is None else stats.log_loss(proba, truth),
    }


def value_of(study: Study, fold: Fold, metric: str, seed: int) -> float:
    """Train on the rows of a fold and measure the network on those it leaves out."""
    answer = study.answers(study.learn(fold.train, seed), fold.test, 0.0)["network"]
    truth = study.found.codes[fold.test]
    return measures(truth, answer.predicted, answer.proba, len(study.found.classes))[metric]


def by_fold(done: Sequence[Judged], n_classes: int) -> pd.DataFrame:
    """Measure each model on each fold."""
    return pd.DataFrame(
        [
            {
                "scheme": fold.scheme,
                "repeat": fold.repeat + 1,
                "fold": fold.name,
                "model": model,
                "n_train": int(fold.train.sum()),
                "n_test": len(truth),
                **measures(truth, answer.predicted, answer.proba, n_classes),
                "seconds": answer.seconds,
                "settings": answer.settings,
            }
            for fold, answers, truth in done
            for model, answer in answers.items()
        ]
    )


def summarised(done: Sequence[Judged], folds: pd.DataFrame, n_classes: int) -> pd.DataFrame:
    """Measure the predictions of all folds of a repeat together, and average over the repeats."""
    lines = []
    for (scheme, model), part in folds.groupby(["scheme", "model"], sort=False):
        repeats = [_pooled(done, str(scheme), repeat - 1, str(model), n_classes) for repeat in part["repeat"].unique()]
        spread = part[list(METRICS)].std(ddof=1).add_suffix("_sd")
        line = {"scheme": scheme, "model": model} | dict(pd.DataFrame(repeats).mean()) | dict(spread)
        lines.append(line | {"seconds": part["seconds"].mean()})
    return pd.DataFrame(lines)


def _pooled(done: Sequence[Judged], scheme: str, repeat: int, model: str, n_classes: int) -> dict[str, float]:
    """Measure what a model says of the rows of all folds of a repeat."""
    parts = [judged for judged in done if (judged.fold.scheme, judged.fold.repeat) == (scheme, repeat)]
    truth = np.concatenate([judged.truth for judged in parts])
    answers = [judged.answers[model] for judged in parts]
    proba = [answer.proba for answer in answers if answer.proba is not None]
    return measures(
        truth,
        np.concatenate([answer.predicted for answer in answers]),
        np.concatenate(proba) if len(proba) == len(answers) else None,
        n_classes,
    )
