"""Network and linear network, trained on some rows; what only these may tell is learnt from them alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellclf import _slots, stats
from cellclf._preprocessing import Preprocessing, normalise
from cellclf.fit import Rows
from cellclf.fit import train as fit_network
from cellclf.nn import Linear
from cellclf.tl import _start

if TYPE_CHECKING:
    from pathlib import Path

    from cellclf._classifier import Classifier
    from cellclf._types import Matrix
    from cellclf.fit import Fit, Trained
    from cellclf.nn._registry import Description
    from cellclf.tl._rows import LearningRows

logger = logging.getLogger("cellclf")


@dataclass(frozen=True)
class Problem:
    """What is to be learnt from matrix `x` with columns `names`, and how; `columns_for` chooses genes from given rows."""

    x: Matrix
    names: np.ndarray
    rows: LearningRows
    columns_for: Callable[[np.ndarray], np.ndarray]
    description: Description
    options: Fit
    seed: int
    start: Classifier | None = None
    checkpoint: Path | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes; none where there is no label."""
        return len(self.rows.found.classes)


@dataclass(frozen=True)
class Attempt:
    """Networks trained on some rows, and the scaled rows themselves. Without a label there is no linear network."""

    columns: np.ndarray
    preprocessing: Preprocessing
    rows: Rows
    valid: Rows | None
    network: Trained
    linear: Trained | None

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped either training."""
        return self.network.interrupted or (self.linear is not None and self.linear.interrupted)


def attempt(problem: Problem, rows: np.ndarray, counts: bool, after: Attempt | None = None) -> Attempt:
    """Train network and linear network on `rows`; `after` a draft, for as many epochs as it found best."""
    columns = problem.columns_for(rows)
    raw, totals = _raw(problem, rows, columns)
    if counts and (raw < 0).any():
        msg = "The matrix holds negative numbers, which are no counts. Name the layer with counts, or Fit(preprocess='none')."
        raise ValueError(msg)
    y = problem.rows.found.codes[rows]
    information = _information(raw, y, problem)
    values = normalise(raw, totals) if counts else raw
    preprocessing = Preprocessing.learn(values, counts=counts, scale=problem.options.scale)
    preprocessing = preprocessing.weighted(information, problem.options.information_power)
    if problem.start is not None:
        preprocessing = _start.preprocessing(problem.start, preprocessing, problem.names[columns])
    scaled, valid = Rows(preprocessing.apply(values), y), None
    if after is None and problem.rows.valid.any():
        raw, totals = _raw(problem, problem.rows.valid, columns)
        values = normalise(raw, totals) if counts else raw
        valid = Rows(preprocessing.apply(values), problem.rows.found.codes[problem.rows.valid])

    def trained(name: str, description: Description, options: Fit) -> Trained:
        """Train one of the networks."""
        start, genes, classes = problem.start, problem.names[columns], problem.rows.found.classes
        stage = f"{name}{', all rows' if after else ''}"
        return fit_network(
            description,
            scaled,
            valid,
            options,
            n_classes=problem.n_classes,
            seed=problem.seed,
            epochs=None if after is None else getattr(after, name).best_epoch,
            initial=None if start is None else _start.weights(start, name, description, genes, classes),
            title=stage,
            checkpoint=problem.checkpoint
            and problem.checkpoint / f"{stage.replace(', ', '-').replace(' ', '-')}.safetensors",
        )

    network = trained("network", problem.description, problem.options)
    linear = trained("linear", Linear(), _for_the_bar(problem.options)) if problem.n_classes else None
    return Attempt(columns, preprocessing, scaled, valid, network, linear)


def find_counts(problem: Problem) -> bool:
    """Decide whether values are counts to be normalised, from the training rows."""
    if problem.start is not None:
        return problem.start.preprocessing.counts
    choice = problem.options.preprocess
    counts = choice == "counts" or (choice == "auto" and stats.holds_counts(problem.x, problem.rows.train))
    logger.info(
        "Values are %s.", "counts: normalised to 10 000 per cell and log1p'd" if counts else "taken as they are"
    )
    return counts


def _for_the_bar(options: Fit) -> Fit:
    """Return the settings of the linear network: penalties of the network's layers are not its own."""
    return replace(options, members=1, devices=1, l1=0.0, l2=(), group_l1=0.0)


def _raw(problem: Problem, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fetch the values of the chosen genes and the totals of the rows, refusing what cannot be learnt from."""
    values, totals = stats.dense(problem.x, rows, columns)
    if not np.isfinite(values).all():
        bad = ~np.isfinite(values)
        where = _slots.listing(problem.names[columns[bad.any(axis=0)]], 3)
        msg = (
            f"{int(bad.any(axis=1).sum())} cells have NaN or infinite values (genes {where}). "
            "Remove or replace them first."
        )
        raise ValueError(msg)
    return values, totals


def _information(raw: np.ndarray, y: np.ndarray, problem: Problem) -> np.ndarray:
    """Measure what each gene tells about the class, as a share of what it could tell."""
    if problem.options.information_power == 0 or not problem.n_classes:
        return np.ones(raw.shape[1])
    bins = stats.bin_edges(raw, np.ones(len(y), dtype=bool), bins="auto")
    return stats.normalised_information(stats.contingency(raw, y, bins=bins, n_classes=problem.n_classes))
