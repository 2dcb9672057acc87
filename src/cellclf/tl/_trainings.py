"""Train a classifier again and again, side by side where that is faster, and measure each network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from cellclf.fit._several import n_side_by_side
from cellclf.tl._lesson import Class, teach, teach_several

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellclf._classifier import Classifier
    from cellclf.tl._lesson import Lesson, Pupil


class Training(NamedTuple):
    """A training to be done: on these rows of the lesson (`None`: all)."""

    seed: int
    rows: np.ndarray | None


def plan_trainings(n: int, y: np.ndarray, share: float | None, generator: np.random.Generator) -> list[Training]:
    """Draw seed and rows of each training."""
    plan = []
    for _ in range(n):
        seed = int(generator.integers(2**62))
        plan.append(Training(seed, None if share is None else sampled(y, share, generator)))
    return plan


def scores_of(
    model: Classifier, material: Lesson, plan: list[Training], measure: Callable[[Pupil, int], np.ndarray]
) -> tuple[list[np.ndarray], bool]:
    """Train as many networks at once as is best, measure each; Ctrl-C keeps those that are finished. Say whether it came."""
    at_once = n_side_by_side(
        model.description,
        model.options,
        n_rows=len(material.y) if plan[0].rows is None else len(plan[0].rows),
        n_inputs=material.values.shape[1],
        n_classes=len(model.classes),
    )
    scores: list[np.ndarray] = []
    try:
        with tqdm(total=len(plan), desc="stability", unit="training", leave=False, delay=1) as bar:
            for start in range(0, len(plan), at_once):
                part = plan[start : start + at_once]
                taught = _taught(model, material, part, f"training {start + 1}–{start + len(part)}")
                if taught.interrupted and scores:
                    break
                for pupil, training in zip(taught.pupils, part, strict=True):
                    scores.append(measure(pupil, training.seed))
                    bar.update(1)
                if taught.interrupted:
                    break
            else:
                return scores, False
    except KeyboardInterrupt:
        pass
    if len(scores) < 2:
        raise KeyboardInterrupt
    return scores, True


def _taught(model: Classifier, material: Lesson, part: list[Training], title: str) -> Class:
    """Do some trainings: side by side, or one that has the device for itself."""
    seeds = [training.seed for training in part]
    chosen = [training.rows for training in part if training.rows is not None]
    if len(part) == 1:
        own = material.part(*chosen)
        return Class([teach(model, own, seed=seeds[0], title=title.partition("–")[0])], interrupted=False)
    return teach_several(model, material, chosen or None, seeds=seeds, title=title)


def sampled(y: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Draw a share of the rows of each class, at least two of each where there are so many."""
    chosen = []
    for k in np.unique(y):
        rows = np.flatnonzero(y == k)
        size = min(len(rows), max(2, round(share * len(rows))))
        chosen.append(generator.choice(rows, size, replace=False))
    return np.sort(np.concatenate(chosen))
