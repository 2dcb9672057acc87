"""Where each gene's values are cut into bins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import check_shape
from cellclf.stats._extremes import extremes
from cellclf.stats._sample import sample_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_BINS = 16
MAX_BINS = 2**24  # over all genes
SAMPLE_ROWS = 8192  # rows from which quantiles are learnt
LOOK_ROWS, LOOK_RUN = 512, 64  # rows by which counts are recognised, in few runs: little of a file is read for them
LARGEST_EDGE = 2**16  # of the bins that all genes share: their table of bins stays small
COUNTS_TYPICAL = 16  # counts whose median above zero is larger are cut at quantiles: no one grid suits all genes
SMALLEST = float(np.finfo(np.float32).tiny)  # what is above zero begins here
METHODS = ("auto", "counts", "quantile", "uniform")


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


def bin_edges(
    x: Any,
    rows: NDArray[np.bool_],
    *,
    bins: Literal["auto", "counts", "quantile", "uniform"] = "auto",
    n_bins: int | None = None,
) -> Bins:
    """Cut the values of each gene into bins.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask.
    rows
        Mask (n_obs) of the rows that may be seen.
    bins
        "counts": one bin for each whole number from 0 to the gene's largest. "quantile": zero, where it occurs, is a
        bin of its own, the other values are cut at their quantiles; equal cuts become one. The quantiles are those of at
        most 8192 of the rows, evenly spaced: any edges give an exact table. "uniform": bins of equal width between the
        gene's smallest and largest value. "auto": counts (whole numbers, none negative, as judged by 512 of the rows) get the edges 0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 21, … for every gene, unless they are mostly larger than 16;
        anything else is cut at quantiles.
    n_bins
        The largest number of bins of a gene, 16 by default; not with "counts".

    Returns
    -------
    The edges; identical for every way of storing the same values.

    Raises
    ------
    ValueError
        Unknown `bins`, `n_bins` with "counts" or below 2, no row to be seen, values that are not finite, with "counts"
        values that are not counts or too many bins.

    Examples
    --------
    >>> bin_edges(np.array([[0.0], [2.0], [5.0]]), np.ones(3, bool), bins="counts").edges
    array([-inf,   1.,   2.,   3.,   4.,   5.])
    """
    rows = np.asarray(rows, dtype=bool)
    check_shape(x, rows.size, "rows")
    number = _check_options(bins, n_bins)
    if not rows.any():
        msg = "No row may be seen (rows is False everywhere), so there are no values to cut. Mark some rows."
        raise ValueError(msg)
    if bins == "counts":
        return _counts(x, rows)
    if bins == "uniform":
        return _uniform(x, rows, number)
    if bins == "auto" and _are_small_counts(sample_rows(x, rows, LOOK_ROWS, run=LOOK_RUN).data):
        edges = _geometric(number)
        offsets = np.arange(x.shape[1] + 1, dtype=np.int64) * edges.size
        return Bins(np.tile(edges, x.shape[1]), offsets, "geometric")
    return _quantile(sample_rows(x, rows, SAMPLE_ROWS), number)


def _check_options(bins: str, n_bins: int | None) -> int:
    """Refuse unknown methods and numbers of bins without meaning."""
    if bins not in METHODS:
        msg = f"bins={bins!r} is unknown. Choose one of {', '.join(map(repr, METHODS))}."
        raise ValueError(msg)
    if n_bins is None:
        return N_BINS
    if bins == "counts":
        msg = (
            f"n_bins={n_bins!r} has no meaning with bins='counts', which makes one bin per whole number. Leave it out."
        )
        raise ValueError(msg)
    if isinstance(n_bins, bool) or not isinstance(n_bins, int | np.integer) or not 2 <= n_bins <= 1024:
        msg = f"n_bins={n_bins!r} is not a whole number between 2 and 1024. The default is {N_BINS}."
        raise ValueError(msg)
    return int(n_bins)


def _counts(x: Any, rows: NDArray[np.bool_]) -> Bins:
    """Make one bin per whole number, 0 to the gene's largest."""
    _, highest, findings = extremes(x, rows)
    findings.require_finite()
    findings.require_whole()
    n_bins = highest.astype(np.int64) + 1
    total = int(n_bins.sum())
    if total > MAX_BINS:
        gene = int(np.argmax(n_bins))
        msg = (
            f"bins='counts' would need {total:,} bins (gene {gene} alone reaches {int(highest[gene]):,}); "
            f"the limit is {MAX_BINS:,}. Use bins='quantile' or bins='auto'."
        )
        raise ValueError(msg)
    offsets = np.concatenate([[0], np.cumsum(n_bins)]).astype(np.int64)
    edges = np.arange(total, dtype=np.float64) - np.repeat(offsets[:-1], n_bins)
    edges[offsets[:-1]] = -np.inf
    return Bins(edges, offsets, "counts")


