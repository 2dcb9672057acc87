"""Aliases shared by the whole package; libraries that are absent get a stand-in, so `isinstance` needs no guard."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix

try:
    from dask.array import Array as DaskArray
except ImportError:
    DaskArray = type("DaskArray", (), {})

CSRBase: TypeAlias = csr_matrix | csr_array
CSCBase: TypeAlias = csc_matrix | csc_array
CSBase: TypeAlias = csr_matrix | csr_array | csc_matrix | csc_array
Matrix: TypeAlias = np.ndarray | CSBase | DaskArray
Rng: TypeAlias = int | np.random.Generator
