"""A dataset on disk, read by stretches into memory that is used again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
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
        neither compressed nor converted are read as they lie in the file, and chunks of zarr are undone right here.
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
            return self.arrays[0].read(first, stop)
        n_rows, n_columns = self.source.shape
        indptr = self.indptr[first : stop + 1]
        data, indices = (array.read(int(indptr[0]), int(indptr[-1])) for array in self.arrays)
        n = stop - first
        empty = sparse.csc_matrix((n_rows, n)) if self.kind == "csc" else sparse.csr_matrix((n, n_columns))
        return _unchecked(empty, data, indices, indptr - indptr[0])


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
        self.files = None if buffers is None else _ChunkFiles.of(array)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read a slice, into memory that was used before where that can be."""
        direct = self.files is not None or hasattr(self.array, "read_direct")
        if self.buffers is None or start == stop or not direct:
            return np.asarray(self.array[start:stop])
        out = self.buffers.empty((stop - start, *self.array.shape[1:]), self.array.dtype)
        if self.files is not None:
            self.files.read(start, out)
        elif self.extents is not None:
            _read_bytes(self.array, self.extents, start * self._line, out.reshape(-1).view(np.uint8))
        else:
            self.array.read_direct(out, np.s_[start:stop])
        return out

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

    def read(self, start: int, out: NDArray[Any]) -> None:
        """Fill `out` with the values from `start` on."""
        stop = start + out.size
        for number in range(start // self.size, -(-stop // self.size)):
            first = number * self.size
            into = out[max(0, first - start) : first + self.size - start]
            if into.size == self.size:
                self._undo(number, into)
            else:
                skipped = max(0, start - first)
                into[:] = self._chunk(number)[skipped : skipped + into.size]

    def _chunk(self, number: int) -> NDArray[Any]:
        """Return a whole chunk, kept for whoever needs the rest of it."""
        if self.last[0] != number:
            values = np.empty(self.size, self.array.dtype)
            self._undo(number, values)
            self.last = (number, values)
        return self.last[1]

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
