"""How alike genes are: all pairs, in bands of genes, into an array or the nearest of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse
from tqdm.auto import tqdm

from cellclf.stats import _kernels, _threads
from cellclf.stats._bin_edges import bin_edges
from cellclf.stats._gene_values import gene_values
from cellclf.stats._similarity_shared import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cellclf.stats._similarity_measures import Measure

METRICS = ("correlation", "jaccard", "jsd", "mi")
N_BINS = 4
MAX_BINS = 16  # pairs of bins are counted one by one
CORNER = 256  # genes at a time of which the values on both sides of the diagonal are added


def similarity(
    x: Any,
    rows: NDArray[np.bool_],
    genes: NDArray[np.integer[Any]],
    *,
    metric: Literal["correlation", "jaccard", "jsd", "mi"],
    n_neighbors: int | None = None,
    n_bins: int | None = None,
    device: str | None = None,
) -> NDArray[np.float32] | sparse.csr_matrix:
    """Compare all pairs of some genes.

    Parameters
    ----------
    x
        Matrix (n_obs × n_vars): NumPy, CSR, CSC, backed or dask; read once, never changed.
    rows
        Mask (n_obs) of the rows that count.
    genes
        Columns to compare.
    metric
        "correlation" (Pearson), "jaccard" (of the sets of rows with a value above zero), "jsd" (Jensen–Shannon divergence of
        the genes' distributions over the rows, nats) or "mi" (mutual information of the binned genes, nats).
    n_neighbors
        Keep this many most similar genes of each gene; `None` keeps all pairs.
    n_bins
        Largest number of bins of a gene, 2 to 16, 4 by default; only with "mi".
    device
        Torch device that computes, such as "cuda"; `None` for compiled kernels on the processor.

    Returns
    -------
    Float32 (n_genes × n_genes), symmetric to the bit: an array, NaN where undefined, or with `n_neighbors` a CSR matrix of
    the pairs of which one gene is among the nearest of the other, without the diagonal.

    Raises
    ------
    ValueError
        Unknown metric, numbers out of range, no row, values that are not finite or, with "jsd", negative.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 0.0], [2.0, 3.0, 1.0]])
    >>> similarity(x, np.ones(3, bool), np.arange(3), metric="correlation").round(2)
    array([[ 1. ,  1. , -0.5],
           [ 1. ,  1. , -0.5],
           [-0.5, -0.5,  1. ]], dtype=float32)
    """
    rows = np.asarray(rows, dtype=bool)
    columns: NDArray[np.int64] = np.asarray(genes, dtype=np.int64)
    check_options(metric, n_neighbors, n_bins, columns.size)
    if not rows.any():
        msg = "No row counts (rows is False everywhere), so genes cannot be compared. Mark some rows."
        raise ValueError(msg)
    values = gene_values(x, rows, columns)
    seen = np.ones(values.n_cells, bool)
    bins = bin_edges(values.matrix, seen, n_bins=n_bins or N_BINS) if metric == "mi" else None
    make = measure if device is None else _on_device(device)
    compare = make(values, metric, columns, bins)
    del values  # what is compared may be another form of them
    if n_neighbors is None:
        return _all_pairs(compare, columns.size, metric)
    return _nearest(compare, columns.size, n_neighbors, metric)


def check_options(metric: str, n_neighbors: int | None, n_bins: int | None, n_genes: int) -> None:
    """Refuse what has no meaning."""
    if metric not in METRICS:
        msg = f"metric={metric!r} is unknown. Choose one of {', '.join(map(repr, METRICS))}."
        raise ValueError(msg)
    if n_genes < 2:
        msg = f"{n_genes} genes make no pair. Give two or more."
        raise ValueError(msg)
    if n_neighbors is not None and (_not_whole(n_neighbors) or not 1 <= n_neighbors < n_genes):
        msg = (
            f"n_neighbors={n_neighbors!r} is not a whole number between 1 and {n_genes - 1}, the number of other genes."
        )
        raise ValueError(msg)
    if n_bins is not None and metric != "mi":
        msg = f"n_bins={n_bins!r} has no meaning with metric={metric!r}, which needs no bins. Leave it out."
        raise ValueError(msg)
    if n_bins is not None and (_not_whole(n_bins) or not 2 <= n_bins <= MAX_BINS):
        msg = f"n_bins={n_bins!r} is not a whole number between 2 and {MAX_BINS}. The default is {N_BINS}."
        raise ValueError(msg)


def _not_whole(value: Any) -> bool:
    """Whether a value is no whole number."""
    return isinstance(value, bool) or not isinstance(value, int | np.integer)


def _on_device(device: str) -> Callable[..., Measure]:
    """Return what makes a measure on a torch device; torch is loaded here."""
    from functools import partial

    from cellclf.stats._device_similarity import device_measure

    return partial(device_measure, device=device)


def _all_pairs(compare: Measure, n_genes: int, metric: str) -> NDArray[np.float32]:
    """Fill the whole square, half of it computed."""
    out = np.empty((n_genes, n_genes), np.float32)
    with _bar(compare, metric) as bar:
        for first in range(0, n_genes, compare.band):
            stop = min(first + compare.band, n_genes)
            band = out[first:stop, first:]
            compare.fill(first, stop, band)
            _mirror_square(band[:, : stop - first])
            _mirror(out, first, stop)
            bar.update(band.size)
    np.fill_diagonal(out, compare.itself())
    return out


def _mirror_square(square: NDArray[np.float32]) -> None:
    """Copy what lies above the diagonal of a square below it, some rows at a time."""
    for first in range(0, len(square), CORNER):
        stop = first + CORNER
        corner = np.triu(square[first:stop, first:stop], 1)
        square[first:stop, first:stop] = corner + corner.T
        square[stop:, first:stop] = square[first:stop, stop:].T


def _mirror(out: NDArray[np.float32], first: int, stop: int) -> None:
    """Copy a band, below its own square, from the rows of its genes into their columns."""

    def copy(start: int, end: int) -> None:
        out[stop + start : stop + end, first:stop] = out[first:stop, stop + start : stop + end].T

    _threads.over_ranges(copy, len(out) - stop)


def _nearest(compare: Measure, n_genes: int, k: int, metric: str) -> sparse.csr_matrix:
    """Keep the nearest of each gene while the pairs go by, equals in the order of the genes; then both directions of each."""
    sign = -1.0 if metric == "jsd" else 1.0
    values, genes = np.full((n_genes, k), -np.inf), np.full((n_genes, k), -1, np.int64)
    with _bar(compare, metric) as bar:
        for first in range(0, n_genes, compare.band):
            block = np.empty((min(compare.band, n_genes - first), n_genes - first), np.float32)
            compare.fill(first, first + len(block), block)
            _kernels.keep_nearest(block, sign, first, values, genes)
            bar.update(block.size)
    found = genes >= 0
    one, other, value = np.repeat(np.arange(n_genes), found.sum(axis=1)), genes[found], sign * values[found]
    pairs = np.concatenate([one * n_genes + other, other * n_genes + one])
    pairs, place = np.unique(pairs, return_index=True)
    value = np.concatenate([value, value])[place].astype(np.float32)
    indptr = np.searchsorted(pairs, np.arange(n_genes + 1) * n_genes)
    return sparse.csr_matrix((value, pairs % n_genes, indptr), shape=(n_genes, n_genes))


def _bar(compare: Measure, metric: str) -> tqdm[Any]:
    """Show how many pairs are done, where it takes more than a moment."""
    starts = np.arange(0, compare.n_genes, compare.band)
    total = (np.minimum(compare.band, compare.n_genes - starts) * (compare.n_genes - starts)).sum()
    return tqdm(total=int(total), desc=metric, unit="pair", unit_scale=True, leave=False, delay=1)
