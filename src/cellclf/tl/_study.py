"""What is to be learnt again and again, each time from other rows, and judged on those left out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cellclf import _slots
from cellclf.fit import Fit
from cellclf.nn import MLP
from cellclf.nn._registry import to_header
from cellclf.tl._answers import Answer, Judged, measures
from cellclf.tl._attempt import Problem
from cellclf.tl._genes import check_order, given_columns, most_informative, values_and_names
from cellclf.tl._learn import learn
from cellclf.tl._model import read
from cellclf.tl._rows import within
from cellclf.tl._start import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Matrix
    from cellclf.nn._registry import Description
    from cellclf.tl._folds import Fold


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

    def judged(self, folds: Sequence[Fold], seed: int) -> list[Judged]:
        """Train once, and predict what each of the folds leaves out; all have the same training rows."""
        start = time.perf_counter()
        classifier = self.learn(folds[0].train, seed)
        seconds = time.perf_counter() - start
        return [
            Judged(fold, self.answers(classifier, fold.test, seconds), self.found.codes[fold.test]) for fold in folds
        ]


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
    fit, network = settings(fit), network or MLP()
    to_header(network)
    if not getattr(network, "needs_label", True):
        msg = f"{network} learns without a label, so there is no class to predict. Give the network a head."
        raise ValueError(msg)
    found = _slots.labels(adata, label)
    x, names = values_and_names(adata, layer, use_rep)
    anew = use_rep is None and isinstance(genes, str) and genes == "auto"
    if use_rep is None:
        check_order(network, genes)
    columns = None if anew else given_columns(adata, names, genes, use_rep, None)
    return Study(adata, found, x, names, columns, network, fit, layer, use_rep)


def judge_in_turn(
    judge: Callable[[Sequence[Fold], int], list[Judged]],
    trainings: Iterable[Sequence[Fold]],
    generator: np.random.Generator,
) -> tuple[list[Judged], bool]:
    """Judge the folds of one training after the other, each with a seed of its own; Ctrl-C keeps what is done."""
    done: list[Judged] = []
    try:
        for folds in tqdm(trainings, desc="folds", unit="fold", leave=False, delay=1):
            done += judge(folds, int(generator.integers(2**62)))
    except KeyboardInterrupt:
        if not done:
            raise
        return done, True
    return done, False


def value_of(study: Study, fold: Fold, metric: str, seed: int) -> float:
    """Train on the rows of a fold and measure the network on those it leaves out."""
    (judged,) = study.judged([fold], seed)
    answer = judged.answers["network"]
    return measures(judged.truth, answer.predicted, answer.proba, len(study.found.classes))[metric]
