"""The table of bins and classes from which all gene scores come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._blocks import Block, blocks, check_shape
from cellclf.stats._distributed import over
from cellclf.stats._findings import Findings
from cellclf.stats._pieces import is_at_hand

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins

MAX_CELLS = 2**28  # of the table: one GiB
LINE = np.int16  # a piece of up to 32767 rows of one class is counted in this type


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
    """Count the stored values of all blocks."""
    if device is not None:
        from cellclf.stats import _device

        return _device.tally(blocks(x), codes, bins, n_classes, device)
    counts = np.zeros((n_classes, bins.edges.size), table_type(codes.size))
    planes = np.zeros_like(counts) if bins.kind == "geometric" and not is_at_hand(x) else None
    findings = Findings()
    for block in blocks(x):
        in_planes = block.by_rows and block.n_columns == bins.n_genes
        if planes is not None and in_planes:
            findings |= count_block(block, codes[block.rows], bins, planes, in_planes=True)
        else:
            findings |= count_block(block, codes[block.rows], bins, counts)
    if planes is not None:
        lines = zip(planes, counts, strict=True)
        _threads.run([partial(_kernels.add_planes, line, bins.n_genes, out) for line, out in lines])
    return counts, findings


def count_block(
    block: Block, codes: NDArray[np.int32], bins: Bins, counts: NDArray[Any], *, in_planes: bool = False
) -> Findings:
    """Add a block's stored values to a table of all genes, which may lie bin after bin (`in_planes`)."""
    genes = block.columns
    columns, out = bins.columns(genes), counts[:, bins.offsets[genes.start] : bins.offsets[genes.stop]]
    found = _count(block, codes, columns, out, 1, in_planes)
    if found.disorder and block.has_duplicates():
        _count(block, codes, columns, out, -1, in_planes)
        found = _count(block.canonical(), codes, columns, out, 1, in_planes)
    return found.shifted(genes.start)


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


def table_type(n_rows: int) -> type[np.signedinteger[Any]]:
    """Return the type that can hold any count of so many rows."""
    return np.int32 if n_rows <= np.iinfo(np.int32).max else np.int64


def _count(
    block: Block, codes: NDArray[np.int32], bins: Bins, out: NDArray[Any], step: int, in_planes: bool
) -> Findings:
    """Add a block's stored values to the table (or, with step -1, take them away again)."""
    if block.by_rows:
        return _count_by_rows(block, codes, bins, out, step, in_planes)
    return _count_by_columns(block, codes, bins, out, step)


def _count_by_columns(block: Block, codes: NDArray[np.int32], bins: Bins, out: NDArray[Any], step: int) -> Findings:
    """Count gene after gene: each thread has its own genes."""
    search = (codes, step, *bins.search(block.data.dtype), bins.offsets, out)
    tasks = [lambda r=r: _kernels.count_columns(*block.arrays, *r, *search) for r in _threads.parts(block.line_sizes)]
    return Findings.of(_threads.run(tasks))


def _count_by_rows(
    block: Block, codes: NDArray[np.int32], bins: Bins, out: NDArray[Any], step: int, in_planes: bool
) -> Findings:
    """Count class after class, so that one class's line of the table stays in the cache.

    The rows, ordered by class, are cut into pieces of about equal size, each counted into a line of its own, narrow
    enough to halve the cache it takes; one thread at a time adds its line to the table, and integers add in any order.
    Lines of bins that all genes share lie bin after bin. If the table does too (`in_planes`), many blocks are to come,
    each too small to be worth lines of its own: one thread counts each class straight into the table.
    """
    search = (step, *bins.search(block.data.dtype), bins.offsets, bins.largest(block.data.dtype))
    narrow = np.int16 if codes.max(initial=0) <= np.iinfo(np.int16).max else np.int32  # sorts in linear time
    order = np.argsort(codes.astype(narrow), kind="stable")
    order = order[np.searchsorted(codes[order], 0) :]
    adding = Lock()

    def count(code: int, rows: NDArray[np.int64]) -> Any:
        if in_planes:
            return _kernels.count_rows(*block.arrays, rows, *search, out[code])
        line = np.zeros(out.shape[1], LINE)
        finding = _kernels.count_rows(*block.arrays, rows, *search, line)
        with adding:
            if bins.kind == "geometric":
                _kernels.add_planes(line, bins.n_genes, out[code])
            else:
                out[code] += line
        return finding

    pieces = _pieces(order, codes[order], block.line_sizes[order], whole_classes=in_planes)
    return Findings.of(_threads.run([partial(count, *piece) for piece in pieces]))


def _pieces(
    order: NDArray[np.int64], codes: NDArray[np.int32], costs: NDArray[np.int64], *, whole_classes: bool
) -> list[tuple[int, NDArray[np.int64]]]:
    """Cut rows ordered by class into pieces of one class each: all of it, or as much as a narrow line can count."""
    starts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), order.size]
    inner = set(starts)
    if not whole_classes:
        inner |= {first for first, _ in _threads.parts(costs)}
        for start, stop in pairwise(starts):
            inner |= set(range(start, stop, np.iinfo(LINE).max))
    return [(int(codes[a]), order[a:b]) for a, b in pairwise(sorted(inner))]
