"""How unlike the cells of every class a cell is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.special import logsumexp

from cellclf.stats._axes import principal_axes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SHRINKAGE = 0.1
N_LEARNT = 8192  # training cells that are looked at
N_KEPT = 2048  # of these, cells kept as neighbours
N_AXES = 20
N_NEIGHBOURS = 10
LOWEST = -0.5  # of a measure, in standard deviations
FEWEST = 5  # cells that can tell a standard deviation
SPACES = ("embedded", "projected")
AT_ONCE = 512  # cells whose neighbours are looked up together


@dataclass(frozen=True, eq=False)
class Spread:
    """Where training cells lie in a space: the classes with their shared spread, and all cells together.

    `means` is (n_classes, n_axes) and `centre` (n_axes); `within` and `overall` (n_axes, n_axes) turn differences into
    units of spread, within classes and overall. All float32. The mean of a class without cells is NaN.
    """

    means: NDArray[Any]
    within: NDArray[Any]
    centre: NDArray[Any]
    overall: NDArray[Any]

    @classmethod
    def learn(cls, cells: NDArray[Any], y: NDArray[Any], n_classes: int) -> Spread:
        """Estimate means and covariances of training cells (n_cells, n_axes) of classes `y`."""
        cells = cells.astype(np.float64)
        sizes = np.bincount(y, minlength=n_classes)
        sums = np.stack([cells[y == k].sum(axis=0) for k in range(n_classes)])
        means = np.divide(sums, sizes[:, None], out=np.full_like(sums, np.nan), where=sizes[:, None] > 0)
        centre = cells.mean(axis=0)
        centred, apart = cells - means[y], (means - centre)[sizes > 0]
        within = centred.T @ centred / len(cells)
        overall = within + sizes[sizes > 0] * apart.T @ apart / len(cells)
        arrays = means, _whitening(within), centre, _whitening(overall)
        return cls(*(array.astype(np.float32) for array in arrays))

    def distances(self, cells: NDArray[Any]) -> NDArray[np.float64]:
        """Return the relative Mahalanobis distance of cells to each class (n_cells, n_classes) :cite:p:`Ren2021`.

        Squared distance to the class less that to all cells together, per axis: the second term takes away what is merely
        unusual in directions that do not tell classes apart. Infinite for a class without cells.
        """
        cells = cells.astype(np.float64)
        whitened, centres = cells @ self.within, self.means.astype(np.float64) @ self.within
        squared = np.stack([((whitened - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
        background = (((cells - self.centre) @ self.overall.astype(np.float64)) ** 2).sum(axis=1)
        return np.where(np.isnan(squared), np.inf, squared - background[:, None]) / cells.shape[1]

    def left_out(self, cells: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
        """Return the distance of each training cell to its class `y` if means and covariances were learnt without it (n_cells).

        By the formula for an inverse less one outer product :cite:p:`Sherman1950`; the sphere towards which covariances are
        shrunk, and their divisor, stay. NaN for the only cell of a class.
        """
        sizes = np.bincount(y, minlength=len(self.means))[y]
        own = _without_itself((cells - self.means[y]) @ self.within.astype(np.float64), sizes)
        background = _without_itself((cells - self.centre) @ self.overall.astype(np.float64), np.full(len(y), len(y)))
        return (own - background) / cells.shape[1]


@dataclass(frozen=True, eq=False)
class Novelty:
    """What training cells look like, in four ways that miss different things.

    The relative Mahalanobis distance to a class in the network's embedding (`embedded`), and the same on the first 20 principal
    axes of the genes (`origin`, `axes`, `projected`), where classes that the network was never asked to tell apart
    may still differ; how sparse the neighbourhood is, compared with that of the neighbours (`kept` training cells on these axes,
    `reach`: the distance from each to its tenth neighbour) :cite:p:`Breunig2000`; and the energy of the logits
    :cite:p:`Liu2020`. `levels` and `widths` (4) are their means and standard deviations over cells that had no part in
    what they are compared with. A measure counts as `lowest` (a number) where it is less than that, in such units.
    """

    embedded: Spread
    projected: Spread
    origin: NDArray[Any]
    axes: NDArray[Any]
    kept: NDArray[Any]
    reach: NDArray[Any]
    levels: NDArray[Any]
    widths: NDArray[Any]
    lowest: NDArray[Any]

    @classmethod
    def learn(
        cls,
        inputs: NDArray[Any],
        embedding: NDArray[Any],
        logits: NDArray[Any] | None,
        y: NDArray[Any],
        n_classes: int,
        *,
        unseen: NDArray[Any] | None = None,
        like: Novelty | None = None,
        emphasis: NDArray[Any] | None = None,
    ) -> Novelty:
        """Learn from training cells of classes `y`: what the network reads of them, its embedding and its logits.

        `inputs` is (n_cells, n_genes), `embedding` (n_cells, n_embedding) and `logits` (n_cells, n_members, n_classes), divided
        by the temperature. :func:`evenly` chooses the cells where there are many. Each cell is left out of the means,
        covariances and neighbours that it is measured by. What a network learnt cannot be taken back, so the energy is that of
        `unseen`, the logits of cells that it was not trained on, where there are some. `levels` and `widths` are those of another
        one that this is to be `like`, where it is given; then no logits are asked for. The principal axes are those of genes
        multiplied by `emphasis` (n_genes), where it is given; `axes` holds both.
        """
        origin = inputs.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred, few = inputs - origin, evenly(y, N_KEPT)
        emphasis = np.ones(inputs.shape[1], np.float32) if emphasis is None else emphasis.astype(np.float32)
        axes = emphasis[:, None] * principal_axes(centred[few] * emphasis, N_AXES)
        cells = centred @ axes
        kept = cells[few]
        embedded, projected = Spread.learn(embedding, y, n_classes), Spread.learn(cells, y, n_classes)
        distances, numbers = _neighbours(kept, kept, itself=True)
        reach = distances[:, -1].astype(np.float32)
        if like is None:
            scales = (
                _scale(projected.left_out(cells, y)),
                _scale(embedded.left_out(embedding, y)),
                _scale(_sparseness(distances, numbers, reach)),
                _scale(_energy(_judging(logits, unseen))),
            )
            levels, widths = np.array(scales).T
        else:
            levels, widths = like.levels, like.widths
        return cls(embedded, projected, origin, axes, kept, reach, levels, widths, np.array(LOWEST))

    def by_class(self, inputs: NDArray[Any], embedding: NDArray[Any], logits: NDArray[Any]) -> NDArray[np.float64]:
        """Return how unlike the cells of each class cells are (n_cells, n_classes): the mean of the four, standardised.

        What a measure does not find strange does not make up for what another does, so none counts for less than half a
        standard deviation below its mean.
        """
        cells = (inputs - self.origin) @ self.axes
        parts = (
            self.projected.distances(cells),
            self.embedded.distances(embedding),
            _sparseness(*_neighbours(cells, self.kept), self.reach)[:, None],
            _energy(logits)[:, None],
        )
        scaled = [
            np.maximum((part - level) / width, self.lowest)
            for part, level, width in zip(parts, self.levels, self.widths, strict=True)
        ]
        return sum(scaled[1:], scaled[0]) / len(scaled)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        spreads = {
            f"{space}.{part.name}": getattr(getattr(self, space), part.name)
            for space in SPACES
            for part in fields(Spread)
        }
        return spreads | {field.name: getattr(self, field.name) for field in fields(self) if field.name not in SPACES}

    @classmethod
    def restore(cls, tensors: Mapping[str, NDArray[Any]]) -> Novelty:
        """Rebuild from the arrays; those of earlier versions had no lowest value, and score as they did."""
        tensors = {"lowest": np.array(-np.inf), **tensors}
        embedded, projected = (
            Spread(*(tensors[f"{space}.{part.name}"] for part in fields(Spread))) for space in SPACES
        )
        return cls(embedded, projected, *(tensors[field.name] for field in fields(cls) if field.name not in SPACES))


def evenly(y: NDArray[Any], n_rows: int) -> NDArray[np.int64]:
    """Choose rows of every class, evenly spaced: all of a small class, and of the others equally many.

    Parameters
    ----------
    y
        Class of each row (n_obs).
    n_rows
        Largest number of rows; where there are more classes than that, there is one row of each.

    Returns
    -------
    Row numbers in ascending order, all rows where there are no more than `n_rows`.

    Examples
    --------
    >>> evenly(np.array([0, 0, 0, 0, 0, 0, 1, 1]), 5)
    array([0, 3, 5, 6, 7])
    """
    if len(y) <= n_rows:
        return np.arange(len(y))
    sizes, quota, too_many = np.bincount(y), 1, len(y)
    while too_many - quota > 1:
        middle = (quota + too_many) // 2
        quota, too_many = (middle, too_many) if np.minimum(sizes, middle).sum() <= n_rows else (quota, middle)
    of_class = [np.flatnonzero(y == k) for k in range(len(sizes))]
    chosen = [rows[np.rint(np.linspace(0, len(rows) - 1, min(len(rows), quota))).astype(int)] for rows in of_class]
    return np.sort(np.concatenate(chosen))


def _judging(logits: NDArray[Any] | None, unseen: NDArray[Any] | None) -> NDArray[Any]:
    """Return the logits that tell which energy is usual."""
    if enough(unseen):
        return cast("NDArray[Any]", unseen)
    if logits is None:
        msg = "Neither are there logits, nor enough of unseen cells. Give logits."
        raise ValueError(msg)
    return logits


def enough(unseen: NDArray[Any] | None) -> bool:
    """Tell whether there are enough cells that trained nothing to tell which energy is usual.

    Parameters
    ----------
    unseen
        Their logits (n_cells, n_members, n_classes), or `None`.

    Returns
    -------
    Whether the logits of the training cells are of no use.

    Examples
    --------
    >>> enough(None), enough(np.zeros((5, 1, 3)))
    (False, True)
    """
    return unseen is not None and len(unseen) >= FEWEST


def _neighbours(
    cells: NDArray[Any], kept: NDArray[Any], *, itself: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the nearest kept cells of each cell, without `itself`: distances in ascending order, and their numbers."""
    n = min(N_NEIGHBOURS, len(kept) - itself)
    others = kept.astype(np.float64)
    sizes = (others**2).sum(axis=1)
    distances, numbers = np.zeros((len(cells), max(n, 1))), np.zeros((len(cells), max(n, 1)), np.int64)
    if n < 1:
        return distances, numbers
    for start in range(0, len(cells), AT_ONCE):
        some = cells[start : start + AT_ONCE].astype(np.float64)
        squared = (some**2).sum(axis=1)[:, None] + sizes - 2 * some @ others.T
        if itself:
            squared[np.arange(len(some)), start + np.arange(len(some))] = np.inf
        near = np.argpartition(squared, n - 1, axis=1)[:, :n]
        found = np.take_along_axis(squared, near, axis=1)
        order = np.argsort(found, axis=1, kind="stable")
        numbers[start : start + AT_ONCE] = np.take_along_axis(near, order, axis=1)
        distances[start : start + AT_ONCE] = np.sqrt(np.maximum(np.take_along_axis(found, order, axis=1), 0))
    return distances, numbers


