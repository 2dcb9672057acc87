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

TILE, BAND = 64, 512  # genes laid out at a time, and compared with all that follow
PRODUCT_TILE = 2048  # for BLAS, which does its own tiling
BLOCK_CELLS = 4096  # products over so many cells are taken in float32, their sum in float64
TILE_BYTES = 2**19  # of a tile laid out: two stay in the second-level cache
KEPT_BYTES = 2**27  # of all tiles kept laid out
RUN_CELLS = 256  # cells are laid out in multiples of this
LOG_2 = float(np.log(2))


class Measure(ABC):
    """What compares genes, `band` of them at a time with all that follow."""

    band = BAND

    def __init__(self, n_genes: int) -> None:
        self.n_genes = n_genes

    @abstractmethod
    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare genes first..stop, a band, with genes first.. of all; what lies below the diagonal may be anything."""

    @abstractmethod
    def itself(self) -> NDArray[np.float64]:
        """Compare each gene with itself."""


class Tiled(Measure):
    """Lays tiles of genes out, some cells at a time, and compares two at a time, in threads."""

    tile, in_threads = TILE, True

    def __init__(self, n_genes: int, n_cells: int, cell_bytes: float) -> None:
        super().__init__(n_genes)
        self.n_cells, self.step = n_cells, self.cells_at_once(cell_bytes)
        n_used = -(-self.band // self.tile) + (_kernels.n_threads() if self.in_threads else 1)
        n_kept = max(n_used, int(KEPT_BYTES / max(1.0, self.tile * cell_bytes * min(self.step, n_cells))))
        self._laid_out = lru_cache(maxsize=n_kept)(self._lay_out)

    def cells_at_once(self, cell_bytes: float) -> int:
        """Choose how many cells to lay out at a time."""
        return max(1, int(TILE_BYTES / (self.tile * cell_bytes)) // RUN_CELLS) * RUN_CELLS

    def fill(self, first: int, stop: int, out: NDArray[np.float32]) -> None:
        """Compare a band with all that follow."""
        starts = range(first, self.n_genes, self.tile)
        tasks = [partial(self._compare_tiles, first, stop, across, out[:, across - first :]) for across in starts]
        if self.in_threads:
            _threads.run(tasks)
        else:
            for task in tasks:
                task()

    def _compare_tiles(self, first: int, stop: int, across: int, out: NDArray[np.float32]) -> None:
        """Compare the tiles of a band with one tile."""
        starts = range(first, min(stop, across + self.tile), self.tile)
        totals = [self.begin(up, across) for up in starts]
        for start in range(0, self.n_cells, self.step):
            other = self._laid_out(across, start)
            totals = [
                self.add(total, up, across, self._laid_out(up, start), other)
                for total, up in zip(totals, starts, strict=True)
            ]
        for total, up in zip(totals, starts, strict=True):
            found = self.finish(total, up, across)
            out[up - first : up - first + found.shape[0], : found.shape[1]] = found

    def _lay_out(self, first: int, start: int) -> Any:
        """Lay out a tile."""
        return self.lay_out(first, self._stop(first), start, min(start + self.step, self.n_cells))

    def _stop(self, first: int) -> int:
        """Return where a tile ends."""
        return min(first + self.tile, self.n_genes)

    def _of(self, numbers: NDArray[Any], first: int) -> NDArray[Any]:
        """Return the numbers of the genes of a tile."""
        return numbers[first : self._stop(first)]

    def _shape(self, up: int, across: int) -> tuple[int, int]:
        """Return how many genes two tiles hold."""
        return self._stop(up) - up, self._stop(across) - across

    @abstractmethod
    def lay_out(self, first: int, stop: int, start: int, end: int) -> Any:
        """Lay out genes first..stop of cells start..end."""

    @abstractmethod
    def begin(self, up: int, across: int) -> Any:
        """Return what the tiles that begin with genes `up` and `across` have in common in no cells."""

    @abstractmethod
    def add(self, total: Any, up: int, across: int, one: Any, other: Any) -> Any:
        """Add what they have in common in some cells, of which they are laid out."""

    @abstractmethod
    def finish(self, total: Any, up: int, across: int) -> NDArray[np.floating[Any]]:
        """Compare them by what they have in common."""


class Correlation(Tiled):
    """Pearson correlation as matrix products of centred genes of length one."""

    in_threads = False  # BLAS has threads of its own

    def __init__(self, values: GeneValues) -> None:
        self.tile = self.band = PRODUCT_TILE
        super().__init__(values.n_genes, values.n_cells, 4)
        self.values, self.centre = values, centred(values)

    def cells_at_once(self, cell_bytes: float) -> int:
        """Choose how many cells to lay out at a time."""
        return BLOCK_CELLS

    def lay_out(self, first: int, stop: int, start: int, end: int) -> NDArray[np.float32]:
        """Centre genes and bring them to length one; a constant gene becomes NaN."""
        matrix, out = self.values.matrix, np.empty((stop - first, end - start), np.float32)
        arrays = matrix.data, matrix.indices, matrix.indptr, *self.centre, start, first
        _threads.over_ranges(lambda a, b: _kernels.standardise(*arrays, first + a, first + b, out), stop - first)
        return out

    def _compare_tiles(self, first: int, stop: int, across: int, out: NDArray[np.float32]) -> None:
        """Multiply tiles of few cells straight into their place."""
        if self.n_cells > BLOCK_CELLS:
            super()._compare_tiles(first, stop, across, out)
            return
        one, other = self._laid_out(first, 0), self._laid_out(across, 0)
        place = out[: len(one), : len(other)]
        np.matmul(one, other.T, out=place)
        np.clip(place, -1, 1, out=place)

    def begin(self, up: int, across: int) -> NDArray[np.float64]:
        """Return zeros."""
        return np.zeros(self._shape(up, across))

    def add(
        self, total: NDArray[np.float64], up: int, across: int, one: NDArray[np.float32], other: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Add a product."""
        total += one @ other.T
        return total

    def finish(self, total: NDArray[np.float64], up: int, across: int) -> NDArray[np.float64]:
        """Cut off what rounding adds to 1."""
        return np.clip(total, -1, 1, out=total)

    def itself(self) -> NDArray[np.float64]:
        """Return one, or NaN for a constant gene."""
        return one_where(~np.isnan(self.centre.length))


