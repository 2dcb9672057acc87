"""Work on a matrix by the workers of a dask client: pieces are read where they are used, only results travel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy import sparse

from cellclf.stats._pieces import Part, Parts, Piece, Stretch, is_at_hand, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

T = TypeVar("T")

PIECE_BYTES = 256 * 2**20  # a worker turns this much into one result: results are large, and each must be added


@dataclass(frozen=True, eq=False)
class OnWorkers:
    """A matrix that is read and counted by the workers of a :class:`distributed.Client`."""

    matrix: Any
    client: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.matrix.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.matrix.dtype

    def over(
        self,
        function: Callable[..., T],
        by_row: NDArray[Any],
        *shared: Any,
        combine: Callable[[T, T], T],
        wanted: NDArray[np.int64] | None = None,
    ) -> T:
        """Call `function(piece, by_row of its rows, *shared)` on all pieces and combine the results two by two, as a tree."""
        import dask

        given = self.client.scatter([by_row, shared], broadcast=True, hash=False)
        call, join = dask.delayed(partial(_call, function), pure=False), dask.delayed(combine, pure=False)
        tree = [
            call(_portable(piece, self.client), piece.rows, self.shape[1], *given)
            for piece in _all_pieces(self.matrix, wanted)
        ]
        while len(tree) > 1:
            tree = [join(*tree[k : k + 2]) if k + 1 < len(tree) else tree[k] for k in range(0, len(tree), 2)]
        return self.client.compute(tree[0]).result()


def over(
    x: Any,
    function: Callable[..., T],
    by_row: NDArray[Any],
    *shared: Any,
    combine: Callable[[T, T], T],
    wanted: NDArray[np.int64] | None = None,
) -> T:
    """Call `function(x, by_row, *shared)` here, or, for a matrix on workers, there on all of its pieces."""
    if isinstance(x, OnWorkers):
        return x.over(function, by_row, *shared, combine=combine, wanted=wanted)
    return function(x, by_row, *shared)


def on_workers(x: Any, client: Any) -> Any:
    """Hand a matrix to the workers of a client; without a client, leave it as it is."""
    if client is None:
        return x
    if not all(hasattr(client, name) for name in ("scatter", "compute", "scheduler_info")):
        msg = f"client is a {type(client).__name__}. Give a `distributed.Client`, or None to work in this process."
        raise TypeError(msg)
    return OnWorkers(x, client)


def _all_pieces(x: Any, wanted: NDArray[np.int64] | None) -> list[Piece]:
    """Cut any matrix, one in memory too, into large pieces; at least one."""
    if is_at_hand(x):
        return list(_memory_pieces(x)) or [Piece([Part(0, 0, x)], slice(0, x.shape[0]))]
    return list(pieces(x, wanted, PIECE_BYTES))


def _memory_pieces(x: Any) -> Iterator[Piece]:
    """Cut a matrix in memory along the lines in which it lies."""
    n_rows, n_columns = x.shape
    by_columns = sparse.issparse(x) and x.format == "csc"
    n_lines = n_columns if by_columns else n_rows
    size = 2 * x.nnz if sparse.issparse(x) else x.size
    step = max(1, int(n_lines * PIECE_BYTES / max(1, size * x.dtype.itemsize)))
    for first in range(0, n_lines, step):
        if by_columns:
            yield Piece([Part(0, first, x[:, first : first + step])], slice(0, n_rows))
        else:
            stop = min(first + step, n_rows)
            yield Piece([Part(first, 0, x[first:stop])], slice(first, stop))


def _portable(piece: Piece, client: Any) -> list[tuple[int, int, Any]]:
    """Prepare the parts of a piece for the way: chunks as they are, files by name, matrices as data."""
    return [(part.row, part.column, _sent(part.values, client)) for part in piece.parts]


def _sent(values: Any, client: Any) -> Any:
    """Prepare the values of one part."""
    if isinstance(values, Stretch):
        return replace(values, source=_Stored.of(values.source))
    if is_at_hand(values):
        return client.scatter(values, hash=False)
    return values


def _call(
    function: Callable[..., T],
    parts: list[tuple[int, int, Any]],
    rows: slice,
    n_columns: int,
    by_row: NDArray[Any],
    shared: tuple[Any, ...],
) -> T:
    """Run on a worker: read what must be read and call the function on it."""
    here = [Part(row - rows.start, column, _arrived(values)) for row, column, values in parts]
    return function(Parts(here, (rows.stop - rows.start, n_columns)), by_row[rows], *shared)


def _arrived(values: Any) -> Any:
    """Read a stretch of a file; anything else has been read."""
    if not isinstance(values, Stretch):
        return values
    with values.source as source:
        return replace(values, source=source).read()


class _Stored:
    """A dataset on disk that any process can open: zarr's travel by themselves, those of HDF5 by the name of the file."""

    def __init__(self, source: Any, file: Any = None, name: str = "") -> None:
        self.source, self.name = source, name
        self.path = None if file is None else str(file.filename)
        self.opened: Any = None
        self.kind = None if file is None else type(file)

    @classmethod
    def of(cls, source: Any) -> _Stored:
        """Describe an open dataset."""
        group = getattr(source, "group", source)
        file = getattr(group, "file", None)
        if file is None:
            return cls(source)
        if file.mode != "r":
            msg = f"{file.filename} is open for writing, so workers cannot read it. Open it with backed='r'."
            raise ValueError(msg)
        return cls(None if group is source else type(source), file, str(group.name))

    def __enter__(self) -> Any:
        if self.kind is None:
            return self.source
        self.opened = self.kind(self.path, "r")
        group = self.opened[self.name]
        return group if self.source is None else self.source(group)

    def __exit__(self, *_: object) -> None:
        if self.opened is not None:
            self.opened.close()
            self.opened = None
