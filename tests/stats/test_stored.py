"""Stretches of datasets on disk, against what HDF5 and zarr return for the same slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numcodecs
import numpy as np
import pytest
import zarr
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cellclf.stats import _stored
from cellclf.stats._pieces import stream
from cellclf.stats._stored import Buffers, Reader

if TYPE_CHECKING:
    from pathlib import Path

N = 1000


def _numbers(dtype: str) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, N).astype(dtype)


LAYOUTS: dict[str, dict[str, Any]] = {
    "in one piece": {},
    "in chunks": {"chunks": (96,)},
    "in chunks that may grow": {"chunks": (7,), "maxshape": (None,)},
    "gzip": {"chunks": (96,), "compression": "gzip"},
    "lzf": {"chunks": (96,), "compression": "lzf", "shuffle": True},
    "checksums": {"chunks": (96,), "fletcher32": True},
}
AS_BYTES = {"in one piece", "in chunks", "in chunks that may grow"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> h5py.File:
    """Give a file with the same numbers in every layout and type."""
    path = tmp_path_factory.mktemp("stored") / "x.h5"
    with h5py.File(path, "w") as out:
        for layout, options in LAYOUTS.items():
            for dtype in ("f4", "f8", ">f4", "f2", "i4", "u2", "i8", "?"):
                out.create_dataset(f"{layout}/{dtype}", data=_numbers(dtype), **options)
        out.create_dataset("square", data=_numbers("f4").reshape(50, 20))
        out.create_dataset("square in chunks", data=_numbers("f4").reshape(50, 20), chunks=(8, 20))
        gaps = out.create_dataset("gaps", (N,), "f4", chunks=(96,), fillvalue=7)
        gaps[200:300] = 1
        out.create_dataset("never written", (N,), "f4")
    return h5py.File(path, "r")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2", "i4", "u2", "i8", "?"])
@given(ends=st.tuples(st.integers(0, N), st.integers(0, N)))
@settings(max_examples=8)
def test_any_slice_is_that_of_the_library(file, layout, dtype, ends):
    start, stop = sorted(ends)
    source = file[f"{layout}/{dtype}"]
    found = Reader(source, whole=True).read(start, stop)
    assert found.dtype == source.dtype
    np.testing.assert_array_equal(found, source[start:stop])
    np.testing.assert_array_equal(Reader(source).read(start, stop), source[start:stop])


@pytest.mark.parametrize("name", ["square", "square in chunks", "gaps", "never written"])
def test_rows_of_arrays_and_what_was_never_written(file, name):
    source = file[name]
    reader = Reader(source, whole=True)
    for start, stop in ((0, 50), (3, 4), (17, 41)):
        np.testing.assert_array_equal(reader.read(start, stop), source[start:stop])


def test_what_is_read_as_bytes(file):
    for layout in LAYOUTS:
        extents = _stored._extents(file[f"{layout}/f4"])
        assert (extents is not None) == (layout in AS_BYTES)
    assert _stored._extents(file["in chunks/?"]) is None
    assert _stored._extents(file["square"]) is not None
    for name in ("square in chunks", "gaps", "never written"):
        assert _stored._extents(file[name]) is None


def test_chunks_that_follow_one_another_are_one_extent(file):
    extents = _stored._extents(file["in chunks/f4"])
    assert 1 <= len(extents) < -(-N // 96)


def test_not_from_a_file_that_may_change(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as out:
        source = out.create_dataset("x", data=_numbers("f4"))
        out.flush()
        assert _stored._extents(source) is None
        source[3] = -1
        np.testing.assert_array_equal(Reader(source, whole=True).read(0, 9), source[:9])
    with h5py.File(tmp_path / "y.h5", "w", userblock_size=512) as out:
        out.create_dataset("x", data=_numbers("f4"))
    with h5py.File(tmp_path / "y.h5") as out:
        np.testing.assert_array_equal(Reader(out["x"], whole=True).read(5, 90), _numbers("f4")[5:90])
    with h5py.File(tmp_path / "y.h5", driver="core") as out:
        np.testing.assert_array_equal(Reader(out["x"], whole=True).read(5, 90), _numbers("f4")[5:90])


def test_a_file_cut_short(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as out:
        out.create_dataset("x", data=_numbers("f8"))
    with h5py.File(tmp_path / "x.h5") as source:
        place = _stored._extents(source["x"])[0, 1]
        reader = Reader(source["x"], whole=True)
        with (tmp_path / "x.h5").open("r+b") as raw:
            raw.truncate(int(place) + 80)
        np.testing.assert_array_equal(reader.read(0, 10), _numbers("f8")[:10])
        with pytest.raises(OSError, match=r"x\.h5 ends before its array '/x' does"):
            reader.read(5, 50)


ZARR: dict[str, dict[str, Any]] = {
    "lz4": {"compressors": numcodecs.Blosc("lz4")},
    "gzip": {"compressors": numcodecs.GZip()},
    "zstd": {"compressors": numcodecs.Zstd()},
    "differences": {"compressors": numcodecs.Zstd(), "filters": [numcodecs.Delta("f4")]},
    "not compressed": {"compressors": None},
    "version 3": {"zarr_format": 3},
}


@pytest.mark.parametrize("layout", ZARR)
def test_any_slice_of_zarr_is_that_of_the_library(layout, tmp_path):
    options = {"zarr_format": 2} | ZARR[layout]
    values = np.random.default_rng(0).random(N, dtype=np.float32)
    values[192:288] = 7  # a chunk of the fill value: no file
    source = zarr.create_array(tmp_path / "x.zarr", shape=(N,), chunks=(96,), dtype="f4", fill_value=7, **options)
    source[:] = values
    assert (_stored._ChunkFiles.of(source) is not None) == (layout in {"lz4", "gzip", "zstd"})
    reader = Reader(source, whole=True)
    for start, stop in ((0, 96), (5, 300), (250, 290), (290, 291), (0, N), (900, N), (999, N), (40, 50)):
        np.testing.assert_array_equal(reader.read(start, stop), values[start:stop])


def test_a_chunk_of_zarr_is_undone_once(tmp_path, monkeypatch):
    values = np.arange(N, dtype=np.float32)
    source = zarr.create_array(
        tmp_path / "x.zarr", shape=(N,), chunks=(96,), dtype="f4", zarr_format=2, compressors=numcodecs.Blosc()
    )
    source[:] = values
    undone: list[int] = []
    undo = _stored._ChunkFiles._undo
    monkeypatch.setattr(_stored._ChunkFiles, "_undo", lambda self, k, out: (undone.append(k), undo(self, k, out)))
    reader = Reader(source, whole=True)
    found = [reader.read(start, min(start + 130, N)) for start in range(0, N, 130)]
    np.testing.assert_array_equal(np.concatenate(found), values)
    assert undone == list(range(-(-N // 96)))


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix], ids=["csr", "csc"])
@pytest.mark.parametrize("compression", [None, "gzip", "zarr"])
def test_sparse_matrices(tmp_path: Path, form, compression):
    x = form(sparse.random(80, 30, 0.3, random_state=0, dtype=np.float32))
    if compression == "zarr":
        AnnData(x).write_zarr(tmp_path / "x.zarr")
        source = anndata.io.sparse_dataset(zarr.open(tmp_path / "x.zarr", mode="r")["X"])
    else:
        AnnData(x).write_h5ad(tmp_path / "x.h5ad", compression=compression)
        source = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r").X
    reader = Reader(source, whole=True)
    for first, stop in ((0, 30), (4, 5), (9, 9), (11, 29)):
        expected = x[first:stop] if form is sparse.csr_matrix else x[:, first:stop]
        for found in (reader.read(first, stop), Reader(source).read(first, stop)):
            assert (found != expected).nnz == 0
            assert found.format == x.format
    if compression != "zarr":
        source.group.file.close()


def test_memory_is_used_again_once_nothing_lies_on_it():
    buffers = Buffers()
    one = buffers.empty((100,), np.dtype("f4"))
    address = one.__array_interface__["data"][0]
    view = one[10:20].view(np.int32)[::2]
    del one
    other = buffers.empty((100,), np.dtype("f4"))
    assert other.__array_interface__["data"][0] != address
    del view
    again = buffers.empty((25, 2), np.dtype("f8"))
    assert again.__array_interface__["data"][0] == address
    assert again.shape == (25, 2)
    assert buffers.empty((10_000,), np.dtype("f8")).size == 10_000


def test_parts_that_are_kept_stay_as_they_were(tmp_path, monkeypatch):
    from cellclf.stats import _pieces

    x = sparse.random(200, 30, 0.3, random_state=1, dtype=np.float32, format="csr")
    AnnData(x).write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 1000)
    adata = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    kept = list(stream(adata.X))
    assert len(kept) > 10
    assert (sparse.vstack([part.values for part in kept]) != x).nnz == 0
    adata.file.close()
