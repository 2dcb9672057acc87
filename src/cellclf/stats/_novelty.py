"""How far a cell lies from every class it could belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

SHRINKAGE = 0.1


@dataclass(frozen=True, eq=False)
class Novelty:
    """Where the training cells lie in an embedding: the classes with their shared spread, and all cells together.

    `means` is (n_classes, n_embedding) and `centre` (n_embedding); `within` and `overall` (n_embedding, n_embedding) turn
    differences into units of spread, within classes and overall. All float32.
    """

    means: np.ndarray
    within: np.ndarray
    centre: np.ndarray
    overall: np.ndarray

    @classmethod
    def learn(cls, embedding: np.ndarray, y: np.ndarray, n_classes: int) -> Novelty:
        """Estimate means and covariances of training cells (n_cells, n_embedding) of classes `y`."""
        embedding = embedding.astype(np.float64)
        sizes = np.maximum(np.bincount(y, minlength=n_classes), 1)
        means = np.stack([embedding[y == k].sum(axis=0) / sizes[k] for k in range(n_classes)])
        centre = embedding.mean(axis=0)
        arrays = means, _whitening(embedding - means[y]), centre, _whitening(embedding - centre)
        return cls(*(array.astype(np.float32) for array in arrays))

    def score(self, embedding: np.ndarray) -> np.ndarray:
        """Return the relative Mahalanobis distance of cells (n_cells, n_embedding), float64.

        Squared distance to the nearest class less that to all cells together :cite:p:`Ren2021`, per dimension: the
        second term takes away what is merely unusual in directions that do not tell classes apart.
        """
        embedding = embedding.astype(np.float64)
        cells, centres = embedding @ self.within, self.means.astype(np.float64) @ self.within
        nearest = np.min([((cells - centre) ** 2).sum(axis=1) for centre in centres], axis=0)
        background = (((embedding - self.centre) @ self.overall.astype(np.float64)) ** 2).sum(axis=1)
        return (nearest - background) / embedding.shape[1]

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        return {"means": self.means, "within": self.within, "centre": self.centre, "overall": self.overall}

    @classmethod
    def restore(cls, tensors: Mapping[str, np.ndarray]) -> Novelty:
        """Rebuild from the arrays."""
        return cls(*(tensors[name] for name in ("means", "within", "centre", "overall")))


def _whitening(centred: np.ndarray) -> np.ndarray:
    """Return what turns centred cells into units of spread; the covariance is shrunk towards a sphere to be invertible."""
    covariance = centred.T @ centred / len(centred)
    sphere = np.trace(covariance) / len(covariance) or 1.0  # all cells alike: any scale will do
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * sphere * np.eye(len(covariance))
    return np.linalg.inv(np.linalg.cholesky(covariance)).T
