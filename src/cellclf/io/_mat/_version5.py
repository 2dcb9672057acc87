"""MATLAB 5 to 7: read by SciPy."""

from __future__ import annotations

import struct
import zlib
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import io, sparse
from scipy.io.matlab import MatReadError

from cellclf.io import _assemble
from cellclf.io._mat._variable import Variable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_NUMBERS = {"double", "single", "logical", "sparse"} | {f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)}
# What SciPy raises on files that are cut off or are none of MATLAB's.
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    NotImplementedError,
    zlib.error,
    MatReadError,
)


@contextmanager
def opened(path: Path) -> Iterator[dict[str, Variable]]:
    """List the variables of a file."""
    try:
        _check_length(path)
        listed = io.whosmat(path)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    yield {
        name: Variable(
            "matrix" if kind in _NUMBERS else kind,
            tuple(shape),
            partial(_load, path, name),
            partial(_cells, path, name),
            partial(_vector, path, name),
        )
        for name, shape, kind in listed
    }


def _check_length(path: Path) -> None:
    """Refuse a file that ends within a variable: SciPy would leave that variable out without a word."""
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        if order is None:  # version 4 has no such header
            return
        end, size = 128, path.stat().st_size
        while end < size:
            file.seek(end)
            tag = file.read(8)
            end += 8 + (struct.unpack(f"{order}I", tag[4:])[0] if len(tag) == 8 else 0)
            if len(tag) < 8 or end > size:
                msg = f"it ends after {size} bytes, within a variable"
                raise EOFError(msg)


def _damaged(path: Path, error: Exception) -> ValueError:
    """Say that the file cannot be read."""
    return ValueError(
        f"{path} is no MATLAB file, or a damaged or incomplete one ({error}). Get it again, or save with `save -v7.3`."
    )


def _get(path: Path, name: str) -> Any:
    """Load one variable."""
    try:
        return io.loadmat(path, variable_names=[name])[name]
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _load(path: Path, name: str, transposed: bool) -> NDArray[np.float32] | sparse.csr_matrix:
    """Load a matrix."""
    x = _get(path, name)
    if x.dtype.kind == "c":
        msg = f"{path}: {name!r} holds complex numbers. Save its real part."
        raise ValueError(msg)
    with np.errstate(over="ignore"):
        return _assemble.compact(x.T if transposed else x)


def _vector(path: Path, name: str) -> NDArray[Any]:
    """Load numbers as one row."""
    x = _get(path, name)
    return np.ravel(x.toarray() if sparse.issparse(x) else x, order="F")


def _cells(path: Path, name: str) -> list[str]:
    """Load the strings of a cell array."""
    strings = []
    for cell in np.ravel(_get(path, name), order="F"):
        if cell.dtype.kind != "U" or cell.size > 1:
            msg = f"a cell holds {cell.dtype} of {cell.size} values instead of text"
            raise TypeError(msg)
        strings.append(str(cell.item()) if cell.size else "")
    return strings
