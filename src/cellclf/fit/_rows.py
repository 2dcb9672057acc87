"""What a network learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from cellclf.fit._cells import Cells


class Rows(NamedTuple):
    """Preprocessed cells: `x` (n_cells, n_genes) float32, here or made batch by batch, and their classes `y` (n_cells)."""

    x: np.ndarray | Cells
    y: np.ndarray
