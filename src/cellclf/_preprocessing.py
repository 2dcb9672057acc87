"""What happens to the values before they enter the network; learnt on training rows, stored with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf import stats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellclf._types import Matrix

TARGET_SUM = 1e4
CLIP = 10.0
ARRAYS = ("fill", "offset", "divisor", "weight")


@dataclass(frozen=True)
class Preprocessing:
    """Counts to logarithms (where `counts`), then (value - offset) / divisor, clipped (where `clip`), times weight.

    The arrays hold one float32 per gene; `fill` is the training mean, which stands in for a gene that a query lacks.
    """

    counts: bool
    clip: bool
    fill: np.ndarray
    offset: np.ndarray
    divisor: np.ndarray
    weight: np.ndarray

    @classmethod
    def learn(cls, values: Matrix, *, counts: bool, scale: str) -> Preprocessing:
        """Learn the scaling from `values` (n_cells, n_genes) float32, already normalised where they were counts."""
        mean, std = stats.mean_std(values)
        offset: np.ndarray
        divisor: np.ndarray
        if scale == "zscore":
            offset, divisor = mean, std
        elif scale in {"minmax", "maxabs"}:
            every = np.ones(values.shape[0], dtype=bool)
            lowest, highest = (extreme.astype(np.float32) for extreme in stats.extremes(values, every)[:2])
            offset = lowest if scale == "minmax" else np.zeros_like(mean)
            divisor = highest - lowest if scale == "minmax" else np.maximum(highest, -lowest)
        else:
            offset, divisor = np.zeros_like(mean), np.ones_like(std)
        varies = (std > 0).astype(np.float32)  # a constant gene becomes 0, and is not listened to
        arrays = [mean, offset, np.where(divisor > 0, divisor, 1.0), varies]
        return cls(counts, scale == "zscore", *(array.astype(np.float32) for array in arrays))

    def weighted(self, information: np.ndarray, power: float) -> Preprocessing:
        """Multiply each gene by a power of what it tells about the label; the root mean square of the weights is one."""
        weight = self.weight * np.clip(information, 0, None) ** power
        size = np.sqrt((weight**2).sum() / max(1, np.count_nonzero(self.weight)))
        weight = weight / size if size > 0 else self.weight  # no gene tells anything: all stay equal
        return Preprocessing(self.counts, self.clip, self.fill, self.offset, self.divisor, weight.astype(np.float32))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Scale normalised `values` (n_cells, n_genes) float32; NaN stands for a missing gene and is filled."""
        missing = np.isnan(values)
        return self.scale(np.where(missing, self.fill, values) if missing.any() else values.copy())

    def scale(self, values: np.ndarray) -> np.ndarray:
        """Scale normalised `values` (n_cells, n_genes) float32, none missing, in place."""
        values -= self.offset
        values /= self.divisor
        if self.clip:
            np.clip(values, -CLIP, CLIP, out=values)
        values *= self.weight
        return values

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in ARRAYS}

    def header(self) -> dict[str, Any]:
        """Return what is not an array."""
        return {"counts": self.counts, "clip": self.clip}

    @classmethod
    def restore(cls, header: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Preprocessing:
        """Rebuild from header and arrays."""
        return cls(bool(header["counts"]), bool(header["clip"]), *(tensors[name] for name in ARRAYS))


def normalise(values: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Bring counts (n_cells, n_genes) to log1p of 10 000 per cell, in place; `totals` are sums over all genes of the matrix."""
    factor = np.divide(TARGET_SUM, totals, out=np.zeros_like(totals), where=totals > 0)
    values *= factor[:, None].astype(np.float32)
    return np.log1p(values, out=values)
