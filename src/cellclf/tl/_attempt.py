"""Network and linear network, trained on some rows; what only these may tell is learnt from them alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from cellclf import stats
from cellclf._preprocessing import Preprocessing
from cellclf.fit import Rows
from cellclf.fit import train as fit_network
from cellclf.fit._hardware import device_of
from cellclf.fit._stacking import has_room, heard, linear_models, loudness, speak
from cellclf.nn import Linear
from cellclf.tl import _start
from cellclf.tl._at_hand import cells

if TYPE_CHECKING:
    from pathlib import Path

    from cellclf._classifier import Classifier
    from cellclf._types import Matrix
    from cellclf.fit import Cells, Fit, Store, Trained
    from cellclf.fit._task import Initial
    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description
    from cellclf.tl._rows import LearningRows

logger = logging.getLogger("cellclf")


@dataclass(frozen=True)
class Problem:
    """What is to be learnt from matrix `x` with columns `names`, and how; `columns_for` chooses genes from given rows.

    `cache` is a folder for a file of the values, in `half` precision if asked for; `store` is the file once it is written.
    """

    x: Matrix
    names: np.ndarray
    rows: LearningRows
    columns_for: Callable[[np.ndarray], np.ndarray]
    description: Description
    options: Fit
    seed: int
    start: Classifier | None = None
    checkpoint: Path | None = None
    cache: Path | None = None
    half: bool = False
    store: Store | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes; none where there is no label."""
        return len(self.rows.found.classes)


@dataclass(frozen=True)
class Attempt:
    """Networks trained on some rows, and the scaled rows themselves. Without a label there is no linear network.

    `emphasis` (n_genes) turns the weights by which networks hear genes into those by which strange cells are told.
    """

    columns: np.ndarray
    preprocessing: Preprocessing
    emphasis: np.ndarray
    rows: Rows
    valid: Rows | None
    network: Trained
    linear: Trained | None
    loud: Mapping[str, float] = field(default_factory=dict)  # weights of linear models in the network's skip

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped the training."""
        return self.network.interrupted


def attempt(problem: Problem, rows: np.ndarray, counts: bool, after: Attempt | None = None) -> Attempt:
    """Train network and linear network side by side; `after` a draft, for as many epochs as it found best."""
    columns = problem.columns_for(rows)
    preprocessing, emphasis, scaled = _prepared(problem, rows, columns, counts)
    valid = None
    if after is None and problem.rows.valid.any():
        raw = cells(problem, problem.rows.valid, columns, counts=counts)
        valid = _laid_out(problem, raw.scaled(preprocessing), problem.rows.valid)

    def initial(name: str, description: Description) -> Initial:
        """Return the weights to begin with."""
        if problem.start is None:
            return None
        return _start.weights(problem.start, name, description, problem.names[columns], problem.rows.found.classes)

    title = "train, all rows" if after else "train"
    network = fit_network(
        problem.description,
        scaled,
        valid,
        problem.options,
        n_classes=problem.n_classes,
        seed=problem.seed,
        epochs=None if after is None else after.network.best_epoch,
        initial=initial("network", problem.description),
        title=title,
        beside=Linear() if problem.n_classes else None,
        initial_beside=initial("linear", Linear()) if problem.n_classes else None,
        checkpoint=problem.checkpoint
        and problem.checkpoint / f"{title.replace(', ', '-').replace(' ', '-')}.safetensors",
    )
    linear = None if network.beside is None else replace(network, network=network.beside)
    loud = _let_linear_models_speak(problem, network.network, scaled, valid, after)
    return Attempt(columns, preprocessing, emphasis, scaled, valid, network, linear, loud)


def _let_linear_models_speak(
    problem: Problem, network: Network, rows: Rows, valid: Rows | None, after: Attempt | None
) -> Mapping[str, float]:
    """Let linear models of the rows speak as loud as validation rows want, or wanted in the draft; return how loud."""
    if not (problem.n_classes and problem.start is None and has_room(network, problem.options)):
        return {}
    if after is not None:
        speak(network, linear_models(rows, problem.n_classes, heard(after.loud)), after.loud)
        return after.loud
    if valid is None:
        return {}
    models = linear_models(rows, problem.n_classes)
    loud = loudness(network, models, valid, device_of(problem.options.device))
    speak(network, models, loud)
    return loud


def find_counts(problem: Problem) -> bool:
    """Decide whether values are counts to be normalised, from the training rows."""
    if problem.start is not None:
        return _start.counts(problem.start, problem.x, problem.rows.train, problem.options)
    choice = problem.options.preprocess
    counts = choice == "counts" or (choice == "auto" and stats.holds_counts(problem.x, problem.rows.train))
    logger.info(
        "Values are %s.", "counts: normalised to 10 000 per cell and log1p'd" if counts else "taken as they are"
    )
    return counts


def _prepared(
    problem: Problem, rows: np.ndarray, columns: np.ndarray, counts: bool
) -> tuple[Preprocessing, np.ndarray, Rows]:
    """Learn the preprocessing on the rows, and apply it."""
    values, power = cells(problem, rows, columns, counts=counts), problem.options.information_power
    information = _information(values, problem.rows.found.codes[rows], problem)
    values = values.normalised() if counts else values
    scaling = Preprocessing.learn(values, counts=counts, scale=problem.options.scale)
    preprocessing = scaling.weighted(information.max(axis=1), power)
    if problem.start is not None:
        preprocessing = _start.preprocessing(problem.start, preprocessing, problem.names[columns])
    # what marks one class alone is loud in the network, and would drown what is common to cells of none of the classes
    of_label, weight = scaling.weighted(information[:, 0], power).weight, preprocessing.weight
    emphasis = np.divide(of_label, weight, where=weight > 0, out=np.zeros_like(weight))
    return preprocessing, emphasis, _laid_out(problem, values.scaled(preprocessing), rows)


def _laid_out(problem: Problem, values: Cells, rows: np.ndarray) -> Rows:
    """Make all values of the rows now, or leave them to be made batch by batch from the file."""
    return Rows(values.in_memory() if problem.store is None else values, problem.rows.found.codes[rows])


def _information(raw: Cells, y: np.ndarray, problem: Problem) -> np.ndarray:
    """Measure what each gene tells about the class, and about each class against the rest, as shares of what it could tell."""
    if problem.options.information_power == 0 or not problem.n_classes:
        return np.ones((raw.shape[1], 1))
    bins = stats.bin_edges(raw, np.ones(len(y), dtype=bool), bins="auto")
    return stats.normalised_information(stats.contingency(raw, y, bins=bins, n_classes=problem.n_classes))
