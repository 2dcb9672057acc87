"""The same values, stored in every way that counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse


def _unsorted(x: np.ndarray) -> sparse.csr_matrix:
    csr = sparse.csr_matrix(x)
    for start, stop in zip(csr.indptr[:-1], csr.indptr[1:], strict=True):
        csr.indices[start:stop] = csr.indices[start:stop][::-1].copy()
        csr.data[start:stop] = csr.data[start:stop][::-1].copy()
    csr.has_sorted_indices = False
    return csr


def _duplicated(x: np.ndarray) -> sparse.csr_matrix:
    """Every stored value as the sum of two halves, one of them at the end of the row."""
    csr = sparse.csr_matrix(x)
    data, indices, indptr = [], [], [0]
    for start, stop in zip(csr.indptr[:-1], csr.indptr[1:], strict=True):
        values = csr.data[start:stop]
        data += [values - values / 2, values / 2]
        indices += [csr.indices[start:stop]] * 2
        indptr.append(indptr[-1] + 2 * (stop - start))
    return sparse.csr_matrix((np.concatenate(data), np.concatenate(indices), indptr), shape=x.shape)


def _explicit_zeros(x: np.ndarray) -> sparse.csr_matrix:
    rows, columns = np.indices(x.shape).reshape(2, -1)
    keep = (rows + columns) % 3 == 0
    keep |= x.ravel() != 0
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[keep], minlength=len(x)))])
    return sparse.csr_matrix((x.ravel()[keep], columns[keep], indptr), shape=x.shape)


def _wide_indices(x: sparse.csr_matrix | sparse.csc_matrix) -> sparse.csr_matrix | sparse.csc_matrix:
    x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    return x


def _read_only(x: np.ndarray) -> np.ndarray:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def _read_only_sparse(x: np.ndarray) -> sparse.csr_matrix:
    csr = sparse.csr_matrix(x)
    for values in (csr.data, csr.indices, csr.indptr):
        values.flags.writeable = False
    return csr


def _strided(x: np.ndarray) -> np.ndarray:
    return np.repeat(x, 2, axis=1)[:, ::2]


STORAGES: dict[str, Callable[[np.ndarray], Any]] = {
    "fortran": np.asfortranarray,
    "read-only": _read_only,
    "strided": _strided,
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "csr_matrix": sparse.csr_matrix,
    "csr_array": sparse.csr_array,
    "csc_matrix": sparse.csc_matrix,
    "csc_array": sparse.csc_array,
    "csr-float64": lambda x: sparse.csr_matrix(x.astype(np.float64)),
    "csr-64-bit": lambda x: _wide_indices(sparse.csr_matrix(x)),
    "csc-64-bit": lambda x: _wide_indices(sparse.csc_matrix(x)),
    "csr-unsorted": _unsorted,
    "csc-unsorted": lambda x: _unsorted(x.T).T,
    "csr-duplicates": _duplicated,
    "csc-duplicates": lambda x: _duplicated(x.T).T,
    "csr-explicit-zeros": _explicit_zeros,
    "csc-explicit-zeros": lambda x: _explicit_zeros(x.T).T,
    "csr-read-only": _read_only_sparse,
}
COUNT_STORAGES: dict[str, Callable[[np.ndarray], Any]] = {
    "int64": lambda x: x.astype(np.int64),
    "uint8": lambda x: x.astype(np.uint8),
    "float16": lambda x: x.astype(np.float16),
    "csr-int32": lambda x: sparse.csr_matrix(x.astype(np.int32)),
    "csc-uint16": lambda x: sparse.csc_matrix(x.astype(np.uint16)),
}


@pytest.fixture(params=list(STORAGES))
def storage(request: pytest.FixtureRequest) -> Callable[[np.ndarray], Any]:
    """A way to store a float32 array."""
    return STORAGES[request.param]


@pytest.fixture(params=list(STORAGES | COUNT_STORAGES))
def count_storage(request: pytest.FixtureRequest) -> Callable[[np.ndarray], Any]:
    """A way to store an array of small counts."""
    return (STORAGES | COUNT_STORAGES)[request.param]


@pytest.fixture
def counts() -> np.ndarray:
    """Counts (120 × 12): sparse, common and constant genes."""
    rng = np.random.default_rng(0)
    x = rng.poisson(np.geomspace(0.05, 30, 12), size=(120, 12)).astype(np.float32)
    x[:, 3] = 0
    x[:, 7] = 5
    return x


@pytest.fixture
def measurements() -> np.ndarray:
    """Real values of either sign (120 × 9), with and without zeros, tied and constant."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 9)).astype(np.float32)
    x[:, 1] = np.abs(x[:, 1])
    x[rng.random(120) < 0.5, 1] = 0
    x[rng.random(120) < 0.3, 2] = 0
    x[:, 3] = np.round(x[:, 3])
    x[:, 4] = 0
    x[:, 5] = -2.5
    x[:, 6] = -np.abs(x[:, 6]) * (rng.random(120) < 0.6)
    return x


@pytest.fixture
def codes() -> np.ndarray:
    """Classes of 120 rows, four of unequal size, some rows without."""
    return np.random.default_rng(2).choice([-1, 0, 1, 2, 3], p=[0.2, 0.4, 0.2, 0.15, 0.05], size=120)
