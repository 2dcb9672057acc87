"""Blocks of a matrix counted into a table of bins and classes."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._findings import Findings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins
    from cellclf.stats._blocks import Block

LINE = np.int16  # a piece of up to 32767 rows of one class is counted in this type


def table_type(n_rows: int) -> type[np.signedinteger[Any]]:
    """Return the type that can hold any count of so many rows."""
    return np.int32 if n_rows <= np.iinfo(np.int32).max else np.int64


def tally(
    blocks: Iterable[Block], codes: NDArray[np.int32], bins: Bins, n_classes: int, *, many: bool
) -> tuple[NDArray[Any], Findings]:
    """Count the stored values of all blocks (n_classes × bins of all genes), and report what has no bin.

    Say whether there may be `many` blocks, each a small part of the matrix.
    """
    counts = np.zeros((n_classes, bins.edges.size), table_type(codes.size))
    planes = _Planes(counts, bins) if bins.kind == "geometric" and many else None
    findings = Findings()
    for block in blocks:
        if planes is not None and planes.suit(block):
            own = codes[block.rows]
            findings |= count_block(block, own, bins, planes.room_for(own), in_planes=True)
        else:
            findings |= count_block(block, codes[block.rows], bins, counts)
    if planes is not None:
        planes.empty()
    return counts, findings


class _Planes:
    """A table that lies bin after bin, in a narrow type, and is added to the table itself before it can overflow."""

    def __init__(self, counts: NDArray[Any], bins: Bins) -> None:
        self.counts, self.n_genes = counts, bins.n_genes
        self.planes, self.n_rows = np.zeros(counts.shape, LINE), np.zeros(len(counts), np.int64)

    def suit(self, block: Block) -> bool:
        """Whether a block lies by rows of all genes, and has few enough of them."""
        return block.by_rows and block.n_columns == self.n_genes and block.n_rows <= np.iinfo(LINE).max

    def room_for(self, codes: NDArray[np.int32]) -> NDArray[np.int16]:
        """Return the table, into which rows of these classes may now be counted."""
        coming = np.bincount(codes[codes >= 0], minlength=self.n_rows.size)
        if (self.n_rows + coming).max(initial=0) > np.iinfo(LINE).max:
            self.empty()
            self.planes[:] = 0
        self.n_rows += coming
        return self.planes

    def empty(self) -> None:
        """Add all that was counted to the table."""
        lines = zip(self.planes, self.counts, strict=True)
        _threads.run([partial(_kernels.add_planes, line, self.n_genes, out) for line, out in lines])
        self.n_rows[:] = 0


def count_block(
    block: Block, codes: NDArray[np.int32], bins: Bins, counts: NDArray[Any], *, in_planes: bool = False
) -> Findings:
    """Add a block's stored values to a table of all genes, which may lie bin after bin (`in_planes`)."""
    genes = block.columns
    columns, out = bins.columns(genes), counts[:, bins.offsets[genes.start] : bins.offsets[genes.stop]]
    count = _count_in_planes if in_planes else _count_by_rows if block.by_rows else _count_by_columns
    found = count(block, codes, columns, out, 1)
    if found.disorder and block.has_duplicates():
        count(block, codes, columns, out, -1)
        found = count(block.canonical(), codes, columns, out, 1)
    return found.shifted(genes.start)


def _count_by_columns(block: Block, codes: NDArray[np.int32], bins: Bins, out: NDArray[Any], step: int) -> Findings:
    """Count gene after gene: each thread has its own genes."""
    search = (codes, step, *bins.search(block.data.dtype), bins.offsets, out)
    tasks = [lambda r=r: _kernels.count_columns(*block.arrays, *r, *search) for r in _threads.parts(block.line_sizes)]
    return Findings.of(_threads.run(tasks))


def _count_by_rows(block: Block, codes: NDArray[np.int32], bins: Bins, out: NDArray[Any], step: int) -> Findings:
    """Count class after class, so that one class's line of the table stays in the cache.

    The rows, ordered by class, are cut into pieces of about equal size, each counted into a line of its own, narrow
    enough to halve the cache it takes; one thread at a time adds its line to the table, and integers add in any order.
    Lines of bins that all genes share lie bin after bin.
    """
    search = _search(block, bins, step)
    adding = Lock()

    def count(code: int, rows: NDArray[np.int64]) -> Any:
        line = np.zeros(out.shape[1], LINE)
        finding = _kernels.count_rows(*block.arrays, rows, *search, line)
        with adding:
            if bins.kind == "geometric":
                _kernels.add_planes(line, bins.n_genes, out[code])
            else:
                out[code] += line
        return finding

    order, starts = _by_class(codes)
    inner = set(starts) | {first for first, _ in _threads.parts(block.line_sizes[order])}
    for start, stop in pairwise(starts):
        inner |= set(range(start, stop, np.iinfo(LINE).max))
    pieces = [(int(codes[order[a]]), order[a:b]) for a, b in pairwise(sorted(inner))]
    return Findings.of(_threads.run([partial(count, *piece) for piece in pieces]))


def _count_in_planes(block: Block, codes: NDArray[np.int32], bins: Bins, out: NDArray[Any], step: int) -> Findings:
    """Count straight into a table that lies bin after bin, each class by one thread.

    For many blocks, each too small to be worth lines of its own. One thread less than there may be: it reads the next
    block in the background, and should rarely be interrupted, so every call takes several classes.
    """
    search = _search(block, bins, step)
    order, starts = _by_class(codes)
    sizes = np.concatenate([[0], np.cumsum(block.line_sizes[order])])[starts]
    parts = _threads.parts(np.diff(sizes), max(1, _kernels.n_threads() - 1))
    rows = [order[starts[a] : starts[b]] for a, b in parts]
    return Findings.of(
        _threads.run([partial(_kernels.count_classes, *block.arrays, own, codes, *search, out) for own in rows])
    )


def _search(block: Block, bins: Bins, step: int) -> tuple[Any, ...]:
    """Return what the kernels take to find the bins of a block's values."""
    return step, *bins.search(block.data.dtype), bins.offsets, bins.largest(block.data.dtype)


def _by_class(codes: NDArray[np.int32]) -> tuple[NDArray[np.int64], list[int]]:
    """Order the rows that count by class; return them, where each class begins and, last, their number."""
    narrow = np.int16 if codes.max(initial=0) <= np.iinfo(np.int16).max else np.int32  # sorts in linear time
    order = np.argsort(codes.astype(narrow), kind="stable")
    order = order[np.searchsorted(codes[order], 0) :]
    if order.size == 0:
        return order, [0]
    return order, [0, *(np.flatnonzero(np.diff(codes[order])) + 1).tolist(), order.size]
