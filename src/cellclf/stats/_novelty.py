"""How far a cell lies from every class it could belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHRINKAGE = 0.1


@dataclass(frozen=True)
class Novelty:
    """Class means and the shared spread within classes, in the space of an embedding.

    `means` is (n_classes, n_embedding); `whitening` (n_embedding, n_embedding) turns differences into units of spread.
    """

    means: np.ndarray
    whitening: np.ndarray

    @classmethod
    def learn(cls, embedding: np.ndarray, y: np.ndarray, n_classes: int) -> Novelty:
        """Estimate means and pooled covariance, shrunk towards a sphere so that it can be inverted."""
        embedding = embedding.astype(np.float64)
        sizes = np.maximum(np.bincount(y, minlength=n_classes), 1)
        means = np.stack([embedding[y == k].sum(axis=0) / sizes[k] for k in range(n_classes)])
        centred = embedding - means[y]
        covariance = centred.T @ centred / len(y)
        sphere = np.trace(covariance) / len(covariance) or 1.0  # all cells of a class alike: any scale will do
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * sphere * np.eye(len(covariance))
        whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
        return cls(means.astype(np.float32), whitening.astype(np.float32))

    def score(self, embedding: np.ndarray) -> np.ndarray:
        """Return the Mahalanobis distance to the nearest class mean, per embedding dimension (about 1 for training cells)."""
        cells = embedding.astype(np.float64) @ self.whitening
        centres = self.means.astype(np.float64) @ self.whitening
        squared = np.stack([((cells - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
        return np.sqrt(squared.min(axis=1) / embedding.shape[1])
