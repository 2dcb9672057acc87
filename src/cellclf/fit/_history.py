"""What happened in each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "train_macro_f1",
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

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> History:
        """Take up what `arrays` gave."""
        n_rows = len(arrays["epoch"])
        return cls([{name: float(column[i]) for name, column in arrays.items()} for i in range(n_rows)])

    def add(self, **row: float) -> None:
        """Append an epoch; what was not measured is NaN. Columns besides the usual ones must be there in every epoch."""
        self.rows.append(
            {name: float(row.get(name, np.nan)) for name in (*COLUMNS, *sorted(row.keys() - set(COLUMNS)))}
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the columns as float64 arrays, one entry per epoch."""
        names = tuple(self.rows[0]) if self.rows else COLUMNS
        return {name: np.array([row[name] for row in self.rows], dtype=np.float64) for name in names}
