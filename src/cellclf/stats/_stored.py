"""A dataset on disk, read by stretches into memory that is used again."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from cellclf.stats import _threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class _Loan:
    """A piece of memory that returns to where it was taken from once no array lies on it."""

    def __init__(self, memory: NDArray[np.uint8], home: list[NDArray[np.uint8]]) -> None:
        self.memory, self.home = memory, home
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self.home.append(self.memory)


class Buffers:
    """Memory for arrays that follow one another: new pages for each would cost more time than reading does."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array on memory that nothing else uses, its values undefined."""
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        memory = self._free.pop() if self._free else np.empty(0, np.uint8)
        if memory.size < n_bytes:
            memory = np.empty(n_bytes + n_bytes // 4, np.uint8)
        return np.asarray(_Loan(memory, self._free))[:n_bytes].view(dtype).reshape(shape)


class Reader:
    """Reads stretches of a dataset: rows, or columns of one that lies by columns.

    Parameters
    ----------
    source
        An array of HDF5 or zarr, or a sparse dataset of anndata.
    whole
        Whether most of it will be read, one stretch after another; memory is then used again, the bytes of HDF5 that is
        neither compressed nor converted are read as they lie in the file.
    """

    def __init__(self, source: Any, *, whole: bool = False) -> None:
        self.source, self.kind = source, getattr(source, "format", None)
        arrays = [source.group[name] for name in ("data", "indices")] if self._is_sparse else [source]
        self.arrays = [_Array(array, Buffers() if whole else None) for array in arrays]
        self.indptr = source.group["indptr"] if self._is_sparse else None

    @property
    def _is_sparse(self) -> bool:
        """Whether the dataset is a sparse matrix."""
        return self.kind in ("csr", "csc")

    def read(self, first: int, stop: int) -> Any:
        """Read rows (or columns) first..stop into memory, as an array or a SciPy matrix."""
        if self.indptr is None:
            return self._filled(first, stop)[0]
        n_rows, n_columns = self.source.shape
        indptr = self.indptr[first : stop + 1]
        data, indices = self._filled(int(indptr[0]), int(indptr[-1]))
        n = stop - first
        empty = sparse.csc_matrix((n_rows, n)) if self.kind == "csc" else sparse.csr_matrix((n, n_columns))
        return _unchecked(empty, data, indices, indptr - indptr[0])

    def _filled(self, start: int, stop: int) -> list[NDArray[Any]]:
        """Read the same slice of all arrays, chunks that must be undone in several threads."""
        begun = [array.begin(start, stop) for array in self.arrays]
        _threads.run([task for _, tasks in begun for task in tasks])
        return [values for values, _ in begun]


def _unchecked(
    empty: sparse.spmatrix, data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any]
) -> sparse.spmatrix:
    """Fill a matrix without the look at all indices that SciPy would take; the kernels check them as they count."""
    wide = max(indptr[-1] if indptr.size else 0, *empty.shape) > np.iinfo(np.int32).max
    empty.data, empty.indices = data, indices
    empty.indptr = indptr.astype(np.int64 if wide else indices.dtype, copy=False)
    return empty


class _Array:
    """One array on disk, read by slices of its first axis."""

    def __init__(self, array: Any, buffers: Buffers | None) -> None:
        self.array, self.buffers = array, buffers
        self.extents = None if buffers is None else _extents(array)
        self.files = _ChunkFiles.of(array)

    def begin(self, start: int, stop: int) -> tuple[NDArray[Any], list[Callable[[], None]]]:
        """Return the memory for a slice, used before where that can be, and what fills it, in any order or together."""
        direct = self.files is not None or (self.buffers is not None and hasattr(self.array, "read_direct"))
        if start == stop or not direct:
            return np.asarray(self.array[start:stop]), []
        shape = (stop - start, *self.array.shape[1:])
        out = self.buffers.empty(shape, self.array.dtype) if self.buffers else np.empty(shape, self.array.dtype)
        if self.files is not None:
            return out, self.files.fill(start, out)
        if self.extents is not None:
            values = out.reshape(-1).view(np.uint8)
            return out, [partial(_read_bytes, self.array, self.extents, start * self._line, values)]
        self.array.read_direct(out, np.s_[start:stop])  # the library lets one thread in at a time
        return out, []

    @property
    def _line(self) -> int:
        """Bytes of one entry of the first axis."""
        return int(np.prod(self.array.shape[1:], dtype=np.int64)) * self.array.dtype.itemsize


