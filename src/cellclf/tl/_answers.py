"""What models say of the rows left out, and how well it agrees with the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from cellclf import stats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellclf.tl._folds import Fold

OURS = ("network", "linear", "prior")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


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


def measures(truth: np.ndarray, predicted: np.ndarray, proba: np.ndarray | None, n_classes: int) -> dict[str, float]:
    """Measure what a model says of some rows; the log loss is NaN where it gives no probabilities."""
    table = stats.confusion(truth, predicted, n_classes)
    return {
        "accuracy": stats.accuracy(table),
        "balanced_accuracy": stats.balanced_accuracy(table),
        "macro_f1": stats.macro_f1(table),
        "log_loss": np.nan if proba is None else stats.log_loss(proba, truth),
    }


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
