"""How badly training cells fit their own class, by networks that never saw them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from cellclf import stats
from cellclf._classifier import BLOCK, impression
from cellclf.fit._hardware import device_of
from cellclf.tl._at_hand import at_hand, cells
from cellclf.tl._attempt import Attempt, attempt
from cellclf.tl._novelty import like, of_draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellclf.tl._attempt import Problem

logger = logging.getLogger("cellclf")


def folds_of(problem: Problem) -> np.ndarray | None:
    """Deal the training rows into folds (-1: in none), before any work; nothing where no calibration is asked for.

    Rows that chose the number of epochs and the temperature are in no fold, nor is the only row of a class.
    """
    n_folds = problem.options.conformal_folds
    if not n_folds:
        return None
    if not problem.n_classes:
        msg = f"Fit(conformal_folds={n_folds}) needs classes, but the network learns without a label. Leave it out."
        raise ValueError(msg)
    if problem.start is not None:
        msg = (
            f"Fit(conformal_folds={n_folds}) needs networks that never saw the cells of a fold, but `start` may have. "
            "Train without start, or without conformal_folds."
        )
        raise ValueError(msg)
    codes = np.where(problem.rows.train, problem.rows.found.codes, -1)
    sizes = np.bincount(codes[codes >= 0], minlength=problem.n_classes)
    codes[(codes >= 0) & (sizes[codes] < 2)] = -1
    return stats.stratified_folds(codes, n_folds, np.random.default_rng([problem.seed, 5]))


def calibrate(
    problem: Problem, folds: np.ndarray | None, counts: bool, draft: Attempt, temperature: float
) -> stats.Conformal | None:
    """Train without each fold in turn, genes and scaling included, and score its rows; nothing if it was interrupted."""
    if folds is None or draft.interrupted:
        return None
    n_folds = int(folds.max()) + 1
    masks = [problem.rows.final & (folds != fold) for fold in range(n_folds)]
    scores = np.full((2, len(folds)), np.nan, dtype=np.float32)  # fit to the own class, and novelty
    first = of_draft(draft, temperature, problem)
    try:
        with at_hand(replace(problem, store=None, cache=None), *masks) as laid_out:
            for fold in tqdm(range(n_folds), desc="conformal folds", unit="fold", leave=False, delay=1):
                one = replace(laid_out, checkpoint=problem.checkpoint and problem.checkpoint / f"fold-{fold}")
                if not _score(one, scores, (masks[fold], folds == fold), counts, draft, temperature, first):
                    return None
    except KeyboardInterrupt:
        return None
    known = np.flatnonzero(folds >= 0)
    fit, strangeness = scores[:, known]
    classes = problem.rows.found.codes[known].astype(np.int32)
    return stats.Conformal(fit, strangeness, classes, problem.n_classes)


def _score(
    problem: Problem,
    scores: np.ndarray,
    masks: Sequence[np.ndarray],
    counts: bool,
    draft: Attempt,
    temperature: float,
    first: stats.Novelty,
) -> bool:
    """Train on the first mask and score the rows of the second; tell whether it was done."""
    seen, left_out = masks
    if problem.checkpoint is not None:
        problem.checkpoint.mkdir(exist_ok=True)
    fitted = attempt(problem, seen, counts, after=draft)
    if fitted.interrupted:
        return False
    network, device = fitted.network.network, device_of(problem.options.device)
    looks = like(first, fitted, temperature, problem)
    values = cells(problem, left_out, fitted.columns, counts=counts).scaled(fitted.preprocessing)
    y, rows = problem.rows.found.codes[left_out], np.flatnonzero(left_out)
    for start in range(0, len(rows), BLOCK):
        here, own = rows[start : start + BLOCK], y[start : start + BLOCK]
        seen_as = impression(network, looks, temperature, values[start : start + BLOCK], device)
        scores[:, here] = seen_as.nonconformity[np.arange(len(own)), own], seen_as.novelty
    return True