class _ChunkFiles:
    """An array of zarr, of one dimension, whose chunks are files that one codec makes numbers of.

    zarr itself takes twice the time, with what it does around each chunk, and undoes a chunk for each slice that touches it.
    """

    def __init__(self, array: Any) -> None:
        self.array, self.size, self.decode = array, array.chunks[0], array.metadata.compressor.decode
        self.folder = Path(array.store.root) / array.path
        self.last = (-1, np.empty(0, array.dtype))  # the chunk of which a part was read last

    @classmethod
    def of(cls, array: Any) -> _ChunkFiles | None:
        """Describe an array, if it is such a one."""
        metadata: Any = getattr(array, "metadata", None)
        if getattr(metadata, "zarr_format", None) != 2 or not hasattr(array.store, "root"):
            return None
        plain = array.ndim == 1 and array.dtype.kind in "iuf" and array.dtype.isnative
        return cls(array) if plain and metadata.compressor is not None and not metadata.filters else None

    def fill(self, start: int, out: NDArray[Any]) -> list[Callable[[], None]]:
        """Return what fills `out` with the values from `start` on, chunk by chunk."""
        tasks: list[Callable[[], None]] = []
        for number in range(start // self.size, -(-(start + out.size) // self.size)):
            first = number * self.size
            into = out[max(0, first - start) : first + self.size - start]
            if into.size == self.size:
                tasks.append(partial(self._undo, number, into))
            else:
                tasks.append(partial(self._copy, number, max(0, start - first), into, self.last))
        return tasks

    def _copy(self, number: int, skipped: int, into: NDArray[Any], last: tuple[int, NDArray[Any]]) -> None:
        """Copy a part of a chunk, and keep the chunk for whoever needs the rest of it."""
        values = last[1]
        if last[0] != number:
            values = np.empty(self.size, self.array.dtype)
            self._undo(number, values)
        into[:] = values[skipped : skipped + into.size]
        if skipped + into.size < self.size:
            self.last = (number, values)

    def _undo(self, number: int, out: NDArray[Any]) -> None:
        """Undo what was done to a chunk; one that only holds the fill value may have no file."""
        try:
            stored = (self.folder / self.array.metadata.encode_chunk_key((number,))).read_bytes()
        except FileNotFoundError:
            values = self.array[number * self.size : (number + 1) * self.size]
            out[: values.size] = values
        else:
            self.decode(stored, out.view(np.uint8))


def _extents(array: Any) -> NDArray[np.int64] | None:
    """Find where an array of HDF5 lies in its file as plain bytes: their number before each extent, and its place there.

    `None` where it does not: compressed, converted, of more dimensions than one and in chunks, not written in full, open for
    writing, in memory, or where this system or the array's library has no way to read it so.
    """
    file = getattr(array, "file", None)
    if not hasattr(os, "preadv") or file is None or getattr(array, "read_direct", None) is None:
        return None
    kind, dtype = array.id.get_type(), array.dtype
    plain = dtype.kind in "iuf" and kind.get_size() == dtype.itemsize and kind.get_precision() == 8 * dtype.itemsize
    if not plain or (file.mode, file.driver, file.userblock_size) != ("r", "sec2", 0):
        return None
    if (place := array.id.get_offset()) is not None:
        return np.array([[0, place]])
    if array.chunks is None or array.ndim > 1 or array.id.get_create_plist().get_nfilters():
        return None
    return _chunk_extents(array)


def _chunk_extents(array: Any) -> NDArray[np.int64] | None:
    """Find the chunks of an array of one dimension, joined where one follows the other; `None` if some are missing."""
    found: list[tuple[int, int]] = []
    array.id.chunk_iter(lambda chunk: found.append((chunk.chunk_offset[0], chunk.byte_offset)))
    places = np.array(sorted(found), np.int64).reshape(-1, 2) * [array.dtype.itemsize, 1]
    size = array.chunks[0] * array.dtype.itemsize
    if len(places) != -(-array.shape[0] // array.chunks[0]):
        return None
    begins = np.diff(places[:, 1], prepend=-1) != size
    begins[:1] = True
    return places[begins]


def _read_bytes(array: Any, extents: NDArray[np.int64], start: int, out: NDArray[np.uint8]) -> None:
    """Fill `out` with the bytes of an array from the number `start` on."""
    number = array.file.id.get_vfd_handle()
    last = int(np.searchsorted(extents[:, 0], start, side="right")) - 1
    done = 0
    for k in range(last, len(extents)):
        before, place = extents[k].tolist()
        end = int(extents[k + 1, 0]) - start if k + 1 < len(extents) else out.size
        end = min(end, out.size)
        while done < end:
            n = os.preadv(number, [out[done:end].data], place + start + done - before)
            if n == 0:
                msg = f"{array.file.filename} ends before its array {array.name!r} does. Write or copy the file again."
                raise OSError(msg)
            done += n
        if done == out.size:
            return
