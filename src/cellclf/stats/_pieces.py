"""A matrix that need not be in memory, cut into pieces that can be read one after another, or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from tqdm.auto import tqdm

from cellclf._types import DaskArray
from cellclf.stats import _kernels
from cellclf.stats._read_ahead import read_ahead
from cellclf.stats._stored import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FEW = 8  # where more than 1 / FEW of the rows are read, a dataset counts as read as a whole
BLOCK_BYTES = 32 * 2**20  # read at a time: of twenty classes, enough rows of each to count them one class after another
SPARSE_SHARE = 0.125  # of the size of an array, taken for that of a sparse chunk, which nobody knows before it is read
REFUSED = "Give a NumPy array, a SciPy CSR or CSC matrix, a backed dataset of these or a dask array of these."


class Part(NamedTuple):
    """A matrix and where its first row and column lie in the whole."""

    row: int
    column: int
    values: Any


@dataclass(frozen=True, eq=False)
class Parts:
    """Neighbouring parts of a matrix in memory, a matrix of its own with rows counted from its first."""

    parts: list[Part]
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some rows of a dataset on disk, or, of one that lies by columns, some columns."""

    source: Any
    first: int
    stop: int

    def read(self, reader: Reader | None = None) -> Any:
        """Read them into memory, by a reader of the same dataset if there is one."""
        return (reader or Reader(self.source)).read(self.first, self.stop)


@dataclass(frozen=True, eq=False)
class Piece:
    """Parts that are read together: stretches of a file, or chunks that dask has not computed (`Delayed`)."""

    parts: list[Part]
    rows: slice

    def read(self, reader: Reader | None = None) -> list[Part]:
        """Bring the parts into memory; stretches of a file by its reader, if there is one."""
        if all(isinstance(part.values, Stretch) for part in self.parts):
            return [part._replace(values=part.values.read(reader)) for part in self.parts]
        values = computed([part.values for part in self.parts])
        return [part._replace(values=value) for part, value in zip(self.parts, values, strict=True)]


def is_at_hand(x: Any) -> bool:
    """Whether a matrix lies in memory, where a second look costs little."""
    return sparse.issparse(x) or isinstance(x, np.ndarray)


def is_stored(x: Any) -> bool:
    """Whether a matrix is a dataset on disk, to be read by slices."""
    outside = not is_at_hand(x) and not isinstance(x, DaskArray | Parts)
    return outside and all(hasattr(x, name) for name in ("shape", "dtype", "__getitem__"))


def lies_by_columns(x: Any) -> bool:
    """Whether a dataset on disk is read in whole columns."""
    return is_stored(x) and getattr(x, "format", None) == "csc"


def stream(x: Any, wanted: NDArray[np.int64] | None = None) -> Iterator[Part]:
    """Read a dask array or a dataset on disk piece by piece, the next one in the background while one is in use."""
    waiting = list(pieces(x, wanted))
    n_rows = sum(piece.rows.stop - piece.rows.start for piece in waiting)
    reader = Reader(x, whole=FEW * n_rows > x.shape[0]) if is_stored(x) else None
    with tqdm(total=len(waiting), desc="reading", unit="piece", leave=False, delay=1) as bar:
        for parts in read_ahead(partial(piece.read, reader) for piece in waiting):
            yield from parts
            bar.update()


def pieces(x: Any, wanted: NDArray[np.int64] | None = None, n_bytes: int | None = None) -> Iterator[Piece]:
    """Cut a dask array or a dataset on disk: rows downwards, and within the same rows columns to the right.

    Where only some rows are `wanted` (numbers, in order), pieces reach from the first to the last of them, and there are
    none without.
    """
    n_bytes = BLOCK_BYTES if n_bytes is None else n_bytes
    if isinstance(x, DaskArray):
        yield from _grouped(_chunks(x, wanted), n_bytes)
    elif is_stored(x):
        yield from (_stored_columns(x, n_bytes) if lies_by_columns(x) else _stored_rows(x, wanted, n_bytes))
    else:
        msg = f"The matrix is a {type(x).__name__}, which cannot be read here. {REFUSED}"
        raise TypeError(msg)


def _stored_columns(x: Any, n_bytes: int) -> Iterator[Piece]:
    """Cut a dataset into whole columns."""
    n_rows, n_columns = x.shape
    step = _step(x, n_columns, n_rows, 1, n_bytes)
    for first in range(0, n_columns, step):
        stretch = Stretch(x, first, min(first + step, n_columns))
        yield Piece([Part(0, first, stretch)], slice(0, n_rows))


def _stored_rows(x: Any, wanted: NDArray[np.int64] | None, n_bytes: int) -> Iterator[Piece]:
    """Cut a dataset into whole rows."""
    n_rows, n_columns = x.shape
    chunk = (getattr(x, "chunks", None) or (1,))[0]
    step = _step(x, n_rows, n_columns, chunk, n_bytes)
    for start in range(0, n_rows, step):
        first, stop = _needed(wanted, start, min(start + step, n_rows))
        if first < stop:
            yield Piece([Part(first, 0, Stretch(x, first, stop))], slice(first, stop))


def _step(x: Any, n_major: int, n_minor: int, chunk: int, n_bytes: int) -> int:
    """Choose how many rows (or columns) to read at a time: about `n_bytes`, in whole chunks of the file."""
    group = getattr(x, "group", None)
    stored = group["data"].shape[0] if group is not None else n_major * n_minor
    lines = int(n_major * n_bytes / max(1, 8 * stored))
    return max(1, chunk, lines // chunk * chunk)


def _needed(wanted: NDArray[np.int64] | None, start: int, stop: int) -> tuple[int, int]:
    """Narrow a range of rows to what is wanted of it."""
    if wanted is None:
        return start, stop
    inside = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, stop)]
    return (int(inside[0]), int(inside[-1]) + 1) if inside.size else (start, start)


def _chunks(x: Any, wanted: NDArray[np.int64] | None) -> Iterator[tuple[Part, int, float]]:
    """List the chunks of a dask array that are needed, with their heights and about how many bytes each takes."""
    share = SPARSE_SHARE if sparse.issparse(x._meta) else 1.0
    delayed = x.to_delayed()
    row = 0
    for i, height in enumerate(x.chunks[0]):
        first, stop = _needed(wanted, row, row + height)
        column = 0
        for j, width in enumerate(x.chunks[1]):
            whole = delayed[i, j]
            values = whole if stop - first == height else whole[first - row : stop - row]
            if first < stop:
                yield Part(first, column, values), stop - first, (stop - first) * width * x.dtype.itemsize * share
            column += width
        row += height


def _grouped(chunks: Iterator[tuple[Part, int, float]], n_bytes: int) -> Iterator[Piece]:
    """Join successive chunks as long as they are small."""
    parts: list[Part] = []
    size, start, stop = 0.0, 0, 0
    for part, height, bytes_ in chunks:
        if parts and size + bytes_ > n_bytes:
            yield Piece(parts, slice(start, stop))
            parts, size = [], 0.0
        start = start if parts else part.row
        parts, size, stop = [*parts, part], size + bytes_, part.row + height
    if parts:
        yield Piece(parts, slice(start, stop))


def computed(values: list[Any]) -> tuple[Any, ...]:
    """Compute chunks as the user configured dask, or else in as many threads as count; one alone in this very thread."""
    import dask
    from dask.base import get_scheduler

    if get_scheduler():
        return dask.compute(*values)
    n_threads = min(_kernels.n_threads(), len(values))
    return dask.compute(*values, scheduler="threads" if n_threads > 1 else "synchronous", num_workers=n_threads)
