"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellclf.fit._options import Fit

WARM_UP = 0.2  # share of the steps in which the rate of one cycle rises


def learning_rate(options: Fit, step: int, steps: int) -> float:
    """Return the learning rate of a step (counted from 0)."""
    if options.schedule == "constant":
        return options.learning_rate
    progress = (step + 0.5) / steps
    rise = WARM_UP if options.schedule == "one_cycle" else 0.0
    if progress < rise:
        return options.learning_rate * progress / rise
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - rise) / (1 - rise)))
