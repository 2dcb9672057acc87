"""Train the same network on fewer and fewer genes, and judge each on the same cells."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from cellclf import stats
from cellclf.tl._learn import learn
from cellclf.tl._model import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf.tl._attempt import Problem

N_REPEATS = 400  # a standard error is then known to within 4 %


@dataclass(frozen=True)
class Judge:
    """The cells on which panels are judged: the class of each cell, masks, and the layer of the values."""

    adata: AnnData
    codes: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    layer: str | None
    seed: int


class Verdict(NamedTuple):
    """What network and linear network predict for the cells of a judge, in order of the rows."""

    network: np.ndarray
    linear: np.ndarray


def train_panels(
    problem: Problem, full: np.ndarray, panels: Sequence[np.ndarray], judge: Judge
) -> tuple[Verdict, list[Verdict], bool]:
    """Train the full model and then panel after panel; Ctrl-C keeps those that are finished."""
    reference = _verdict(problem, full, judge)
    if reference is None:
        raise KeyboardInterrupt
    verdicts: list[Verdict] = []
    bar = tqdm(panels, desc="panels", unit="panel", leave=False, delay=1)
    try:
        with warnings.catch_warnings():  # of a few genes nobody expects more than the class frequencies
            warnings.filterwarnings("ignore", "The network's log loss on the validation rows", UserWarning)
            for columns in bar:
                verdict = _verdict(problem, columns, judge)
                if verdict is None:
                    return reference, verdicts, True
                verdicts.append(verdict)
    except KeyboardInterrupt:
        return reference, verdicts, True
    return reference, verdicts, False


def _verdict(problem: Problem, columns: np.ndarray, judge: Judge) -> Verdict | None:
    """Train on some genes and predict the cells of the judge; nothing if the training was interrupted."""
    facts = {"label": problem.rows.found.name, "layer": judge.layer, "use_rep": None, "colors": None}
    once = replace(problem, columns_for=lambda _: columns, options=replace(problem.options, conformal_folds=0))
    classifier = learn(once, facts)
    if classifier.facts["interrupted"]:
        return None
    parts = [
        (part.proba.argmax(axis=1), part.linear_proba.argmax(axis=1))
        for values in read(judge.adata, classifier, judge.valid | judge.test, layer=judge.layer or "X")
        for part in classifier.blocks(values.values)
    ]
    network, linear = zip(*parts, strict=True)
    return Verdict(np.concatenate(network), np.concatenate(linear))


def measure(verdict: Verdict, reference: Verdict, judge: Judge, n_classes: int, tolerance: float) -> dict[str, float]:
    """Measure a panel beside the full model, with standard errors from cells drawn with replacement."""
    seen = judge.valid | judge.test
    truth, valid, test = judge.codes[seen], judge.valid[seen], judge.test[seen]
    pair = np.stack([verdict.network, reference.network])
    own, other = (stats.confusion(truth[valid], classes[valid], n_classes) for classes in pair)
    drawn = _drawn(truth[valid], pair[:, valid], n_classes, judge.seed)
    macro = np.array([[stats.macro_f1(table) for table in repeat] for repeat in drawn])
    accuracies = np.array([stats.accuracy(repeat[0]) for repeat in drawn])
    difference = stats.macro_f1(own) - stats.macro_f1(other)
    found = {
        "macro_f1": stats.macro_f1(own),
        "macro_f1_se": macro[:, 0].std(ddof=1),
        "accuracy": stats.accuracy(own),
        "accuracy_se": accuracies.std(ddof=1),
        "linear_macro_f1": stats.macro_f1(stats.confusion(truth[valid], verdict.linear[valid], n_classes)),
        "difference": difference,
        "difference_se": (macro[:, 0] - macro[:, 1]).std(ddof=1),
        "within_tolerance": bool(difference >= -tolerance),
    }
    if not test.any():
        return found | {"test_macro_f1": np.nan, "test_macro_f1_se": np.nan, "test_accuracy": np.nan}
    tested = stats.confusion(truth[test], verdict.network[test], n_classes)
    again = _drawn(truth[test], verdict.network[None, test], n_classes, judge.seed)
    return found | {
        "test_macro_f1": stats.macro_f1(tested),
        "test_macro_f1_se": np.std([stats.macro_f1(repeat[0]) for repeat in again], ddof=1),
        "test_accuracy": stats.accuracy(tested),
    }


def _drawn(truth: np.ndarray, predicted: np.ndarray, n_classes: int, seed: int) -> np.ndarray:
    """Draw cells with replacement, the same way for every panel."""
    rng = np.random.default_rng([seed, 3])
    return stats.bootstrap_confusion(truth, predicted, n_classes, n_repeats=N_REPEATS, rng=rng)
