"""MATLAB 7.3: HDF5, in which every array stands with its axes reversed."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from scipy import sparse

from cellclf.io import _assemble
from cellclf.io._mat._variable import Variable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_BLOCK = 2**22  # values


def is_hdf5(path: Path) -> bool:
    """Tell by the signature, which MATLAB puts behind a text of 512 bytes; a truncated file still has it."""
    with path.open("rb") as file:
        start = file.read(512 + len(_SIGNATURE))
    return start.startswith(_SIGNATURE) or start[512:] == _SIGNATURE


@contextmanager
def opened(path: Path) -> Iterator[dict[str, Variable]]:
    """Open a file and list its variables; what HDF5 cannot read is told as damage."""
    try:
        with h5py.File(path, "r") as file:
            yield {name: _variable(file, item) for name, item in file.items() if not name.startswith("#")}
    except (OSError, RuntimeError) as error:
        msg = f"{path} is a damaged or incomplete MATLAB 7.3 (HDF5) file ({error}). Get or write it again."
        raise ValueError(msg) from error


def _variable(file: h5py.File, item: Any) -> Variable:
    """Describe one entry of the file."""
    cells, vector = partial(_cells, file, item), partial(_vector, item)
    if isinstance(item, h5py.Group):
        if "MATLAB_sparse" in item.attrs:
            shape = (int(item.attrs["MATLAB_sparse"]), len(item["jc"]) - 1)
            load = partial(_load_sparse, item, shape)
            return Variable("matrix", shape, load, cells, partial(_sparse_vector, item, shape))
        return Variable(_class(item) or "struct", (len(item),), partial(_load, item), cells, vector)
    load_dense = partial(_load, item)
    if item.attrs.get("MATLAB_empty", 0):
        return _empty(item)
    shape = item.shape[::-1]
    if h5py.check_ref_dtype(item.dtype) is not None or h5py.check_string_dtype(item.dtype) is not None:
        return Variable("cell", shape, load_dense, cells, vector)
    kind = _class(item)
    numeric = item.dtype.kind in "biuf" and kind not in {"char", "cell", "struct"}
    return Variable("matrix" if numeric else kind or str(item.dtype), shape, load_dense, cells, vector)


def _empty(item: h5py.Dataset) -> Variable:
    """Describe an empty array, of which the file holds the shape."""
    shape = tuple(int(length) for length in item[()].ravel())
    kind = _class(item) if _class(item) in {"char", "cell", "struct"} else "matrix"
    return Variable(
        kind,
        shape,
        lambda transposed: np.zeros(shape[::-1] if transposed else shape, np.float32),
        list,
        lambda: np.zeros(0),
    )


def _class(item: Any) -> str:
    """Return the MATLAB class that is noted on an entry."""
    name = item.attrs.get("MATLAB_class", b"")
    return name.decode() if isinstance(name, bytes) else str(name)


def _load(item: h5py.Dataset, transposed: bool) -> NDArray[np.float32] | sparse.csr_matrix:
    """Load a dense matrix, whole chunks at a time; `transposed` is how it lies in the file."""
    rows = item.chunks[0] if item.chunks else 1
    step = rows * max(1, _BLOCK // (rows * max(item.shape[1], 1)))
    x = np.empty(item.shape, np.float32)
    with np.errstate(over="ignore"):
        for start in range(0, len(x), step):
            x[start : start + step] = item[start : start + step]
    return _assemble.settle(x if transposed else x.T)


def _load_sparse(item: h5py.Group, shape: tuple[int, int], transposed: bool) -> NDArray[np.float32] | sparse.csr_matrix:
    """Load a sparse matrix: columns compressed; one without values has neither `data` nor `ir`."""
    data = item["data"][()] if "data" in item else np.zeros(0)
    indices = item["ir"][()] if "ir" in item else np.zeros(0, np.int64)
    with np.errstate(over="ignore"):
        values = data.astype(np.float32)
    x = sparse.csc_matrix((values, indices.astype(np.int64), item["jc"][()].astype(np.int64)), shape=shape)
    return _assemble.compact(x.T if transposed else x)


def _sparse_vector(item: h5py.Group, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Load a few sparse numbers as one row."""
    x = sparse.csr_matrix(_load_sparse(item, shape, False))
    return x.toarray().ravel()


def _vector(item: Any) -> NDArray[Any]:
    """Load numbers as one row."""
    return np.asarray(item[()]).ravel()


def _cells(file: h5py.File, item: h5py.Dataset) -> list[str]:
    """Load strings: each is an array of UTF-16 that the cell array refers to."""
    if h5py.check_string_dtype(item.dtype) is not None:
        return [str(value) for value in np.ravel(item.asstr()[()])]
    return [_string(file[reference]) for reference in item[()].ravel()]


def _string(item: Any) -> str:
    """Decode one string."""
    if not isinstance(item, h5py.Dataset) or _class(item) not in {"char", ""}:
        msg = f"a cell holds a {_class(item) or 'group'} instead of text"
        raise TypeError(msg)
    if item.attrs.get("MATLAB_empty", 0):
        return ""
    return item[()].ravel().astype("<u2").tobytes().decode("utf-16-le")