def _without_itself(whitened: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the squared length of whitened differences from means over `sizes` cells, each cell left out of mean and spread."""
    squared = (whitened**2).sum(axis=1)
    further = np.divide(
        sizes, sizes - 1, out=np.full(len(sizes), np.nan), where=sizes > 1
    )  # the mean moves away from it
    return further**2 * squared / (1 - (1 - SHRINKAGE) * further * squared / len(whitened))


def _scale(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation of the values that are there; 0 and 1 where they say nothing."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    return float(values.mean()), float(values.std()) or 1.0


def _energy(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return minus the logarithm of the sum of what the softmax divides (n_cells), averaged over members."""
    return -logsumexp(logits.astype(np.float64), axis=2).mean(axis=1)


def _sparseness(distances: NDArray[np.float64], numbers: NDArray[np.int64], reach: NDArray[Any]) -> NDArray[np.float64]:
    """Divide the distance to the last neighbour by the mean reach of the neighbours; 1 means as dense as around them."""
    floor = 1e-3 * float(reach.mean(dtype=np.float64)) or 1.0  # cells that coincide have no reach
    return (distances[:, -1] + floor) / (reach[numbers].mean(axis=1, dtype=np.float64) + floor)


def _whitening(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what turns centred cells into units of spread; the covariance is shrunk towards a sphere to be invertible."""
    sphere = np.trace(covariance) / len(covariance) or 1.0  # all cells alike: any scale will do
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * sphere * np.eye(len(covariance))
    return np.linalg.inv(np.linalg.cholesky(covariance)).T
