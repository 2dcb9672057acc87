"""Count a matrix that seems to hold counts, and look meanwhile whether it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats._bin_edges import LOOK_ROWS, LOOK_RUN, are_small_counts, bin_edges
from cellclf.stats._blocks import blocks
from cellclf.stats._contingency import MAX_CELLS, ContingencyTable, checked_codes, with_zeros
from cellclf.stats._sample import picked_rows, spaced_rows
from cellclf.stats._tally import tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from cellclf.stats._blocks import Block


def count_at_first_sight(
    x: Any, codes: NDArray[np.integer[Any]], n_classes: int, n_bins: int | None
) -> ContingencyTable | None:
    """Return what `bin_edges(bins="auto")` and `contingency` give for counts, without a look beforehand.

    The rows by which counts are recognised are looked at as they come along; the first of them, which tell most, lie in
    the first block. `None` where they show something else, or where something is wrong: those two say what.
    """
    codes = checked_codes(x, codes, n_classes)
    bins = bin_edges(np.zeros((1, x.shape[1])), np.ones(1, bool), n_bins=n_bins)  # of counts, whichever they are
    if not (codes >= 0).any() or n_classes * bins.edges.size > MAX_CELLS:
        return None
    look = _Look(spaced_rows(codes >= 0, LOOK_ROWS, run=LOOK_RUN))
    counts, findings = tally(look.over(blocks(x)), codes, bins, n_classes, many=True)
    if findings.not_finite or not look.shows_counts():
        return None
    return with_zeros(counts, np.bincount(codes[codes >= 0], minlength=n_classes), bins)


class _Look:
    """Keeps the values of some rows while blocks go by, and lets no more pass once the first show no counts."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self.values: list[NDArray[Any]] = []

    def over(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Let blocks pass."""
        for block in blocks:
            first, stop = np.searchsorted(self.rows, [block.rows.start, block.rows.stop])
            if first < stop:
                self.values.append(picked_rows(block, self.rows).data)
                if len(self.values) == 1 and not self.shows_counts():
                    return
            yield block

    def shows_counts(self) -> bool:
        """Whether what was seen are counts, most of them small."""
        return are_small_counts(np.concatenate([np.zeros(0), *self.values]))
