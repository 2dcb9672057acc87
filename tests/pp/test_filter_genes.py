from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cellclf as cc


def make(seed: int = 0, n_obs: int = 40, n_vars: int = 12) -> AnnData:
    """Give values with genes from hardly to strongly varying, a layer, and everything else that goes by gene."""
    rng = np.random.default_rng(seed)
    scale = np.geomspace(0.01, 10, n_vars)
    x = (rng.random((n_obs, n_vars)) < rng.random(n_vars)) * (1 + rng.random((n_obs, n_vars)) * scale)
    adata = AnnData(x.astype(np.float32), layers={"twice": (2 * x).astype(np.float32)})
    adata.var_names = [f"g{j}" for j in range(n_vars)]
    adata.var["number"] = np.arange(n_vars)
    adata.varm["pcs"] = rng.random((n_vars, 2))
    adata.varp["near"] = rng.random((n_vars, n_vars))
    return adata


def expected(x: np.ndarray, min_std: float | None, max_zero_fraction: float | None) -> np.ndarray:
    """Choose genes one after another."""
    keep = []
    for column in x.T.astype(np.float64):
        wide = min_std is None or np.std(column) >= min_std
        seen = max_zero_fraction is None or np.mean(column == 0) <= max_zero_fraction
        keep.append(wide and seen)
    return np.array(keep)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    min_std=st.none() | st.floats(0, 2),
    max_zero_fraction=st.none() | st.floats(0, 1),
)
def test_the_same_genes_as_one_after_another(seed: int, min_std: float | None, max_zero_fraction: float | None) -> None:
    adata = make(seed)
    keep = expected(adata.X, min_std, max_zero_fraction)
    if (min_std is None and max_zero_fraction is None) or not keep.any():
        with pytest.raises(ValueError, match=r"No threshold is given|No gene is left"):
            cc.pp.filter_genes(adata, min_std=min_std, max_zero_fraction=max_zero_fraction)
        assert adata.n_vars == 12
        return
    whole = adata.copy()
    cc.pp.filter_genes(adata, min_std=min_std, max_zero_fraction=max_zero_fraction)
    np.testing.assert_array_equal(adata.X, whole.X[:, keep])
    np.testing.assert_array_equal(adata.layers["twice"], whole.layers["twice"][:, keep])
    np.testing.assert_array_equal(adata.var["number"], np.flatnonzero(keep))
    np.testing.assert_array_equal(adata.varm["pcs"], whole.varm["pcs"][keep])
    np.testing.assert_array_equal(adata.varp["near"], whole.varp["near"][np.ix_(keep, keep)])
    record = adata.uns["filter_genes"]
    assert (record["n_before"], record["n_after"], record["n_cells"]) == (12, keep.sum(), 40)


def _dask(x: np.ndarray) -> Any:
    return pytest.importorskip("dask.array").from_array(x, chunks=(7, 5))


@pytest.mark.parametrize(
    "store",
    [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.asfortranarray, np.float64, _dask],
    ids=["csr", "csc", "csr_array", "fortran", "float64", "dask"],
)
def test_any_storage(store: Any) -> None:
    adata = make()
    keep = expected(adata.X, 0.5, 0.7)
    assert 0 < keep.sum() < 12
    adata.X = store(adata.X)
    cc.pp.filter_genes(adata, min_std=0.5, max_zero_fraction=0.7)
    assert list(adata.var["number"]) == list(np.flatnonzero(keep))


def test_stored_zeros_are_zeros() -> None:
    x = sparse.csr_matrix(np.ones((4, 2), np.float32))
    x.data[:] = [0, 1, 0, 1, 0, 1, 1, 1]
    adata = AnnData(x)
    cc.pp.filter_genes(adata, max_zero_fraction=0.5)
    assert list(adata.var_names) == ["1"]


def test_negative_values_are_no_zeros() -> None:
    adata = AnnData(np.array([[-1, 0], [-2, 0], [3, 1]], np.float32))
    cc.pp.filter_genes(adata, max_zero_fraction=0)
    assert list(adata.var_names) == ["0"]


@pytest.mark.parametrize("split", ["split", "parts"])
def test_test_rows_have_no_influence(split: str) -> None:
    adata = make()
    adata.obs[split] = pd.Categorical(np.repeat(["train", "valid", "test"], [20, 10, 10]))
    other = adata.copy()
    other.X[20:] = 1e6 * np.random.default_rng(1).random((20, 12))
    keep = expected(adata.X[:20], 0.5, 0.7)
    for one in (adata, other):
        cc.pp.filter_genes(one, min_std=0.5, max_zero_fraction=0.7, split=split)
        assert list(one.var["number"]) == list(np.flatnonzero(keep))
    assert adata.uns["filter_genes"]["n_cells"] == 20


