"""What held-out rows say of a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from scipy.special import logsumexp

from cellclf import stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from cellclf.fit._hardware import Hardware
    from cellclf.fit._rows import Rows
    from cellclf.nn._network import Network


class Judgement(NamedTuple):
    """What held-out rows say of an epoch: the loss of each row, and the row's worth of history."""

    row_losses: np.ndarray
    history: dict[str, float]


def judge(network: Network, rows: Rows, hardware: Hardware) -> Judgement:
    """Measure a network on held-out rows: log loss at the best temperature (which it will be given), accuracy, macro-F1."""
    scores = hardware.apply(network, network, rows.x)
    if scores.shape[1] == 0:  # without classes, a row's loss is the error of its reconstruction
        row_losses = cast("Callable[[Tensor], Tensor]", network.row_losses)
        losses = _finite(hardware.apply(network, row_losses, rows.x))
        return Judgement(losses, {"valid_loss": float(losses.mean())})
    _finite(scores)
    scores /= stats.fit_temperature(scores, rows.y)
    losses = logsumexp(scores, axis=1) - scores[np.arange(len(rows.y)), rows.y]
    table = stats.confusion(rows.y, scores.argmax(axis=1), scores.shape[1])
    measures = {"loss": losses.mean(), "accuracy": stats.accuracy(table), "macro_f1": stats.macro_f1(table)}
    return Judgement(losses, {f"valid_{name}": float(value) for name, value in measures.items()})


def _finite(values: np.ndarray) -> np.ndarray:
    """Return values (one row per cell), all of which must be finite."""
    if not np.isfinite(values).all():
        n = int((~np.isfinite(values)).reshape(len(values), -1).any(axis=1).sum())
        msg = f"what the network gives for {n} of {len(values)} validation rows is not finite"
        raise FloatingPointError(msg)
    return values


def no_worse(losses: np.ndarray, best: np.ndarray, *, errors: float) -> bool:
    """Tell whether losses exceed the best ones by no more than some standard errors of the paired difference."""
    difference = losses - best
    return difference.mean() <= errors * difference.std() / math.sqrt(len(difference))
