"""The bins of all genes, and how a kernel finds that of a value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellclf.stats import _kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of all genes, ragged.

    Bin `b` of gene `j` holds the values from `edges[offsets[j] + b]` up to, without it, the next edge; the first bin
    begins at minus infinity and the last has no end, so every value has a bin.

    Parameters
    ----------
    edges
        Lower edge of every bin, float64 (n_bins of all genes).
    offsets
        Where the bins of each gene begin, int64 (n_genes + 1).
    kind
        How they were made: "counts" (one bin per whole number, values must be whole), "geometric" (the same whole-number
        edges for all genes), "quantile" or "uniform".
    """

    edges: NDArray[np.float64]
    offsets: NDArray[np.int64]
    kind: Literal["counts", "geometric", "quantile", "uniform"]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.offsets.size - 1

    @property
    def n_bins(self) -> NDArray[np.int64]:
        """Number of bins of each gene."""
        return np.diff(self.offsets)

    @cached_property
    def zero_bins(self) -> NDArray[np.int64]:
        """The bin of each gene that holds zero."""
        if self.edges.size == 0:
            return np.zeros(self.n_genes, np.int64)
        return np.add.reduceat((self.edges <= 0).astype(np.int64), self.offsets[:-1]) - 1

    def of_gene(self, gene: int) -> NDArray[np.float64]:
        """Return the lower edges of one gene's bins."""
        return self.edges[self.offsets[gene] : self.offsets[gene + 1]]

    def columns(self, columns: slice) -> Bins:
        """Return the bins of consecutive genes."""
        if (columns.start, columns.stop) == (0, self.n_genes):
            return self
        offsets = self.offsets[columns.start : columns.stop + 1]
        return Bins(self.edges[offsets[0] : offsets[-1]], offsets - offsets[0], self.kind)

    def search(self, dtype: np.dtype[Any]) -> tuple[int, NDArray[np.uint16], NDArray[Any]]:
        """Return how the kernels find the bin of a value of this type: the way, a table for it, and cuts for it."""
        no_table, no_cuts = np.zeros(1, np.uint16), np.zeros((1, _kernels.LANE), _cut_type(dtype))
        if self.kind == "counts":
            return _kernels.WHOLE, no_table, no_cuts
        if self.kind == "geometric":
            edges = self.of_gene(0)[1:].astype(np.int64) if self.n_genes else np.zeros(0, np.int64)
            top = int(edges[-1]) if edges.size else 0
            return _kernels.TABLE, np.searchsorted(edges, np.arange(top + 1), side="right").astype(np.uint16), no_cuts
        return _kernels.CUTS, no_table, self._padded(_cut_type(dtype))

    def largest(self, dtype: np.dtype[Any]) -> Any:
        """Return the largest value of this type that the kernels look up, as a scalar of the type."""
        if self.kind != "geometric" or not self.n_genes:
            return dtype.type(0)
        top = int(self.of_gene(0)[-1]) if self.edges.size > self.n_genes else 0
        return dtype.type(min(top, np.iinfo(dtype).max) if dtype.kind in "iu" else top)

    def _padded(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Lay the inner edges out as a rectangle, infinity where a gene has fewer."""
        n_bins = self.n_bins
        n_cuts = int(n_bins.max(initial=1)) - 1
        cuts = np.full((self.n_genes, max(1, -(-n_cuts // _kernels.LANE)) * _kernels.LANE), np.inf)
        genes = np.repeat(np.arange(self.n_genes), n_bins)
        places = np.arange(self.edges.size) - self.offsets[genes]
        inner = places > 0
        cuts[genes[inner], places[inner] - 1] = self.edges[inner]
        return _not_below(cuts, dtype)


def _cut_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which values of `dtype` are compared with cuts."""
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


def _not_below(cuts: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round cuts up to `dtype`, which changes no comparison with a value of that type."""
    rounded = cuts.astype(dtype)
    return np.where(rounded < cuts, np.nextafter(rounded, np.array(np.inf, dtype)), rounded)
