"""Cells whose values are made when they are asked for, so that they need not all be in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cellclf import _tensors
from cellclf._preprocessing import Preprocessing, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Cells:
    """Chosen genes of cells (n_cells, n_genes), float32: read, normalised (where `counts`) and scaled for each batch.

    `values` is an array or a file that is mapped, `totals` holds the sum of each of its rows over all genes of the matrix;
    `rows` and `columns` are places in `values`. It is read as a matrix on disk is, by slices or arrays of rows.
    """

    values: np.ndarray
    totals: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    counts: bool = False
    scaling: Preprocessing | None = None

    dtype = np.dtype(np.float32)

    @classmethod
    def of(cls, values: np.ndarray, totals: np.ndarray) -> Cells:
        """Take all of an array."""
        return cls(values, totals, np.arange(values.shape[0]), np.arange(values.shape[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells and of genes."""
        return len(self.rows), len(self.columns)

    @property
    def nbytes(self) -> int:
        """Bytes of all values at once."""
        return len(self.rows) * len(self.columns) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        rows = self.rows[index]
        run = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1 and isinstance(index, slice)
        values = self.values[rows[0] : rows[-1] + 1] if run else self.values[rows]
        if not np.array_equal(self.columns, np.arange(values.shape[1])):
            values = np.take(values, self.columns, axis=1)
        values = values.astype(np.float32)
        if self.counts:
            normalise(values, self.totals[rows])
        return values if self.scaling is None else self.scaling.scale(values)

    def reference(self) -> bytes:
        """Say where the values lie (a file that is mapped) and what is made of them, for another process."""
        scaling = {} if self.scaling is None else {f"scaling.{k}": v for k, v in self.scaling.tensors().items()}
        tensors = {"totals": self.totals, "rows": self.rows, "columns": self.columns} | scaling
        header = {"values": str(self.values.filename), "counts": self.counts}  # type: ignore[attr-defined]
        return _tensors.pack(tensors, header | {"scaling": self.scaling and self.scaling.header()})

    @classmethod
    def open(cls, path: Path) -> Cells:
        """Take what another process refers to."""
        tensors, header = _tensors.read(path)
        values = np.load(header["values"], mmap_mode="r")
        scaling = header["scaling"] and Preprocessing.restore(
            header["scaling"], {name.removeprefix("scaling."): array for name, array in tensors.items()}
        )
        return cls(values, tensors["totals"], tensors["rows"], tensors["columns"], header["counts"], scaling)

    def normalised(self) -> Cells:
        """Return the same cells with counts brought to logarithms."""
        return replace(self, counts=True)

    def scaled(self, scaling: Preprocessing) -> Cells:
        """Return the same cells as a network reads them."""
        return replace(self, counts=scaling.counts, scaling=scaling)

    def part(self, index: slice | np.ndarray) -> Cells:
        """Return some of the cells."""
        return replace(self, rows=self.rows[index])

    def blocks(self) -> Iterator[np.ndarray]:
        """Go through the cells, some at a time."""
        return (self[start : start + BLOCK] for start in range(0, len(self), BLOCK))

    def in_memory(self) -> np.ndarray:
        """Make all values now."""
        out = np.empty(self.shape, dtype=np.float32)
        for number, block in enumerate(self.blocks()):
            out[number * BLOCK : number * BLOCK + len(block)] = block
        return out
