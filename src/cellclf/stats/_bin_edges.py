"""Where each gene's values are cut into bins."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellclf.stats import _threads
from cellclf.stats._bins import Bins
from cellclf.stats._blocks import check_shape
from cellclf.stats._extremes import extremes
from cellclf.stats._sample import sample_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

N_BINS = 16
MAX_BINS = 2**24  # over all genes
SAMPLE_ROWS = 8192  # rows from which quantiles are learnt
LOOK_ROWS, LOOK_RUN = 512, 128  # rows by which counts are recognised, in few runs: little of a file is read for them
LARGEST_EDGE = 2**16  # of the bins that all genes share: their table of bins stays small
COUNTS_TYPICAL = 16  # counts whose median above zero is larger are cut at quantiles: no one grid suits all genes
SMALLEST = float(np.finfo(np.float32).tiny)  # what is above zero begins here
METHODS = ("auto", "counts", "quantile", "uniform")


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
    if bins == "auto" and are_small_counts(sample_rows(x, rows, LOOK_ROWS, run=LOOK_RUN).data):
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


def are_small_counts(values: NDArray[Any]) -> bool:
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
