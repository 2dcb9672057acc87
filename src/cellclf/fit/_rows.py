"""What a network learns from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cellclf import stats

if TYPE_CHECKING:
    from cellclf.fit._cells import Cells

N_LOOKED_AT = 2048  # cells from which axes are found


@dataclass(frozen=True, eq=False)
class Rows:
    """Preprocessed cells: `x` (n_cells, n_genes) float32, here or made batch by batch, and their classes `y` (n_cells)."""

    x: np.ndarray | Cells
    y: np.ndarray
    _found: list[np.ndarray] = field(default_factory=list, init=False, repr=False)

    @property
    def arrays(self) -> tuple[np.ndarray | Cells, np.ndarray]:
        """Cells and their classes."""
        return self.x, self.y

    def axes(self, n: int) -> np.ndarray:
        """Return the first principal axes of (up to 2048 of) the cells, (n_genes, n) or fewer; they are found once."""
        n = min(n, *self.x.shape)
        if not self._found or self._found[0].shape[1] < n:
            chosen = stats.evenly(self.y, N_LOOKED_AT)
            cells = np.asarray(self.x[chosen] if len(chosen) < len(self.y) else self.x[:])
            self._found[:] = [stats.principal_axes(cells - cells.mean(axis=0), n, n_iterations=2)]
        return self._found[0][:, :n]
