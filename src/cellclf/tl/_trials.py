"""Training without some genes, or with some only: which trainings there are to be, and what each comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax
from tqdm.auto import tqdm

from cellclf import stats
from cellclf.fit._apply import logits
from cellclf.fit._hardware import device_of
from cellclf.tl._lesson import teach

if TYPE_CHECKING:
    from cellclf._classifier import Classifier
    from cellclf.tl._lesson import Lesson

WHAT = ("set", "mode", "order", "n_genes")
MEASURES = ("log_loss", "accuracy", "macro_f1")


class Trial(NamedTuple):
    """A training to be done: with the genes `kept` (columns of the model's genes)."""

    set: str
    mode: str
    order: str
    n_genes: int
    repeat: int
    kept: np.ndarray
    seed: int


def along_ranking(
    ranked: np.ndarray,
    sizes: np.ndarray,
    modes: tuple[str, ...],
    orders: tuple[str, ...],
    n_repeats: int,
    generator: np.random.Generator,
) -> list[Trial]:
    """List the trainings along a ranking; those of a repeat share their seed and their random order."""
    trials, every = [], np.sort(ranked)
    for repeat in range(n_repeats):
        seed, shuffled = int(generator.integers(2**62)), generator.permutation(every)
        trials.append(Trial("", "all", "none", len(every), repeat, every, seed))
        for mode in modes:
            for order in orders:
                genes = ranked if order == "ranked" else shuffled
                for size in sizes.tolist():
                    kept = genes[:size] if mode == "keep" else genes[size:]
                    trials.append(Trial("", mode, order, size, repeat, np.sort(kept), seed))
    return trials


def of_sets(
    sets: dict[str, np.ndarray],
    n_genes: int,
    modes: tuple[str, ...],
    orders: tuple[str, ...],
    n_repeats: int,
    generator: np.random.Generator,
) -> list[Trial]:
    """List the trainings without each set, or with it alone; those of a repeat share their seed and their random order."""
    trials, every = [], np.arange(n_genes)
    for repeat in range(n_repeats):
        seed, shuffled = int(generator.integers(2**62)), generator.permutation(every)
        trials.append(Trial("", "all", "none", n_genes, repeat, every, seed))
        for name, columns in sets.items():
            for mode in modes:
                for order in orders:
                    genes = columns if order == "given" else shuffled[: len(columns)]
                    kept = np.sort(genes) if mode == "keep" else np.setdiff1d(every, genes)
                    trials.append(Trial(name, mode, order, len(columns), repeat, kept, seed))
    return trials


def train_trials(
    model: Classifier, material: Lesson, values: np.ndarray, y: np.ndarray, trials: list[Trial]
) -> tuple[pd.DataFrame, bool]:
    """Train and judge all; Ctrl-C keeps those that are finished, if one was done on all genes. Say whether it came."""
    found, interrupted = [], False
    try:
        for trial in tqdm(trials, desc="ablation", unit="training", leave=False, delay=1):
            title = " ".join(map(str, ([trial.set] if trial.set else []) + [trial.mode, trial.n_genes, trial.order]))
            scores = scores_with(model, material, values, trial.kept, seed=trial.seed, title=title)
            proba = softmax(scores, axis=1)
            table = stats.confusion(y, proba.argmax(axis=1), len(model.classes))
            measures = stats.log_loss(proba, y), stats.accuracy(table), stats.macro_f1(table)
            found.append((*trial[:4], trial.repeat, *measures))
    except KeyboardInterrupt:
        if len(found) < 2:
            raise
        interrupted = True
    return pd.DataFrame(found, columns=[*WHAT, "repeat", *MEASURES]), interrupted


def scores_with(
    model: Classifier, material: Lesson, values: np.ndarray, kept: np.ndarray, *, seed: int, title: str
) -> np.ndarray:
    """Train on the genes that are kept, and return the logits over the temperature of other cells, (n_cells, n_classes).

    A network that reads genes by their position keeps its shape: those taken away are set to their mean.
    """
    silent = None
    if model.network.first_linear is None:
        silent = np.isin(np.arange(values.shape[1]), kept, invert=True)
        kept = np.arange(values.shape[1])
    pupil = teach(model, material.part(genes=kept), seed=seed, title=title, silent=silent)
    x = pupil.preprocessing.apply(np.ascontiguousarray(values[:, kept]))
    if silent is not None:
        x[:, silent] = 0
    return logits(pupil.network, x, device_of(model.options.device)) / model.temperature


def summary_of(trainings: pd.DataFrame) -> pd.DataFrame:
    """Average over the repeats."""
    groups = trainings.groupby(list(WHAT), sort=False)[list(MEASURES)]
    spread = groups.std(ddof=1).add_suffix("_sd")
    return groups.mean().join(spread).reset_index()