def _uniform(x: Any, rows: NDArray[np.bool_], n_bins: int) -> Bins:
    """Make bins of equal width between the smallest and the largest value; a constant gene has one."""
    lowest, highest, findings = extremes(x, rows)
    findings.require_finite()
    steps = np.arange(n_bins) / n_bins
    edges = lowest[:, None] * (1 - steps) + highest[:, None] * steps
    kept = np.concatenate([np.ones((len(lowest), 1), bool), np.diff(edges, axis=1) > 0], axis=1)
    edges[:, 0] = -np.inf
    offsets = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int64)
    return Bins(edges[kept], offsets, "uniform")


def _geometric(n_bins: int) -> NDArray[np.float64]:
    """Return 0, 1, 2, 3, … and then whole numbers that grow by a third each."""
    edges = [0, 1]
    while len(edges) < n_bins and edges[-1] < LARGEST_EDGE:
        edges.append(max(edges[-1] + 1, (8 * edges[-1] + 3) // 6))
    return np.array([-np.inf, *edges[1:n_bins]])


def _are_small_counts(values: NDArray[Any]) -> bool:
    """Whether the values (zeros left out) are counts, and mostly so small that one grid of edges suits all genes."""
    if values.size and (values.min() < 0 or not np.array_equal(values, np.floor(values))):
        return False
    return bool(2 * np.count_nonzero(values <= COUNTS_TYPICAL) >= values.size)


def _quantile(sample: sparse.csc_matrix, n_bins: int) -> Bins:
    """Cut each gene at the quantiles of its non-zero values."""
    n_rows = sample.shape[0]

    def cut(first: int, stop: int) -> list[NDArray[np.float64]]:
        borders = sample.indptr[first : stop + 1].tolist()
        return [_gene_cuts(sample.data[start:end], n_rows - (end - start), n_bins) for start, end in pairwise(borders)]

    edges = [gene for part in _threads.over_ranges(cut, sample.shape[1]) for gene in part]
    offsets = np.concatenate([[0], np.cumsum([gene.size for gene in edges])]).astype(np.int64)
    return Bins(np.concatenate([np.zeros(0), *edges]), offsets, "quantile")


def _gene_cuts(values: NDArray[Any], n_zeros: int, n_bins: int) -> NDArray[np.float64]:
    """Return the lower edges of one gene's bins from its non-zero values and the number of zeros."""
    values = np.sort(values)
    n_quantiles = n_bins
    if n_zeros and values.size:
        n_quantiles -= 2 if values[0] < 0 < values[-1] else 1
    cuts = values[np.arange(1, n_quantiles) * values.size // max(1, n_quantiles)] if values.size else values
    cuts = cuts.astype(np.float64)
    if n_zeros:
        cuts = np.concatenate([cuts[cuts < 0], _zero_cuts(values), cuts[cuts > _least_positive(values)]])
    cuts = cuts[cuts > values[0]] if values.size and not n_zeros else cuts
    cuts = cuts[cuts > values[0]] if values.size and values[0] < 0 else cuts
    return np.concatenate([[-np.inf], cuts[np.concatenate([[True], cuts[1:] != cuts[:-1]])] if cuts.size else cuts])


def _zero_cuts(values: NDArray[Any]) -> list[float]:
    """Return the cuts that make zero a bin of its own."""
    if values.size == 0:
        return []
    return [0.0] * bool(values[0] < 0) + [SMALLEST] * bool(values[-1] > 0)


def _least_positive(values: NDArray[Any]) -> float:
    """Return the smallest value above zero of a sorted array: a cut there would leave an empty bin below it."""
    place = np.searchsorted(values, 0, side="right")
    return float(values[place]) if place < values.size else np.inf


def _cut_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which values of `dtype` are compared with cuts."""
    return np.dtype(np.float32 if dtype == np.float32 else np.float64)


def _not_below(cuts: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round cuts up to `dtype`, which changes no comparison with a value of that type."""
    rounded = cuts.astype(dtype)
    return np.where(rounded < cuts, np.nextafter(rounded, np.array(np.inf, dtype)), rounded)
