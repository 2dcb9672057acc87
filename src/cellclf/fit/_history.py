"""What happened in each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

COLUMNS = (
    "epoch",
    "train_loss",
    "valid_loss",
    "valid_accuracy",
    "valid_macro_f1",
    "learning_rate",
    "seconds",
    "cells_per_second",
)


@dataclass
class History:
    """One row per epoch, kept as lists."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def add(self, **row: float) -> None:
        """Append an epoch; what was not measured is NaN."""
        self.rows.append({name: float(row.get(name, np.nan)) for name in COLUMNS})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the columns as float64 arrays, one entry per epoch."""
        return {name: np.array([row[name] for row in self.rows], dtype=np.float64) for name in COLUMNS}
