"""The ways to compare genes that are laid out, in bands: a band of genes against all genes that follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._gene_forms import centred

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._gene_forms import Codes, Distributions
    from cellclf.stats._gene_values import GeneValues

TILE = 64  # genes laid out at a time: of two thousand cells, two tiles stay in the second-level cache
PRODUCT_TILE = 2048  # for BLAS, which does its own tiling
BLOCK_CELLS = 4096  # products over so many cells are taken in float32, their sum in float64
TILE_BYTES, KEPT_BYTES = 2**27, 2**30  # the size of a tile for BLAS, and of all tiles kept laid out
LOG_2 = float(np.log(2))


class Measure(ABC):
    """What compares genes, `band` of them at a time with all that follow."""

    band = 2 * TILE

    def __init__(self, n_genes: int) -> None:
        self.n_genes = n_genes

    @abstractmethod
    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare genes first..stop, a band, with genes first.. of all."""

    @abstractmethod
    def itself(self) -> NDArray[np.float64]:
        """Compare each gene with itself."""


class Tiled(Measure):
    """Lays tiles of genes out and compares two at a time, in threads."""

    tile, in_threads = TILE, True

    def __init__(self, n_genes: int, bytes_per_gene: float) -> None:
        super().__init__(n_genes)
        n_used = 2 + _kernels.n_threads() if self.in_threads else 2
        n_kept = max(n_used, int(KEPT_BYTES / max(1.0, self.tile * bytes_per_gene)))
        self._laid_out = lru_cache(maxsize=n_kept)(lambda first: self.lay_out(first, self._stop(first)))

    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare a band with all that follow."""
        starts = range(first, self.n_genes, self.tile)
        corners = [(up, across) for across in starts for up in starts[: -(-(stop - first) // self.tile)]]
        tasks = [
            partial(self._compare_tiles, up, across, out[up - first :, across - first :]) for up, across in corners
        ]
        if self.in_threads:
            _threads.run(tasks)
        else:
            for task in tasks:
                task()

    def _compare_tiles(self, up: int, across: int, out: NDArray[np.float32]) -> None:
        """Compare two tiles."""
        found = self.compare(up, across, self._laid_out(up), self._laid_out(across))
        out[: found.shape[0], : found.shape[1]] = found

    def _stop(self, first: int) -> int:
        """Return where a tile ends."""
        return min(first + self.tile, self.n_genes)

    def _of(self, numbers: NDArray[Any], first: int) -> NDArray[Any]:
        """Return the numbers of the genes of a tile."""
        return numbers[first : self._stop(first)]

    @abstractmethod
    def lay_out(self, first: int, stop: int) -> Any:
        """Lay out genes first..stop."""

    @abstractmethod
    def compare(self, up: int, across: int, one: Any, other: Any) -> NDArray[np.floating[Any]]:
        """Compare the tiles that begin with genes `up` and `across`."""


class Correlation(Tiled):
    """Pearson correlation as matrix products of centred genes of length one."""

    in_threads = False  # BLAS has threads of its own

    def __init__(self, values: GeneValues) -> None:
        fitting = TILE_BYTES // (8 * values.n_cells) // TILE * TILE
        self.tile = self.band = min(PRODUCT_TILE, max(TILE, fitting))
        super().__init__(values.n_genes, 4 * values.n_cells)
        self.values, self.centre = values, centred(values)

    def lay_out(self, first: int, stop: int) -> NDArray[np.float32]:
        """Centre genes and bring them to length one; a constant gene becomes NaN."""
        matrix, out = self.values.matrix, np.empty((stop - first, self.values.n_cells), np.float32)
        arrays = matrix.data, matrix.indices, matrix.indptr, *self.centre, first
        _threads.over_ranges(lambda a, b: _kernels.standardise(*arrays, first + a, first + b, out), stop - first)
        return out

    def _compare_tiles(self, up: int, across: int, out: NDArray[np.float32]) -> None:
        """Multiply two tiles of few cells straight into their place."""
        if self.values.n_cells > BLOCK_CELLS:
            super()._compare_tiles(up, across, out)
            return
        one, other = self._laid_out(up), self._laid_out(across)
        place = out[: len(one), : len(other)]
        np.matmul(one, other.T, out=place)
        np.clip(place, -1, 1, out=place)

    def compare(
        self, up: int, across: int, one: NDArray[np.float32], other: NDArray[np.float32]
    ) -> NDArray[np.floating[Any]]:
        """Multiply, some cells at a time."""
        found = one[:, :BLOCK_CELLS] @ other[:, :BLOCK_CELLS].T
        if one.shape[1] > BLOCK_CELLS:
            found = found.astype(np.float64)
        for start in range(BLOCK_CELLS, one.shape[1], BLOCK_CELLS):
            found += one[:, start : start + BLOCK_CELLS] @ other[:, start : start + BLOCK_CELLS].T
        return np.clip(found, -1, 1, out=found)

    def itself(self) -> NDArray[np.float64]:
        """Return one, or NaN for a constant gene."""
        return one_where(~np.isnan(self.centre.length))


class Divergence(Tiled):
    """Jensen-Shannon divergence with one logarithm for each cell of each pair."""

    def __init__(self, shares: Distributions) -> None:
        super().__init__(shares.shares.n_genes, 4 * shares.shares.n_cells)
        self.shares = shares

    def lay_out(self, first: int, stop: int) -> NDArray[np.float32]:
        """Lay shares out."""
        return self.shares.shares.dense(first, stop)

    def compare(
        self, up: int, across: int, one: NDArray[np.float32], other: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Take the entropy of the mixture and those of the genes."""
        mixed = self.mixtures(one, other)
        alone = self.shares.sums + self.shares.entropies
        own = self._of(alone, up)[:, None] + self._of(alone, across)
        found = in_nats(own - mixed, self.shares.whole)
        return undefined(found, self._of(self.shares.sums, up) == 0, self._of(self.shares.sums, across) == 0)

    def mixtures(self, one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sum (p + q) log2(p + q)."""
        mixed = np.empty((len(one), len(other)))
        _kernels.sums_log_sums(one, other, mixed)
        return mixed

    def itself(self) -> NDArray[np.float64]:
        """Return zero, or NaN for a gene without values."""
        return one_where(self.shares.sums > 0) - 1


class Jaccard(Tiled):
    """Jaccard index of sets of cells, from bits."""

    cell_bytes = 1 / 8

    def __init__(self, codes: Codes) -> None:
        super().__init__(codes.values.n_genes, self.cell_bytes * codes.n_planes * codes.values.n_cells)
        self.codes = codes

    def lay_out(self, first: int, stop: int) -> NDArray[np.uint64]:
        """Pack the cells of each bin into bits, 64 to a word (genes × planes × words)."""
        codes = self.codes.values.dense(first, stop)
        packed = np.zeros((stop - first, self.codes.n_planes, -(-codes.shape[1] // 64) * 8), np.uint8)
        for plane in range(self.codes.n_planes):
            bits = np.packbits(codes == plane + 1, axis=1)
            packed[:, plane, : bits.shape[1]] = bits
        return packed.view(np.uint64)

    def compare(self, up: int, across: int, one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Count shared bits."""
        found = np.empty((len(one), len(other)))
        _kernels.jaccard(one, other, self._of(self.codes.sizes, up), self._of(self.codes.sizes, across), found)
        return found

    def itself(self) -> NDArray[np.float64]:
        """Return one, or NaN for a gene found nowhere."""
        return one_where(self.codes.sizes[:, 0] > 0)


class Information(Jaccard):
    """Mutual information of binned genes, from bits."""

    def __init__(self, codes: Codes) -> None:
        super().__init__(codes)
        self.n_log_n = n_log_n(codes.values.n_cells)

    def compare(self, up: int, across: int, one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Count the table of each pair."""
        found, sizes = np.empty((len(one), len(other))), self.codes.sizes
        around = self._of(sizes, up), self._of(sizes, across), self.n_log_n, self.codes.values.n_cells
        _kernels.pair_information(one, other, *around, found)
        return found

    def itself(self) -> NDArray[np.float64]:
        """Return the entropy of the bins."""
        n_cells = self.codes.values.n_cells
        return np.maximum(0, (self.n_log_n[n_cells] - self.n_log_n[self.codes.sizes].sum(axis=1)) / n_cells)


def n_log_n(total: int) -> NDArray[np.float64]:
    """Tabulate n log n for every number of cells."""
    n = np.arange(total + 1, dtype=np.float64)
    n[1:] *= np.log(n[1:])
    return n


def in_nats(difference: NDArray[np.float64], whole: float) -> NDArray[np.float64]:
    """Bring a difference of entropies, in bits and in units of 1 / whole, to nats within their bounds."""
    return np.clip(difference * (LOG_2 / (2 * whole)), 0, LOG_2)


def undefined(
    found: NDArray[np.float64], no_rows: NDArray[np.bool_], no_columns: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Put NaN where a gene has no distribution."""
    found[no_rows] = np.nan
    found[:, no_columns] = np.nan
    return found


def one_where(defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return one, or NaN where not defined."""
    return np.where(defined, 1.0, np.nan)
