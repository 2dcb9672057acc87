from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cellclf as cc

N_OBS, N_VARS = 60, 30


def counts(seed: int = 0, n_obs: int = N_OBS, n_vars: int = N_VARS) -> np.ndarray:
    """Draw counts of cells that differ in depth, the smallest count of each being one."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.gamma(1, 3, n_vars) * rng.uniform(0.5, 2, (n_obs, 1))).astype(np.float32)
    x[:, 0] = 1
    x[:, 1] = np.arange(n_obs) % 7
    return x


def make(x: Any = None) -> AnnData:
    """Give cells with a label, a split and covariates of every kind."""
    x = counts() if x is None else x
    n = x.shape[0]
    rng = np.random.default_rng(1)
    age = rng.integers(20, 90, n).astype(float)
    age[:3] = np.nan
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(np.array(["B", "NK/T", None])[rng.integers(0, 3, n)]),
            "split": pd.Categorical(np.array(["train", "valid", "test"])[np.arange(n) % 3]),
            "sex": pd.Categorical(
                np.array(["male", "female"])[np.arange(n) % 2], categories=["male", "female", "none"]
            ),
            "age": age,
            "batch": np.arange(n) % 4,
            "smoker": np.arange(n) % 5 == 0,
            "disease": np.array([f"d{i:02d}" for i in range(20)], dtype=object)[(np.arange(n) ** 2) % 20],
            "barcode": [f"ACGT-{i}" for i in range(n)],
            "same": "x",
        },
        index=[f"c{i}" for i in range(n)],
    )
    adata = AnnData(x, obs=obs)
    adata.var_names = [f"g{j}" for j in range(x.shape[1])]
    return adata


def one(adata: AnnData, table: str = "matrix") -> pd.Series:
    """Take the only row of a table."""
    return cc.get.overview(adata, table).iloc[0]  # type: ignore[arg-type]


# -- What X holds ----------------------------------------------------------------------


def _log1p(x: np.ndarray, target: float | None, base: float = np.e) -> np.ndarray:
    adata = AnnData(x.copy())
    sc.pp.normalize_total(adata, target_sum=target)
    return (np.log1p(adata.X) / np.float32(np.log(base))).astype(np.float32)


def _zscored(x: np.ndarray) -> np.ndarray:
    std = x.std(axis=0)
    return ((x - x.mean(axis=0)) / np.where(std > 0, std, 1)).astype(np.float32)


SHARES = counts() / counts().sum(axis=1, keepdims=True)
SMOOTH = np.random.default_rng(0).gamma(2, 2, (N_OBS, N_VARS)).astype(np.float32)
KINDS = {
    "counts": (counts(), "counts", np.nan, np.nan),
    "counts-float64": (counts().astype(np.float64), "counts", np.nan, np.nan),
    "counts-integers": (counts().astype(np.int64), "counts", np.nan, np.nan),
    "twos": (2 * (counts() > 3).astype(np.float32), "counts", np.nan, np.nan),
    "binary": ((counts() > 3).astype(np.float32), "binary", np.nan, np.nan),
    "booleans": (counts() > 3, "binary", np.nan, np.nan),
    "log1p-10000": (_log1p(counts(), 1e4), "log1p", 1e4, np.e),
    "log1p-million": (_log1p(counts(), 1e6), "log1p", 1e6, np.e),
    "log1p-median": (_log1p(counts(), None), "log1p", float(np.median(counts().sum(axis=1))), np.e),
    "log2": (_log1p(counts(), 1e6, 2), "log1p", 1e6, 2.0),
    "log10": (_log1p(counts(), 1e4, 10), "log1p", 1e4, 10.0),
    "log1p-genes-left-out": (_log1p(counts(), 1e4)[:, :12], "log1p", np.nan, np.e),
    "log2-genes-left-out": (_log1p(counts(), 1e4, 2)[:, :12], "log1p", np.nan, 2.0),
    "log1p-rounded": (_log1p(counts(), 1e4)[:, :12].round(3), "log1p", np.nan, np.e),
    "shares": (SHARES.astype(np.float32), "fractions", 1.0, np.nan),
    "per-million": (1e6 * SHARES, "fractions", 1e6, np.nan),
    "between-0-and-1": (SMOOTH / 100, "fractions", np.nan, np.nan),
    "z-scores": (_zscored(counts()), "scaled", np.nan, np.nan),
    "z-scores-clipped": (np.clip(_zscored(counts()), -2, 2), "scaled", np.nan, np.nan),
    "zero-to-one": (SMOOTH / SMOOTH.max(axis=0) * (SMOOTH > SMOOTH.min(axis=0)), "scaled", np.nan, np.nan),
    "log-ratios": (np.log(SMOOTH / 9), "other", np.nan, np.nan),
    "smooth": (SMOOTH, "other", np.nan, np.nan),
    "measures": (SMOOTH * np.geomspace(1, 1000, N_VARS), "other", np.nan, np.nan),
    "zeros": (np.zeros((N_OBS, N_VARS), np.float32), "other", np.nan, np.nan),
}


@pytest.mark.parametrize(("x", "holds", "target", "base"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("store", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_what_x_holds(x: np.ndarray, holds: str, target: float, base: float, store: Any) -> None:
    adata = make(store(x))
    cc.pp.summary(adata, "cell_type", split=None)
    matrix = one(adata)
    assert matrix["holds"] == holds
    np.testing.assert_allclose([matrix["target_sum"], matrix["log_base"]], [target, base], rtol=1e-5)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), target=st.sampled_from([1e3, 1e4, 5e4, 1e6]))
def test_the_target_sum_is_found(seed: int, target: float) -> None:
    adata = make(sparse.csr_matrix(_log1p(counts(seed), target)))
    cc.pp.summary(adata, "cell_type")
    assert one(adata)["target_sum"] == pytest.approx(target, rel=1e-5)


def test_the_evidence_has_numbers() -> None:
    adata = make(_log1p(counts(), 1e4))
    cc.pp.summary(adata, "cell_type")
    told = cc.get.overview(adata, "evidence")["evidence"].to_list()
    assert told[0].startswith(
        f"60 of 60 rows, spread over the whole matrix, were looked at: {(adata.X > 0).sum():,} values"
    )
    assert told[-1] == "Without the logarithm (base e) of 1 + normalised counts, each row sums to 10,000."


def test_rows_far_down_are_looked_at() -> None:
    x = np.zeros((5000, 8), np.float32)
    x[:, 0] = 3
    x[4000:] = 0.25 + np.arange(1000)[:, None] % 9
    adata = make(x)
    cc.pp.summary(adata, "cell_type")
    assert one(adata)["holds"] == "other"
    assert cc.get.overview(adata, "evidence")["evidence"][0].startswith("512 of 5,000 rows")


def test_few_rows_prove_no_target_sum() -> None:
    adata = make(_log1p(counts(n_obs=6), 1e4))
    cc.pp.summary(adata, "cell_type")
    assert np.isnan(one(adata)["target_sum"])


def test_real_cells() -> None:
    scaled, log = sc.datasets.pbmc68k_reduced(), cc.datasets.pbmc68k()
    for adata, holds in ((scaled, "scaled"), (log, "log1p")):
        cc.pp.summary(adata, "bulk_labels")
        assert one(adata)["holds"] == holds


# -- Sizes, spread and range ------------------------------------------------------------


def test_class_sizes() -> None:
    adata = make()
    cc.pp.summary(adata, "cell_type")
    table = cc.get.overview(adata, "classes")
    assert list(table.index) == ["B", "NK/T"]
    assert list(table.columns) == ["cells", "train", "valid", "test"]
    for name in table.index:
        cells = adata.obs[adata.obs["cell_type"] == name]
        assert table.loc[name].to_list() == [
            len(cells),
            *((cells["split"] == p).sum() for p in ("train", "valid", "test")),
        ]
    assert one(adata)["cells_without_class"] == adata.obs["cell_type"].isna().sum() > 0


def test_without_a_split_there_is_one_column() -> None:
    adata = make()
    cc.pp.summary(adata, "cell_type", split=None)
    assert list(cc.get.overview(adata).columns) == ["cells"]


@pytest.mark.parametrize("split", ["split", None])
def test_matrix_and_spread(split: str | None) -> None:
    adata = make(counts() * (np.arange(N_VARS) != 4))
    cc.pp.summary(adata, "cell_type", split=split, min_std=2)
    x = adata.X.astype(np.float64)
    train = x if split is None else x[(adata.obs["split"] == "train").to_numpy()]
    std, matrix = train.std(axis=0), one(adata)
    assert matrix["zero_fraction"] == pytest.approx((x == 0).mean())
    assert (matrix["minimum"], matrix["maximum"]) == (x.min(), x.max())
    assert (matrix["n_cells"], matrix["n_genes"]) == x.shape
    assert matrix["constant_genes"] == (std == 0).sum() > 1
    low = cc.get.overview(adata, "low_spread")
    assert low["gene"].to_list() == [f"g{j}" for j in np.flatnonzero(std < 2)]
    assert matrix["low_spread_genes"] == len(low) > 2
    np.testing.assert_allclose(low["std"], std[std < 2], atol=1e-12)
    np.testing.assert_allclose(low["zero_fraction"], (train == 0).mean(axis=0)[std < 2])
    assert cc.get.overview(adata, "spread")["genes"].sum() == (std > 0).sum()


def test_histograms_count_every_value() -> None:
    for x in (counts(), _log1p(counts(), 1e4), _zscored(counts()), 20 * counts()):
        adata = make(x)
        cc.pp.summary(adata, "cell_type")
        table = cc.get.overview(adata, "values")
        assert table["values"].sum() == (x != 0).sum()
        for low, high, n in table.iloc[:-1].itertuples(index=False):
            assert n == ((x != 0) & (x >= low) & (x < high)).sum()


def test_few_whole_values_have_a_bin_each() -> None:
    adata = make(np.minimum(counts(), 5))
    cc.pp.summary(adata, "cell_type")
    table = cc.get.overview(adata, "values")
    assert table["low"].to_list() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert table["values"].to_list() == [(adata.X == value).sum() for value in range(1, 6)]


# -- Covariates -------------------------------------------------------------------------


def test_which_columns_are_described() -> None:
    adata = make()
    cc.pp.summary(adata, "cell_type")
    names = list(dict.fromkeys(cc.get.overview(adata, "covariates")["covariate"]))
    assert names == ["sex", "age", "batch", "smoker", "disease"]
    cc.pp.summary(adata, "cell_type", covariates=["barcode", "age"])
    assert set(cc.get.overview(adata, "covariates")["covariate"]) == {"barcode", "age"}


def test_columns_of_cellclf_are_no_covariates(small_adata: AnnData) -> None:
    cc.tl.train(small_adata, "cell_type", network=cc.nn.Linear(), fit=cc.Fit(epochs=3, members=1))
    cc.tl.predict(small_adata)
    cc.pp.summary(small_adata)
    assert cc.get.overview(small_adata, "covariates").empty
    assert cc.get.overview(small_adata, "quantiles").empty


def test_numbers() -> None:
    adata = make()
    cc.pp.summary(adata, "cell_type")
    table = cc.get.overview(adata, "covariates")
    age = adata.obs["age"].dropna()
    bins = table[(table["covariate"] == "age") & (table["kind"] == "numeric")]
    np.testing.assert_array_equal(bins["cells"], np.histogram(age, [*bins["low"], bins["high"].iloc[-1]])[0])
    missing = table[(table["covariate"] == "age") & (table["kind"] == "missing")]
    assert missing["cells"].to_list() == [3]
    quantiles = cc.get.overview(adata, "quantiles").loc["age"]
    np.testing.assert_allclose(quantiles.to_numpy(), [*age.quantile([0, 0.25, 0.5, 0.75, 1]), 3])
    batch = table[table["covariate"] == "batch"]
    assert batch["value"].to_list() == ["0", "1", "2", "3"]
    assert batch["cells"].to_list() == [15, 15, 15, 15]


def test_categories() -> None:
    adata = make()
    cc.pp.summary(adata, "cell_type")
    table = cc.get.overview(adata, "covariates").set_index("covariate")[["value", "cells"]]
    assert table.loc["sex"].to_numpy().tolist() == [["male", 30], ["female", 30]]
    assert table.loc["smoker"].to_numpy().tolist() == [["False", 48], ["True", 12]]


def test_rare_categories_are_counted_together() -> None:
    adata = make(counts(n_obs=210))
    sizes = np.arange(1, 21)
    adata.obs["disease"] = np.repeat([f"d{size:02d}" for size in sizes], sizes)
    cc.pp.summary(adata, "cell_type", covariates=["disease"])
    table = cc.get.overview(adata, "covariates")
    assert table["value"].to_list() == [*(f"d{size:02d}" for size in range(10, 21)), "9 others"]
    assert table["cells"].to_list() == [*range(10, 21), 45]
    assert table["kind"].to_list() == ["category"] * 11 + ["others"]


# -- Storage ----------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Compare records, NaN being equal to NaN."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if (isinstance(one, np.ndarray) and one.dtype == object) or isinstance(one, str):
        return list(map(str, np.atleast_1d(one))) == list(map(str, np.atleast_1d(np.asarray(other, dtype=object))))
    return bool(np.array_equal(np.asarray(one, float), np.asarray(other, float), equal_nan=True))


def _dask(x: np.ndarray) -> Any:
    return pytest.importorskip("dask.array").from_array(x, chunks=(7, 5))


@pytest.mark.parametrize(
    "store",
    [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array, np.asfortranarray, _dask],
    ids=["csr", "csc", "csr_array", "fortran", "dask"],
)
def test_any_storage_gives_the_same(store: Any) -> None:
    dense, adata = make(), make(store(counts()))
    for each in (dense, adata):
        cc.pp.summary(each, "cell_type")
    assert same(dense.uns["summary"], adata.uns["summary"])


def test_zero_has_no_sign() -> None:
    x = counts()
    x[x == 0] = -0.0
    for order in ("C", "F"):
        adata = make(np.asarray(x, order=order))
        cc.pp.summary(adata, "cell_type")
        assert str(one(adata)["minimum"]) == "0.0"
        assert "values lie between 0 and" in " ".join(adata.uns["summary"]["evidence"])


def test_backed(tmp_path: Path) -> None:
    adata = make(sparse.csr_matrix(counts()))
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    for each in (adata, backed):
        cc.pp.summary(each, "cell_type")
    assert same(adata.uns["summary"], backed.uns["summary"])
    backed.file.close()


@pytest.mark.parametrize(
    "x", [counts(), _zscored(counts()), np.zeros((N_OBS, 3), np.float32)], ids=["counts", "z", "zeros"]
)
def test_files_keep_it(x: np.ndarray, tmp_path: Path) -> None:
    adata = make(x)
    cc.pp.summary(adata, "cell_type", covariates=[], min_std=0)
    cc.pp.summary(adata, "cell_type", key_added="more")
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for back in (anndata.read_h5ad(tmp_path / "a.h5ad"), anndata.read_zarr(tmp_path / "a.zarr")):
        for key in ("summary", "more"):
            for table in ("classes", "covariates", "quantiles", "matrix", "evidence", "spread", "low_spread", "values"):
                pd.testing.assert_frame_equal(
                    cc.get.overview(back, table, key=key),  # type: ignore[arg-type]
                    cc.get.overview(adata, table, key=key),  # type: ignore[arg-type]
                )


def test_a_layer() -> None:
    adata = make(_log1p(counts(), 1e4))
    adata.layers["counts"] = counts()
    cc.pp.summary(adata, "cell_type", layer="counts")
    assert one(adata)["holds"] == "counts"
    assert json.loads(adata.uns["summary"]["call"])["layer"] == "counts"


def test_copy() -> None:
    adata = make()
    copy = cc.pp.summary(adata, "cell_type", copy=True)
    assert copy is not None
    assert "summary" in copy.uns
    assert "summary" not in adata.uns


# -- Bad input --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"label": None}, ValueError, "Several columns of adata.obs may be the label", id="in-doubt"),
        pytest.param({"label": "x"}, KeyError, "label='x' is not in adata.obs", id="label"),
        pytest.param({"layer": "x"}, KeyError, "layer='x' is not in adata.layers", id="layer"),
        pytest.param({"split": "x"}, KeyError, "split='x' is not in adata.obs", id="split"),
        pytest.param({"covariates": ["x"]}, KeyError, "covariates='x' is not in adata.obs", id="covariate"),
        pytest.param({"covariates": "age"}, TypeError, r"Give a list of columns, such as \['age'\]", id="one-string"),
        pytest.param({"covariates": ["when"]}, ValueError, "neither numbers nor categories", id="dates"),
        pytest.param({"min_std": -0.1}, ValueError, "min_std=-0.1 is no standard deviation", id="negative"),
        pytest.param({"min_std": "a"}, ValueError, "min_std='a' is no standard deviation", id="text"),
        pytest.param({"label": "nobody"}, ValueError, "label='nobody' is missing in every cell", id="no-class"),
    ],
)
def test_bad_calls(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    adata = make()
    adata.obs["when"] = pd.date_range("2020-01-01", periods=N_OBS)
    adata.obs["nobody"] = pd.Categorical([None] * N_OBS, categories=["a"])
    with pytest.raises(error, match=message):
        cc.pp.summary(adata, **({"label": "cell_type"} | arguments))
    assert not adata.uns


def test_missing_values_are_named() -> None:
    adata = make()
    adata.X[3, 5] = np.inf
    with pytest.raises(ValueError, match=r"NaN or infinite.*That gene is 'g5'"):
        cc.pp.summary(adata, "cell_type")
    assert not adata.uns


def test_get_says_what_is_missing() -> None:
    adata = make()
    with pytest.raises(KeyError, match=r"Run `cc\.pp\.summary` first"):
        cc.get.overview(adata)
    cc.pp.split(adata, "cell_type", key_added="s")
    with pytest.raises(KeyError, match=r"was written by 'cellclf\.pp\.split'"):
        cc.get.overview(adata, key="s")
    with pytest.raises(ValueError, match=r"table='x' is not there\. Give 'classes'"):
        cc.get.overview(adata, "x")  # type: ignore[arg-type]
