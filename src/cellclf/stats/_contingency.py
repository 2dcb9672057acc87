"""The table of bins and classes from which all gene scores come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import blocks, check_shape
from cellclf.stats._distributed import over
from cellclf.stats._pieces import is_at_hand
from cellclf.stats._tally import table_type, tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins
    from cellclf.stats._findings import Findings

MAX_CELLS = 2**28  # of the table: one GiB


@dataclass(frozen=True, eq=False)
class ContingencyTable:
    """How many rows of each class fall into each bin of each gene; tables of the same bins add.

    Parameters
    ----------
    counts
        (n_classes × n_bins of all genes), int32, or int64 for more than two thousand million rows.
    offsets
        Where the bins of each gene begin, int64 (n_genes + 1).
    """

    counts: NDArray[Any]
    offsets: NDArray[np.int64]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.offsets.size - 1

    @property
    def n_classes(self) -> int:
        """Number of classes, with or without rows."""
        return self.counts.shape[0]

    @cached_property
    def class_sizes(self) -> NDArray[np.int64]:
        """Number of rows of each class."""
        stop = self.offsets[1] if self.n_genes else 0
        return self.counts[:, :stop].sum(axis=1, dtype=np.int64)

    @cached_property
    def bin_sizes(self) -> NDArray[np.int64]:
        """Number of rows in each bin of each gene."""
        out = np.zeros(self.counts.shape[1], np.int64)

        def add(first: int, stop: int) -> None:
            self.counts[:, first:stop].sum(axis=0, dtype=np.int64, out=out[first:stop])

        _threads.over_ranges(add, out.size)
        return out

    @property
    def total(self) -> int:
        """Number of rows counted."""
        return int(self.class_sizes.sum())

    def of_gene(self, gene: int) -> NDArray[Any]:
        """Return the table of one gene (bins × classes)."""
        return self.counts[:, self.offsets[gene] : self.offsets[gene + 1]].T

    def __add__(self, other: ContingencyTable) -> ContingencyTable:
        if self.counts.shape != other.counts.shape or not np.array_equal(self.offsets, other.offsets):
            msg = "The tables have different genes, bins or classes, so they cannot be added. Count both with the same bins."
            raise ValueError(msg)
        counts = table_type(self.total + other.total)
        return ContingencyTable(np.add(self.counts, other.counts, dtype=counts), self.offsets)


def contingency(
    x: Any, codes: NDArray[np.integer[Any]], *, bins: Bins, n_classes: int, device: str | None = None
) -> ContingencyTable:
    """Count, for every gene, the rows of each class in each bin.

    Zeros of a sparse matrix are counted by subtraction; values are checked in the same pass. Blocks of backed and dask
    arrays stream through, one being read while another is counted: the memory used is that of the table and two blocks.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed or dask; never changed.
    codes
        Class of each row (n_obs), -1 for rows that are not counted, whose values have no influence at all.
    bins
        Where the values are cut.
    n_classes
        Number of classes.
    device
        Device of torch that counts, e.g. ``"cuda"``. `None`: the processor, by compiled loops.

    Returns
    -------
    The table; the same integers for every way of storing the same values and any number of threads.

    Raises
    ------
    ValueError
        Values that are not finite or, where `bins` asks for counts, not whole; codes beyond `n_classes`; a table too
        large.

    Examples
    --------
    >>> x, codes = np.array([[0.0], [1.0], [1.0]]), np.array([0, 1, 1])
    >>> bins = bin_edges(x, codes >= 0, bins="counts")
    >>> contingency(x, codes, bins=bins, n_classes=2).of_gene(0)
    array([[1, 0],
           [0, 2]], dtype=int32)
    """
    codes = _check_codes(x, codes, bins, n_classes)
    class_sizes = np.bincount(codes[codes >= 0], minlength=n_classes)
    added = partial(_added, table_type(codes.size))
    counts, findings = over(x, _tally, codes, bins, n_classes, device, combine=added)
    findings.require_finite()
    if bins.kind == "counts":
        findings.require_whole()
    return with_zeros(counts, class_sizes, bins)


def with_zeros(counts: NDArray[Any], class_sizes: NDArray[np.int64], bins: Bins) -> ContingencyTable:
    """Make a table of the stored values a whole one: what was not stored is zero."""
    _threads.over_ranges(
        lambda first, stop: _kernels.fill_zeros(counts, class_sizes, bins.offsets, bins.zero_bins, first, stop),
        bins.n_genes,
    )
    return ContingencyTable(counts, bins.offsets)


def _tally(
    x: Any, codes: NDArray[np.int32], bins: Bins, n_classes: int, device: str | None
) -> tuple[NDArray[Any], Findings]:
    """Count the stored values, here or on a device."""
    if device is None:
        return tally(blocks(x), codes, bins, n_classes, many=not is_at_hand(x))
    from cellclf.stats import _device

    return _device.tally(blocks(x), codes, bins, n_classes, device)


def _added(
    dtype: type[np.signedinteger[Any]], upper: tuple[NDArray[Any], Findings], lower: tuple[NDArray[Any], Findings]
) -> tuple[NDArray[Any], Findings]:
    """Add what two pieces gave."""
    return np.add(upper[0], lower[0], dtype=dtype), upper[1] | lower[1]


def _check_codes(x: Any, codes: NDArray[Any], bins: Bins, n_classes: int) -> NDArray[np.int32]:
    """Refuse what does not fit together before anything is counted."""
    checked = checked_codes(x, codes, n_classes)
    if x.shape[1] != bins.n_genes:
        msg = f"bins are for {bins.n_genes} genes, but the matrix has {x.shape[1]}. Learn them on this matrix."
        raise ValueError(msg)
    if (n_cells := n_classes * bins.edges.size) > MAX_CELLS:
        msg = (
            f"{bins.edges.size:,} bins and {n_classes:,} classes make a table of {n_cells:,} cells; the limit is "
            f"{MAX_CELLS:,}. Use bins='quantile' (with a smaller n_bins), or fewer classes or genes."
        )
        raise ValueError(msg)
    return checked


def checked_codes(x: Any, codes: NDArray[Any], n_classes: int) -> NDArray[np.int32]:
    """Refuse codes that do not belong to the rows of the matrix, or reach beyond the classes."""
    codes = np.asarray(codes)
    check_shape(x, codes.size, "codes")
    if codes.dtype.kind not in "iu":
        msg = f"codes holds {codes.dtype}, but classes are whole numbers from 0. Use e.g. `pandas.factorize`."
        raise ValueError(msg)
    if codes.size and not -1 <= codes.min() <= codes.max() < n_classes:
        msg = f"codes reach from {codes.min()} to {codes.max()}, but must lie between -1 and {n_classes - 1}."
        raise ValueError(msg)
    return codes.astype(np.int32)
