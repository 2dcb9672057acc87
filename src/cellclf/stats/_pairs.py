"""What pairs of genes tell, from bitsets: cells are rows of bits, so a table of two genes is a few counts of bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats import _kernels, _threads
from cellclf.stats._bin_edges import bin_edges
from cellclf.stats._blocks import Block, blocks
from cellclf.stats._findings import Findings
from cellclf.stats._information import n_log_n_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._bins import Bins

N_BINS = 4
SAMPLE_ROWS = 32768  # 12 KiB of bits a gene


@dataclass(frozen=True, eq=False)
class PackedGenes:
    """Binned genes as bitsets over the rows, which are ordered by stratum and within it by class.

    Parameters
    ----------
    bits
        One bitset for each bin of a gene but the one that holds zero, uint64 (n_genes × 3 × n_words); every class of every
        stratum begins with a new word.
    n_planes
        How many of a gene's bitsets are in use, int64 (n_genes).
    borders
        The word at which each segment, a class within a stratum, begins; int64 (n_segments + 1).
    sizes
        Number of rows of each segment, int64 (n_segments).
    strata
        The segment at which each stratum begins, int64 (n_strata + 1).
    """

    bits: NDArray[np.uint64]
    n_planes: NDArray[np.int64]
    borders: NDArray[np.int64]
    sizes: NDArray[np.int64]
    strata: NDArray[np.int64]

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.bits.shape[0]

    @cached_property
    def n_log_n(self) -> NDArray[np.float64]:
        """Table of n log n for every number of rows that may occur."""
        return n_log_n_table(int(self.sizes.sum()))

    @cached_property
    def counts(self) -> NDArray[np.int32]:
        """Rows of each segment in each bitset (n_genes × n_segments × 3)."""
        counts = np.zeros((self.n_genes, self.sizes.size, self.bits.shape[1]), np.int32)
        _threads.over_ranges(
            lambda first, stop: _kernels.segment_counts(self.bits, self.borders, first, stop, counts), self.n_genes
        )
        return counts

    @cached_property
    def by_stratum(self) -> PackedGenes:
        """The same with the classes of a stratum as one segment."""
        sizes = np.add.reduceat(self.sizes, self.strata[:-1])
        whole = PackedGenes(
            self.bits, self.n_planes, self.borders[self.strata], sizes, np.arange(self.strata.size, dtype=np.int64)
        )
        vars(whole)["counts"] = np.add.reduceat(self.counts, self.strata[:-1], axis=1)
        return whole

    def relevance(self) -> NDArray[np.float64]:
        """Information of each gene about the class within strata, in nats."""
        return self._joint(-1, np.arange(self.n_genes))

    def add_joint(self, chosen: int, genes: NDArray[np.int64], out: NDArray[np.float64]) -> None:
        """Add what each of some genes and the chosen one tell together about the class, in nats, to the genes' sums."""
        out[genes] += self._joint(chosen, genes)

    def add_shared(self, chosen: int, genes: NDArray[np.int64], out: NDArray[np.float64]) -> None:
        """Add what each of some genes and the chosen one tell about one another, in nats, to the genes' sums."""
        whole, found = self.by_stratum, np.zeros(self.n_genes)
        arrays = (whole.bits, whole.counts, whole.n_planes, whole.borders, whole.sizes, whole.n_log_n)
        _threads.over_ranges(
            lambda first, stop: _kernels.shared_information(*arrays, chosen, genes, first, stop, found), genes.size
        )
        out[genes] += found[genes] / self.sizes.sum()

    def _joint(self, chosen: int, genes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each of some genes tells about the class, together with the chosen one if it is not negative."""
        n_log_n, found = self.n_log_n, np.zeros(self.n_genes)
        constant = n_log_n[self.by_stratum.sizes].sum() - n_log_n[self.sizes].sum()
        arrays = (self.bits, self.counts, self.n_planes, self.borders, self.sizes, self.strata, constant, n_log_n)
        _threads.over_ranges(
            lambda first, stop: _kernels.joint_information(*arrays, chosen, genes, first, stop, found), genes.size
        )
        return found[genes] / self.sizes.sum()


def pack(
    x: Any,
    codes: NDArray[np.integer[Any]],
    genes: NDArray[np.integer[Any]],
    *,
    strata: NDArray[np.integer[Any]] | None = None,
) -> PackedGenes:
    """Cut genes into at most four bins and pack them into bitsets.

    Zero, where it occurs, is a bin of its own; the other values are cut at their quantiles.

    Parameters
    ----------
    x
        Matrix (n_obs × n_vars): NumPy, CSR, CSC, backed or dask; streamed, never copied as a whole.
    codes
        Class of each row (n_obs), -1 for rows that may not be seen; of the others at most 32768, evenly spaced, are used.
    genes
        Numbers of the genes to pack.
    strata
        Stratum of each row (n_obs), such as its batch; `None`: all rows are one.

    Returns
    -------
    The genes in the order given.

    Raises
    ------
    ValueError
        No row may be seen; values that are not finite.
    """
    codes = np.asarray(codes)
    visible = np.flatnonzero(codes >= 0)
    if visible.size > SAMPLE_ROWS:
        visible = visible[np.arange(SAMPLE_ROWS) * visible.size // SAMPLE_ROWS]
    seen = np.zeros(codes.size, bool)
    seen[visible] = True
    bins = bin_edges(x, seen, bins="quantile", n_bins=N_BINS)
    layout = _Layout.of(codes, np.zeros_like(codes) if strata is None else np.asarray(strata), visible)
    wanted = np.full(x.shape[1], -1)
    wanted[genes] = np.arange(len(genes))
    bits = np.zeros((len(genes), N_BINS - 1, int(layout.borders[-1])), np.uint64)
    findings = Findings()
    for block in blocks(x, visible):
        findings |= _pack_block(block.in_order(), layout.places, wanted, bins, bits).shifted(block.columns.start)
    findings.require_finite()
    return PackedGenes(bits, bins.n_bins[genes] - 1, layout.borders, layout.sizes, layout.strata)


@dataclass(frozen=True)
class _Layout:
    """Where the bit of each row (-1: none) and each segment lie."""

    places: NDArray[np.int64]
    borders: NDArray[np.int64]
    sizes: NDArray[np.int64]
    strata: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[Any], strata: NDArray[Any], visible: NDArray[np.int64]) -> _Layout:
        """Order the visible rows by stratum and class, and begin each segment with a new word."""
        pairs = np.column_stack([strata[visible], codes[visible]])
        segments, of_row, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
        of_row = of_row.reshape(-1)
        borders = np.concatenate([[0], np.cumsum(-(-sizes // _kernels.WORD))]).astype(np.int64)
        order = np.argsort(of_row, kind="stable")
        within = np.arange(visible.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        places = np.full(codes.size, -1)
        places[visible[order]] = borders[of_row[order]] * _kernels.WORD + within
        starts = np.flatnonzero(np.concatenate([[True], segments[1:, 0] != segments[:-1, 0]]))
        return cls(places, borders, sizes.astype(np.int64), np.append(starts, len(segments)).astype(np.int64))


def _pack_block(
    block: Block, places: NDArray[np.int64], wanted: NDArray[np.int64], bins: Bins, bits: NDArray[np.uint64]
) -> Findings:
    """Set the bits of a block; no two threads write the same word."""
    bins = bins.columns(block.columns)
    _, _, cuts = bins.search(block.data.dtype)
    search = (wanted[block.columns], cuts[:, : N_BINS - 1], bins.zero_bins, bits)
    own = places[block.rows]
    if not block.by_rows:
        parts = _threads.parts(block.line_sizes)
        found = _threads.run([partial(_kernels.pack_columns, *block.arrays, *part, own, *search) for part in parts])
    else:
        rows = np.flatnonzero(own >= 0)
        rows = rows[np.argsort(own[rows], kind="stable")]
        words = np.concatenate([[-1], own[rows] // _kernels.WORD, [-1]])
        parts = _aligned(_threads.parts(block.line_sizes[rows]), words[1:] != words[:-1])
        found = _threads.run(
            [partial(_kernels.pack_rows, *block.arrays, rows[a:b], own[rows[a:b]], *search) for a, b in parts]
        )
    return Findings.of((*result, 0, block.n_columns, 0) for result in found)


def _aligned(parts: list[tuple[int, int]], begins: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Move the borders between parts to the next place at which a word begins."""
    if not parts:
        return []
    allowed = np.flatnonzero(begins)
    stops = np.unique(allowed[np.searchsorted(allowed, [stop for _, stop in parts])])
    return list(zip([0, *stops[:-1].tolist()], stops.tolist(), strict=True))