class Divergence(Tiled):
    """Jensen-Shannon divergence with one logarithm for each cell of each pair."""

    def __init__(self, shares: Distributions) -> None:
        super().__init__(shares.shares.n_genes, shares.shares.n_cells, 4)
        self.shares = shares

    def lay_out(self, first: int, stop: int, start: int, end: int) -> NDArray[np.float32]:
        """Lay shares out."""
        matrix, out = self.shares.shares.matrix, np.empty((stop - first, end - start), np.float32)
        _kernels.lay_out(matrix.data, matrix.indices, matrix.indptr, start, first, first, stop, out)
        return out

    def begin(self, up: int, across: int) -> NDArray[np.float64]:
        """Return zeros."""
        return np.zeros(self._shape(up, across))

    def add(
        self, total: NDArray[np.float64], up: int, across: int, one: NDArray[np.float32], other: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Add (p + q) log2(p + q)."""
        _kernels.sums_log_sums(one, other, total)
        return total

    def finish(self, total: NDArray[np.float64], up: int, across: int) -> NDArray[np.float64]:
        """Take the entropy of the mixture and those of the genes."""
        alone = self.shares.sums + self.shares.entropies
        own = self._of(alone, up)[:, None] + self._of(alone, across)
        found = in_nats(own - total, self.shares.whole)
        return undefined(found, self._of(self.shares.sums, up) == 0, self._of(self.shares.sums, across) == 0)

    def itself(self) -> NDArray[np.float64]:
        """Return zero, or NaN for a gene without values."""
        return one_where(self.shares.sums > 0) - 1


class Jaccard(Tiled):
    """Jaccard index of sets of cells, from bits."""

    cell_bytes = 1 / 8

    def __init__(self, codes: Codes) -> None:
        super().__init__(codes.values.n_genes, codes.values.n_cells, self.cell_bytes * max(1, codes.n_planes))
        self.codes = codes

    def lay_out(self, first: int, stop: int, start: int, end: int) -> NDArray[np.uint64]:
        """Pack the cells of each bin into bits, 64 to a word (genes × planes × words)."""
        matrix = self.codes.values.matrix
        packed = np.zeros((stop - first, self.codes.n_planes, -(-(end - start) // 64)), np.uint64)
        _kernels.pack(self.codes.codes, matrix.indices, matrix.indptr, start, end, first, first, stop, packed)
        return packed

    def begin(self, up: int, across: int) -> NDArray[np.int64]:
        """Return zeros for all pairs of bins."""
        return np.zeros((*self._shape(up, across), self.codes.n_planes, self.codes.n_planes), np.int64)

    def add(
        self, total: NDArray[np.int64], up: int, across: int, one: NDArray[np.uint64], other: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """Count shared bits."""
        _kernels.count_common(one, other, self._of(self.codes.sizes, up), self._of(self.codes.sizes, across), total)
        return total

    def finish(self, total: NDArray[np.int64], up: int, across: int) -> NDArray[np.float64]:
        """Divide those in both by those in either."""
        both = total[..., 0, 0]
        either = self._of(self.codes.sizes, up)[:, :1] + self._of(self.codes.sizes, across)[:, 0] - both
        return np.divide(both, either, out=np.full(both.shape, np.nan), where=either > 0)

    def itself(self) -> NDArray[np.float64]:
        """Return one, or NaN for a gene found nowhere."""
        return one_where(self.codes.sizes[:, 0] > 0)


class Information(Jaccard):
    """Mutual information of binned genes, from bits."""

    def __init__(self, codes: Codes) -> None:
        super().__init__(codes)
        self.n_log_n = n_log_n(codes.values.n_cells)

    def finish(self, total: NDArray[np.int64], up: int, across: int) -> NDArray[np.float64]:
        """Take the information of the table of each pair."""
        found, sizes = np.empty(total.shape[:2]), self.codes.sizes
        around = self._of(sizes, up), self._of(sizes, across), self.n_log_n, self.n_cells
        _kernels.pair_information(total, *around, found)
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
