from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.io import savemat

import cellclf as cc


class Text(str):
    """A MATLAB char array."""

    __slots__ = ()


def save73(path: Path, variables: dict[str, Any], *, header: bool = True) -> Path:
    """Write what `save -v7.3` writes: axes reversed, sparse as group, cells as references, behind 512 bytes of text."""
    with h5py.File(path, "w", userblock_size=512 if header else 0) as file:
        for name, value in variables.items():
            _put(file, name, value)
    if header:
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def _put(file: h5py.File, name: str, value: Any) -> Any:
    if isinstance(value, list):
        references = np.empty((1, len(value)), h5py.ref_dtype)
        for i, cell in enumerate(value):
            references[0, i] = _put(file, f"#refs#/{name}{i}", cell if not isinstance(cell, str) else Text(cell)).ref
        item = file.create_dataset(name, data=references, dtype=h5py.ref_dtype)
        kind = "cell"
    elif isinstance(value, dict):
        item, kind = file.create_group(name), "struct"
        for field, part in value.items():
            _put(file, f"{name}/{field}", part)
    elif isinstance(value, str):
        units = np.frombuffer(value.encode("utf-16-le"), np.uint16)
        item, kind = file.create_dataset(name, data=units[:, None] if value else np.uint64([0, 0])), "char"
        if not value:
            item.attrs["MATLAB_empty"] = np.uint8(1)
    elif sparse.issparse(value):
        item, kind = file.create_group(name), "double"
        item.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
        parts = {"data": value.data.astype(float), "ir": value.indices.astype("u8")} if value.nnz else {}
        for part, content in (parts | {"jc": value.indptr.astype("u8")}).items():
            item.create_dataset(part, data=content)
    else:
        array = np.atleast_2d(value)
        item, kind = file.create_dataset(name, data=array.T), "double"
        if array.size == 0:
            del file[name]
            item = file.create_dataset(name, data=np.uint64(array.shape))
            item.attrs["MATLAB_empty"] = np.uint8(1)
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    return item


def save5(path: Path, variables: dict[str, Any]) -> Path:
    """Write what `save -v7` writes."""
    cells = {}
    for name, value in variables.items():
        if isinstance(value, list):
            cells[name] = np.empty((len(value), 1), object)
            cells[name][:, 0] = [str(cell) if isinstance(cell, str) else cell for cell in value]
        else:
            cells[name] = str(value) if isinstance(value, Text) else value
    savemat(path, cells, do_compression=True)
    return path


def dense(x: Any) -> np.ndarray:
    return x.toarray() if sparse.issparse(x) else x


versions = pytest.mark.parametrize("save", [pytest.param(save73, id="7.3"), pytest.param(save5, id="5")])
X = np.array([[1.0, 0, 2, 0.5], [0, 3, 1, 4], [5, 6, 7, 8]])  # 3 cells × 4 genes


def good(**more: Any) -> dict[str, Any]:
    return {"data": X, "labels": np.array([[1], [2], [1]])} | more


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_back(data: Any, datasets: Any, tmp_path_factory: Any) -> None:
    x, classes = data.draw(datasets())
    save = data.draw(st.sampled_from([save73, save5]))
    kind = data.draw(st.sampled_from([np.array, sparse.csc_matrix]))
    genes_in_rows, named = data.draw(st.booleans()), data.draw(st.booleans())
    genes = [f"gène {j}" for j in range(x.shape[1])]
    variables = {"data": kind(x.T if genes_in_rows else x, dtype=np.float64), "labels": classes}
    if not named:
        codes, _ = pd.factorize(np.array(classes))
        variables["labels"] = np.array([codes + 1.0])
        classes = (codes + 1).astype(str).tolist()
    square = x.shape[0] == x.shape[1]
    path = save(tmp_path_factory.mktemp("mat") / "data.mat", variables | {"genes": genes})
    adata = cc.io.read_mat(path, transposed=genes_in_rows if square else None)
    assert adata.X.dtype == np.float32
    assert sparse.issparse(adata.X) == (2 * np.count_nonzero(x) < x.size)
    np.testing.assert_array_equal(dense(adata.X), x)
    assert adata.obs["labels"].astype(str).to_list() == classes
    assert adata.var_names.to_list() == genes


@versions
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool"])
def test_kinds_of_numbers(tmp_path: Path, save: Any, dtype: str) -> None:
    adata = cc.io.read_mat(save(tmp_path / "a.mat", good(data=X.astype(dtype))))
    np.testing.assert_array_equal(adata.X, X.astype(dtype).astype(np.float32))


@versions
def test_orientation_is_said(tmp_path: Path, save: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="cellclf"):
        adata = cc.io.read_mat(save(tmp_path / "a.mat", good(data=X.T)))
    assert "4 × 3 in MATLAB, and 3 labels make that genes × cells" in caplog.text
    assert '"transposed": true' in adata.uns["cellclf_read"]["call"]
    np.testing.assert_array_equal(adata.X, X)
    assert adata.X.flags.c_contiguous


@versions
def test_names(tmp_path: Path, save: Any) -> None:
    variables = good(
        genes=["a", "b", "c", "d"],
        ensembl=["E1", "", "E3", "E4"],
        donors=["x", "x", "y"],
        kinds=["T", "B"],
        samples=list("pqr"),
    )
    adata = cc.io.read_mat(save(tmp_path / "a.mat", variables), classes="kinds")
    assert adata.obs["labels"].to_list() == ["T", "B", "T"]
    assert adata.obs["labels"].cat.categories.to_list() == ["T", "B"]
    assert adata.var["ensembl"].to_list() == ["E1", "", "E3", "E4"]
    assert adata.obs["donors"].to_list() == ["x", "x", "y"]
    assert adata.obs_names.to_list() == ["p", "q", "r"]
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").var["ensembl"].astype(str).to_list() == ["E1", "", "E3", "E4"]
    plain = cc.io.read_mat(save(tmp_path / "b.mat", good()))
    assert plain.var_names.to_list() == ["gene_1", "gene_2", "gene_3", "gene_4"]
    assert plain.obs_names.to_list() == ["cell_1", "cell_2", "cell_3"]


