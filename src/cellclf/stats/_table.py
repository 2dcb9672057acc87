"""From a matrix to the table in as few passes as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse

from cellclf.stats._at_first_sight import count_at_first_sight
from cellclf.stats._bin_edges import LOOK_ROWS, LOOK_RUN, MAX_BINS, bin_edges
from cellclf.stats._bins import Bins
from cellclf.stats._contingency import MAX_CELLS, ContingencyTable, checked_codes, contingency
from cellclf.stats._distributed import OnWorkers
from cellclf.stats._findings import BadValueError
from cellclf.stats._pieces import is_at_hand, lies_by_columns, stream
from cellclf.stats._sample import sample_rows
from cellclf.stats._whole_numbers import count_whole_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MAX_CLASSES = 128  # counted together, those of all strata
Method = Literal["auto", "counts", "quantile", "uniform"]


def cut_and_count(
    x: Any,
    codes: NDArray[np.integer[Any]],
    *,
    n_classes: int,
    bins: Method = "auto",
    n_bins: int | None = None,
    device: str | None = None,
) -> ContingencyTable:
    """Cut the values of each gene into bins and count them: what :func:`bin_edges` and :func:`contingency` give together.

    Counts (``"counts"``, and ``"auto"`` where it finds counts) are read once, whole columns of a dataset on disk once
    with any bins, other data twice. Whether they are counts, ``"auto"`` judges by 512 rows: of a matrix in memory or on
    workers before it counts, of any other while it does.

    Parameters
    ----------
    x
        Matrix (n_obs × n_genes): NumPy, CSR, CSC, backed, dask or on workers; never changed.
    codes
        Class of each row (n_obs), -1 for rows that are not counted.
    n_classes
        Number of classes.
    bins, n_bins
        How values are cut, see :func:`bin_edges`.
    device
        Device of torch that counts. `None`: the processor.

    Returns
    -------
    The table.

    Raises
    ------
    ValueError
        As :func:`bin_edges` and :func:`contingency`.

    Examples
    --------
    >>> x, codes = np.array([[0.0], [1.0], [1.0]]), np.array([0, 1, 1])
    >>> cut_and_count(x, codes, n_classes=2, bins="counts").of_gene(0)
    array([[1, 0],
           [0, 2]], dtype=int32)
    """
    codes = np.asarray(codes)
    found = None
    if lies_by_columns(x):
        found = _by_columns(x, checked_codes(x, codes, n_classes), n_classes, bins, n_bins, device)
    elif device is None and not is_at_hand(x):
        if bins == "counts" and n_bins is None:
            found = count_whole_numbers(x, codes, n_classes)
        elif bins == "auto" and not isinstance(x, OnWorkers):
            found = count_at_first_sight(x, codes, n_classes, n_bins)
    if found is None:
        edges = bin_edges(x, codes >= 0, bins=bins, n_bins=n_bins)
        found = contingency(x, codes, bins=edges, n_classes=n_classes, device=device)
    return found


def cut_and_count_within(
    x: Any,
    codes: NDArray[np.integer[Any]],
    strata: NDArray[np.integer[Any]],
    *,
    n_classes: int,
    bins: Method = "auto",
    n_bins: int | None = None,
    device: str | None = None,
) -> Iterator[ContingencyTable]:
    """Give the table of each stratum (number from 0) that has counted rows, all with the same bins.

    As many strata are counted together as make a table of moderate size: all in one pass, as a rule.
    """
    codes = np.asarray(codes)
    present, numbers = np.unique(strata[codes >= 0], return_inverse=True)
    together = np.full(codes.size, -1, np.int64)
    together[codes >= 0] = numbers * n_classes + codes[codes >= 0]
    at_once = max(1, MAX_CLASSES // n_classes)
    if present.size <= at_once:
        try:
            n = present.size * n_classes
            table = cut_and_count(x, together, n_classes=n, bins=bins, n_bins=n_bins, device=device)
        except BadValueError:
            raise
        except ValueError:  # perhaps the table is only too large for all strata together
            table = None
        if table is not None:
            yield from _cut(table, n_classes)
            return
    edges = bin_edges(x, codes >= 0, bins=bins, n_bins=n_bins)
    at_once = max(1, min(at_once, MAX_CELLS // max(1, n_classes * edges.edges.size)))
    for first in range(0, present.size, at_once):
        n = min(at_once, present.size - first) * n_classes
        chosen = together - first * n_classes
        chosen = np.where((chosen >= 0) & (chosen < n), chosen, -1)
        yield from _cut(contingency(x, chosen, bins=edges, n_classes=n, device=device), n_classes)


def _cut(table: ContingencyTable, n_classes: int) -> Iterator[ContingencyTable]:
    """Cut a table of strata into one for each."""
    for first in range(0, table.n_classes, n_classes):
        yield ContingencyTable(table.counts[first : first + n_classes], table.offsets)


def _by_columns(
    x: Any, codes: NDArray[np.int32], n_classes: int, bins: Method, n_bins: int | None, device: str | None
) -> ContingencyTable | None:
    """Cut and count some whole columns at a time; `None` where something is wrong, to be found again and named."""
    rows, looks, tables = codes >= 0, [], []
    if not rows.any():
        return None
    for part in stream(x):
        if bins == "auto":
            looks.append(sample_rows(part.values, rows, LOOK_ROWS, run=LOOK_RUN))
            if not _may_be_counts(looks[-1].data):
                return _by_columns(x, codes, n_classes, "quantile", n_bins, device)
        try:
            edges = _edges(part.values, rows, bins, n_bins)
            tables.append(contingency(part.values, codes, bins=edges, n_classes=n_classes, device=device))
        except ValueError:
            return None
        if (n := sum(table.counts.shape[1] for table in tables)) > MAX_BINS or n * n_classes > MAX_CELLS:
            return None
    if looks and _looked(sparse.hstack(looks, format="csc"), n_bins).kind != "geometric":
        return _by_columns(x, codes, n_classes, "quantile", n_bins, device)
    widths = np.concatenate([np.diff(table.offsets) for table in tables])
    offsets = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    return ContingencyTable(np.concatenate([table.counts for table in tables], axis=1), offsets)


def _may_be_counts(values: NDArray[Any]) -> bool:
    """Whether no value shows that these are no counts."""
    return not values.size or bool(values.min() >= 0 and np.array_equal(values, np.floor(values)))


def _edges(x: Any, rows: NDArray[np.bool_], bins: Method, n_bins: int | None) -> Bins:
    """Cut some columns; with "auto" as if they were counts, which the looks at all columns will tell."""
    if bins == "auto":
        return _looked(np.zeros((1, x.shape[1])), n_bins)
    return bin_edges(x, rows, bins=bins, n_bins=n_bins)


def _looked(look: Any, n_bins: int | None) -> Bins:
    """Cut what was looked at: the bins of counts are the same whichever they are."""
    return bin_edges(look, np.ones(look.shape[0], bool), bins="auto", n_bins=n_bins)