def test_without_a_split_all_rows_count() -> None:
    adata = make()
    adata.obs["split"] = pd.Categorical(np.repeat(["train", "test"], [5, 35]))
    keep = expected(adata.X, 0.5, None)
    assert list(keep) != list(expected(adata.X[:5], 0.5, None))
    cc.pp.filter_genes(adata, min_std=0.5, split=None)
    assert list(adata.var["number"]) == list(np.flatnonzero(keep))


def test_a_layer_is_measured() -> None:
    adata = make()
    keep = expected(adata.layers["twice"], 1.0, None)
    cc.pp.filter_genes(adata, min_std=1.0, layer="twice")
    assert list(adata.var["number"]) == list(np.flatnonzero(keep))


def test_copy_leaves_the_original() -> None:
    adata = make()
    copy = cc.pp.filter_genes(adata, min_std=0.5, copy=True)
    assert copy is not None
    assert copy.n_vars < adata.n_vars == 12
    assert not copy.is_view
    assert "filter_genes" not in adata.uns
    assert cc.pp.filter_genes(adata, min_std=0.5) is None
    np.testing.assert_array_equal(copy.X, adata.X)


def test_a_view_becomes_its_own() -> None:
    adata = make()
    view = adata[:30]
    keep = expected(adata.X[:30], 0.5, None)
    cc.pp.filter_genes(view, min_std=0.5)
    assert list(view.var["number"]) == list(np.flatnonzero(keep))
    assert adata.shape == (40, 12)


def test_backed(tmp_path: Path) -> None:
    adata = make()
    keep = expected(adata.X, 0.5, 0.7)
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"adata is backed.*copy=True"):
        cc.pp.filter_genes(backed, min_std=0.5)
    kept = cc.pp.filter_genes(backed, min_std=0.5, max_zero_fraction=0.7, copy=True)
    assert kept is not None
    assert not kept.isbacked
    np.testing.assert_array_equal(kept.X, adata.X[:, keep])
    backed.file.close()


def test_the_record_survives_files(tmp_path: Path) -> None:
    adata = make()
    cc.pp.filter_genes(adata, min_std=0.5)
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for back in (anndata.read_h5ad(tmp_path / "a.h5ad"), anndata.read_zarr(tmp_path / "a.zarr")):
        assert back.uns["filter_genes"]["n_before"] == 12
        assert back.uns["filter_genes"]["call"] == adata.uns["filter_genes"]["call"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({}, ValueError, r"No threshold is given\. Give min_std", id="none"),
        pytest.param(
            {"min_std": -1}, ValueError, r"min_std=-1 is no threshold\. Give a number of 0 or more", id="negative"
        ),
        pytest.param({"min_std": float("nan")}, ValueError, "min_std=nan is no threshold", id="nan"),
        pytest.param({"min_std": True}, ValueError, "min_std=True is no threshold", id="bool"),
        pytest.param({"min_std": "0.1"}, ValueError, "min_std='0.1' is no threshold", id="text"),
        pytest.param({"min_std": float("inf")}, ValueError, "min_std=inf is no threshold", id="infinite"),
        pytest.param({"max_zero_fraction": 90}, ValueError, r"max_zero_fraction=90 .*between 0 and 1", id="percent"),
        pytest.param({"min_std": 1e9}, ValueError, r"No gene is left of 12.*cc\.pp\.summary", id="nothing-left"),
        pytest.param({"min_std": 1, "layer": "x"}, KeyError, "It holds: 'twice'", id="layer"),
        pytest.param({"min_std": 1, "split": "x"}, KeyError, "split='x' is not in adata.obs", id="split"),
    ],
)
def test_bad_calls(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    adata = make()
    with pytest.raises(error, match=message):
        cc.pp.filter_genes(adata, **arguments)
    assert adata.shape == (40, 12)
    assert not adata.uns


@pytest.mark.parametrize("arguments", [{"min_std": 0.1}, {"max_zero_fraction": 0.9}], ids=["std", "zeros"])
def test_missing_values_are_named(arguments: dict[str, float]) -> None:
    adata = make()
    adata.X[3, 5] = np.nan
    with pytest.raises(ValueError, match=r"NaN or infinite.*That gene is 'g5'"):
        cc.pp.filter_genes(adata, **arguments)
    assert adata.n_vars == 12