@versions
def test_sparse_labels(tmp_path: Path, save: Any) -> None:
    adata = cc.io.read_mat(save(tmp_path / "a.mat", good(labels=sparse.csc_matrix([[2.0], [0], [1]]))))
    assert adata.obs["labels"].to_list() == ["2", "0", "1"]


def test_plain_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["data"], file["labels"] = X, np.array([1, 2, 1])
        file["genes"] = ["a", "b", "c", "d"]
    adata = cc.io.read_mat(tmp_path / "a.mat")
    np.testing.assert_array_equal(adata.X, X)
    assert adata.var_names.to_list() == ["a", "b", "c", "d"]


def test_compressed_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).poisson(1.0, (50, 30)).astype(float)
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file.create_dataset("data", data=x, chunks=(7, 11), compression="gzip")
        file["labels"] = np.arange(50) % 3 + 1
    monkeypatch.setattr("cellclf.io._mat._hdf5._BLOCK", 100)
    np.testing.assert_array_equal(cc.io.read_mat(tmp_path / "a.mat").X, x)


@versions
@pytest.mark.parametrize(
    ("variables", "options", "error", "message"),
    [
        pytest.param({"labels": np.ones((3, 1))}, {}, KeyError, "no variable 'data'.*'labels'", id="no-data"),
        pytest.param({"data": X}, {}, KeyError, "no variable 'labels'.*'data'", id="no-labels"),
        pytest.param(
            good(data={"counts": X}), {}, ValueError, "'data' is a struct.* a matrix of numbers is due", id="struct"
        ),
        pytest.param(good(data=["a", "b"]), {}, ValueError, "'data' is a cell array.*there is: 'labels'", id="cells"),
        pytest.param(good(data=Text("abc")), {}, ValueError, "'data' is text.*matrix of numbers is due", id="char"),
        pytest.param(good(labels=np.ones((5, 1))), {}, ValueError, r"3 × 4, but 'labels' has 5 labels", id="lengths"),
        pytest.param(good(data=np.eye(3)), {}, ValueError, r"3 × 3.*transposed=True if", id="square"),
        pytest.param(good(), {"transposed": True}, ValueError, "3 labels and transposed=True", id="wrong-orientation"),
        pytest.param(
            good(labels=np.array([1, 2, 1.5])), {}, ValueError, "label 3 .* 1.5, which is no whole", id="decimal"
        ),
        pytest.param(
            good(labels=np.array([1, 0, 1])),
            {"classes": ["a", "b"]},
            ValueError,
            "label 2 .*is 0.*counted from 1",
            id="zero",
        ),
        pytest.param(
            good(), {"classes": ["a"]}, ValueError, "label 2 .*is 2, but `classes` names 1", id="too-few-classes"
        ),
        pytest.param(
            good(labels=["a", "b", "a"]), {"classes": ["x"]}, ValueError, "Leave `classes` out", id="named-twice"
        ),
        pytest.param(good(genes=["a", "b"]), {}, ValueError, "'genes' holds 2 names for 4 genes", id="few-genes"),
        pytest.param(
            good(genes=["a", "b", "c", "a"]), {}, ValueError, "genes occur more than once.*'a'", id="gene-twice"
        ),
        pytest.param(good(), {"genes": "names"}, KeyError, "no variable 'names'", id="no-genes"),
        pytest.param(
            good(genes=["a", "b", X, "d"]), {}, ValueError, "in 'genes', a cell holds.*cellstr", id="cell-of-numbers"
        ),
        pytest.param(good(data=np.where(X == 3, np.nan, X)), {}, ValueError, "'cell_2'.*'gene_2'.*missing", id="nan"),
        pytest.param(good(data=X * 1e300), {}, ValueError, "'cell_1'.*'gene_1'.*too large for float32", id="overflow"),
        pytest.param(
            good(data=np.zeros((0, 3))), {"transposed": True}, ValueError, "3 samples × 0 genes", id="no-genes-at-all"
        ),
    ],
)
def test_bad_input(tmp_path: Path, save: Any, variables: Any, options: Any, error: Any, message: str) -> None:
    path = save(tmp_path / "a.mat", variables)
    with pytest.raises(error, match=message):
        cc.io.read_mat(path, **options)


@versions
def test_filling(tmp_path: Path, save: Any) -> None:
    path = save(tmp_path / "a.mat", good(data=np.where(X == 3, np.nan, X)))
    np.testing.assert_array_equal(cc.io.read_mat(path, fill_missing=3).X, X)


@versions
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_files(tmp_path: Path, save: Any, share: float) -> None:
    x = np.random.default_rng(0).random((30, 200))
    path = save(tmp_path / "a.mat", {"data": x, "labels": np.arange(30.0) % 3 + 1})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"a\.mat is .*damaged or incomplete"):
        cc.io.read_mat(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"gene,cell\n1,2\n" * 50, "is no MATLAB file", id="csv"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "damaged or incomplete MATLAB 7.3", id="signature-only"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        cc.io.read_mat(tmp_path / "a.mat")


def test_complex_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'data'.*complex"):
        cc.io.read_mat(save5(tmp_path / "a.mat", good(data=X + 1j)))
    with pytest.raises(ValueError, match=r"'data'.*matrix of numbers is due"):
        cc.io.read_mat(save73(tmp_path / "b.mat", good(data=X + 1j)))
