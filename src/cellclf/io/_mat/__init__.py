"""The files of MATLAB: version 7.3 is HDF5, version 5 a format of its own."""

from __future__ import annotations

from cellclf.io._mat._read_mat import read_mat

__all__ = ["read_mat"]
