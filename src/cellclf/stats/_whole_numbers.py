"""One bin per whole number, counted in one pass: the table grows as larger numbers come along."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellclf.stats import _threads
from cellclf.stats._bin_edges import MAX_BINS, bin_edges
from cellclf.stats._bins import Bins
from cellclf.stats._blocks import blocks
from cellclf.stats._contingency import MAX_CELLS, ContingencyTable, checked_codes, contingency, with_zeros
from cellclf.stats._distributed import over
from cellclf.stats._extremes import Extremes
from cellclf.stats._tally import count_block, table_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._blocks import Block

MAX_ASIDE = 2**20  # values kept aside before the table grows
FAR = 2**40  # beyond any table: larger values are cut down to it
_Aside = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int32]"]  # gene, value and class of each


class Ragged(NamedTuple):
    """A table (n_classes × bins of all genes) and the number of bins of each gene."""

    counts: NDArray[Any]
    n_bins: NDArray[np.int64]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where the bins of each gene begin."""
        return np.concatenate([[0], np.cumsum(self.n_bins)]).astype(np.int64)

    @property
    def bins(self) -> Bins:
        """One bin for each whole number."""
        offsets = self.offsets
        edges = np.arange(offsets[-1], dtype=np.float64) - np.repeat(offsets[:-1], self.n_bins)
        edges[offsets[:-1]] = -np.inf
        return Bins(edges, offsets, "counts")

    def resized(self, n_bins: NDArray[np.int64]) -> Ragged:
        """Return the same table with other numbers of bins; bins that are left out hold nothing."""
        out = Ragged(np.zeros((self.counts.shape[0], int(n_bins.sum())), self.counts.dtype), n_bins)
        kept = np.minimum(self.n_bins, n_bins)
        within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
        old, new = (np.repeat(table.offsets[:-1], kept) + within for table in (self, out))
        for line, copied in zip(self.counts, out.counts, strict=True):
            copied[new] = line[old]
        return out

    def trimmed(self) -> Ragged:
        """Leave out the empty bins after each gene's last, but for its first."""
        starts = self.offsets[:-1]
        places = np.arange(self.counts.shape[1]) - np.repeat(starts, self.n_bins)
        return self.resized(np.maximum.reduceat(np.where(self.counts.any(axis=0), places, 0), starts) + 1)

    def moved(self, aside: _Aside) -> Ragged | None:
        """Take values out of the last bins of their genes, into which they were counted, and put them where they belong."""
        genes, values, codes = aside
        needed = np.zeros_like(self.n_bins)
        np.maximum.at(needed, genes, values + 1)
        n_bins = self.room(np.maximum(needed, self.n_bins), needed > 0)
        if n_bins is None:
            return None
        wider = self.resized(n_bins)
        starts = wider.offsets[genes]
        np.subtract.at(wider.counts, (codes, starts + self.n_bins[genes] - 1), 1)
        np.add.at(wider.counts, (codes, starts + values), 1)
        return wider

    def room(self, needed: NDArray[np.int64], growing: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """Return numbers of bins with some to spare for growing genes, or as needed, or `None` if that is too much."""
        for n_bins in (np.where(growing, needed + needed // 2 + 1, needed), needed):
            if (total := int(n_bins.sum())) <= MAX_BINS and total * self.counts.shape[0] <= MAX_CELLS:
                return n_bins
        return None

    def merge(self, other: Ragged) -> Ragged | None:
        """Add two tables."""
        n_bins = self.room(np.maximum(self.n_bins, other.n_bins), np.zeros(self.n_bins.size, bool))
        return None if n_bins is None else Ragged(self.resized(n_bins).counts + other.resized(n_bins).counts, n_bins)


def count_whole_numbers(x: Any, codes: NDArray[np.integer[Any]], n_classes: int) -> ContingencyTable:
    """Return what `bin_edges(bins="counts")` and `contingency` give, reading the matrix once instead of twice."""
    codes = checked_codes(x, codes, n_classes)
    table = over(x, _tally, codes, n_classes, table_type(codes.size), combine=_merged)
    if table is None:  # these two say what is wrong
        bins = bin_edges(x, codes >= 0, bins="counts")
        return contingency(x, codes, bins=bins, n_classes=n_classes)
    return with_zeros(table.counts, np.bincount(codes[codes >= 0], minlength=n_classes), table.bins)


def _merged(upper: Ragged | None, lower: Ragged | None) -> Ragged | None:
    """Add what two pieces gave."""
    return None if upper is None or lower is None else upper.merge(lower)


def _tally(x: Any, codes: NDArray[np.int32], n_classes: int, dtype: type[np.signedinteger[Any]]) -> Ragged | None:
    """Count the stored values of all blocks; `None` where they are no counts, or need too large a table."""
    n_genes = x.shape[1]
    table: Ragged | None = Ragged(np.zeros((n_classes, n_genes), dtype), np.ones(n_genes, np.int64))
    known = np.zeros(n_genes, bool)
    aside: list[_Aside] = []
    for block in blocks(x):
        own = codes[block.rows]
        if table is not None and not known[block.columns].all():
            table = _begun(table, block, own, known)
            known[block.columns] = True
        if table is None:
            return None
        findings = count_block(block, own, table.bins, table.counts)
        if findings.not_finite or findings.not_whole:
            return None
        if findings.disorder and block.has_duplicates():
            block = block.canonical()
        aside += _beyond(block, own, table.n_bins)
        if sum(values.size for _, values, _ in aside) > MAX_ASIDE:
            table, aside = table.moved(_together(aside)), []
    if table is not None and aside:
        table = table.moved(_together(aside))
    return None if table is None else table.trimmed()


def _together(aside: list[_Aside]) -> _Aside:
    """Join lists of values."""
    genes, values, codes = (np.concatenate(arrays) for arrays in zip(*aside, strict=True))
    return genes, values, codes


def _begun(table: Ragged, block: Block, codes: NDArray[np.int32], known: NDArray[np.bool_]) -> Ragged | None:
    """Make room for genes of which this is the first block."""
    found = Extremes.none(table.n_bins.size)
    found.add(block, codes >= 0)
    if found.findings.not_finite or found.findings.not_whole:
        return None
    new = ~known & (found.n_stored > 0)
    needed = np.where(new, np.clip(found.highest, 0, FAR).astype(np.int64) + 1, table.n_bins)
    n_bins = table.room(needed, new)
    return None if n_bins is None else table.resized(n_bins)


def _beyond(block: Block, codes: NDArray[np.int32], n_bins: NDArray[np.int64]) -> list[_Aside]:
    """List the values of counted rows that lie beyond their genes' last bins."""
    dtype = block.data.dtype
    top = np.iinfo(dtype).max if dtype.kind in "iu" else np.inf
    last = np.minimum(n_bins[block.columns] - 1, top).astype(dtype)
    parts = _threads.run([partial(_beyond_of, block, last, *r) for r in _threads.parts(block.line_sizes)])
    places = np.concatenate(parts) if parts else np.zeros(0, np.int64)
    lines = np.searchsorted(block.indptr, places, side="right") - 1
    minor = block.indices[places - block.indptr[lines] if block.shared else places].astype(np.int64)
    rows, genes = (lines, minor) if block.by_rows else (minor, lines)
    counted = codes[rows] >= 0
    if not counted.any():
        return []
    values = np.minimum(block.data[places[counted]], dtype.type(min(FAR, top))).astype(np.int64)
    return [(genes[counted] + block.columns.start, values, codes[rows[counted]])]


def _beyond_of(block: Block, last: NDArray[Any], first: int, stop: int) -> NDArray[np.int64]:
    """Return where, in some lines of a block, values lie beyond the last bins."""
    start, end = block.indptr[first], block.indptr[stop]
    values = block.data[start:end]
    if block.shared:
        lines = values.reshape(stop - first, block.line_length)
        beyond = (lines > (last if block.by_rows else last[first:stop, None])).ravel()
    elif block.by_rows:
        beyond = values > last[block.indices[start:end]]
    else:
        beyond = values > np.repeat(last[first:stop], block.line_sizes[first:stop])
    return np.flatnonzero(beyond) + start
