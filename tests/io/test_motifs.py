from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cellclf as cc


def table(n: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"M{j:05d}": rng.poisson(0.3, n) for j in range(1, 8)})
    frame.insert(0, "chromosome", rng.choice(["chr1", "chrX"], n))
    frame["Y"] = rng.choice([0, 1], n)
    frame["Y_alt"] = 1 - frame["Y"]
    return frame


def write(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_feather(path) if path.suffix == ".feather" else frame.to_parquet(path)
    return path


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_what_pandas_writes_is_read_back(data: Any, datasets: Any, tmp_path_factory: Any) -> None:
    x, _ = data.draw(datasets(whole=True))
    dtype = data.draw(st.sampled_from(["int64", "int32", "float64", "float32", "str", "category"]))
    frame = pd.DataFrame(x.astype(np.int64), columns=[f"M{j:05d}" for j in range(1, x.shape[1] + 1)]).astype(dtype)
    y = np.arange(len(x)) % 2
    frame["Y"], frame["window"] = y, [f"w{i}" for i in range(len(x))]
    if both := data.draw(st.booleans()):
        frame["Y_alt"] = 1 - y
    suffix = data.draw(st.sampled_from(["feather", "parquet"]))
    adata = cc.io.read_motifs(write(frame, tmp_path_factory.mktemp("motifs") / f"a.{suffix}"))
    assert sparse.issparse(adata.X)
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X.toarray(), x)
    assert adata.obs["Y"].to_list() == y.astype(str).tolist()
    assert adata.obs["window"].to_list() == [f"w{i}" for i in range(len(x))]
    assert set(adata.obs) == {"Y", "window"}, both
    assert adata.uns["cellclf_label"] == "Y"


@pytest.mark.parametrize("suffix", ["feather", "parquet"])
def test_blocks_of_rows(tmp_path: Path, suffix: str) -> None:
    frame = table(9000)
    adata = cc.io.read_motifs(write(frame, tmp_path / f"a.{suffix}"))
    np.testing.assert_array_equal(adata.X.toarray(), frame.filter(like="M0").to_numpy())
    assert adata.obs["chromosome"].to_list() == frame["chromosome"].to_list()


@pytest.mark.parametrize("listed", [True, False], ids=["list", "mapping"])
def test_three_files_make_a_split(tmp_path: Path, listed: bool) -> None:
    frames = {name: table(10 + i, i) for i, name in enumerate(["train", "validation", "test"])}
    paths = {name: write(frame, tmp_path / f"{name}.feather") for name, frame in frames.items()}
    write(frames["test"][frames["test"].columns[::-1]], paths["test"])
    adata = cc.io.read_motifs(list(paths.values()) if listed else paths)
    assert adata.obs["split"].value_counts(sort=False).to_dict() == {"train": 10, "valid": 11, "test": 12}
    test = adata[adata.obs["split"] == "test"]
    np.testing.assert_array_equal(test.X.toarray(), frames["test"].filter(like="M0").to_numpy())
    assert test.obs_names[0] == "test_0"
    adata.write_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(ad.read_h5ad(tmp_path / "a.h5ad").obs, adata.obs)


def test_other_names(tmp_path: Path) -> None:
    frame = table().rename(columns=lambda name: name.replace("M0", "motif_")).drop(columns="Y_alt")
    frame["Y"] = np.where(frame["Y"] == 1, "open", "closed")
    adata = cc.io.read_motifs(write(frame, tmp_path / "a.parquet"), motifs=r"motif_\d+", complement=None)
    assert adata.obs["Y"].cat.categories.to_list() == ["closed", "open"]
    assert adata.n_vars == 7


def test_without_label_in_some_rows(tmp_path: Path) -> None:
    frame = table().drop(columns="Y_alt").astype({"Y": "float64"})
    frame.loc[3, "Y"] = np.nan
    adata = cc.io.read_motifs(write(frame, tmp_path / "a.feather"))
    assert np.flatnonzero(adata.obs["Y"].isna()).tolist() == [3]
    assert adata.obs["Y"].cat.categories.to_list() == ["0", "1"]


def changed(name: str, row: int, value: Any, dtype: str = "object") -> pd.DataFrame:
    frame = table().astype({name: dtype})
    frame.loc[row, name] = value
    return frame.astype({name: "str"}) if isinstance(value, str) else frame


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        pytest.param(table()[["Y", "chromosome"]], {}, ValueError, "no motif columns.*'chromosome'", id="no-motifs"),
        pytest.param(table().drop(columns="Y"), {}, KeyError, "label='Y'.*'chromosome', 'Y_alt'", id="no-label"),
        pytest.param(changed("M00003", 5, 0.5, "float64"), {}, ValueError, "row 6, column 'M00003': 0.5", id="decimal"),
        pytest.param(
            changed("M00003", 5, np.nan, "float64"),
            {},
            ValueError,
            "row 6, column 'M00003': a missing value",
            id="missing",
        ),
        pytest.param(
            changed("M00003", 5, 2**24 + 1), {}, ValueError, "row 6, column 'M00003': 16777217", id="too-large"
        ),
        pytest.param(changed("M00003", 5, "many"), {}, ValueError, "row 6, column 'M00003': 'many'", id="text"),
        pytest.param(
            changed("Y_alt", 0, 2, "int64"),
            {},
            ValueError,
            "row 1: 'Y' is .*not one-hot.*complement=None",
            id="one-hot",
        ),
        pytest.param(table(0), {}, ValueError, "columns but no rows", id="no-rows"),
    ],
)
@pytest.mark.parametrize("suffix", ["feather", "parquet"])
def test_bad_tables(tmp_path: Path, frame: pd.DataFrame, options: Any, error: Any, message: str, suffix: str) -> None:
    path = write(frame, tmp_path / f"a.{suffix}")
    with pytest.raises(error, match=message):
        cc.io.read_motifs(path, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"FEA1" * 9, "Feather file of version 1", id="old-feather"),
        pytest.param(b"M00001,Y\n1,0\n", "neither a Feather nor a Parquet", id="csv"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.feather").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        cc.io.read_motifs(tmp_path / "a.feather")


@pytest.mark.parametrize("suffix", ["feather", "parquet"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files(tmp_path: Path, suffix: str, share: float) -> None:
    path = write(table(), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"a\.\w+ is damaged or incomplete"):
        cc.io.read_motifs(path)


def test_parts_must_fit(tmp_path: Path) -> None:
    one = write(table(), tmp_path / "a.feather")
    other = write(table().drop(columns="M00007"), tmp_path / "b.feather")
    with pytest.raises(ValueError, match=r"different motifs: 1 .*'M00007'"):
        cc.io.read_motifs({"train": one, "test": other})
    with pytest.raises(ValueError, match="lists 2 files"):
        cc.io.read_motifs([one, one])
    with pytest.raises(ValueError, match="parts named 'dev'"):
        cc.io.read_motifs({"dev": one})
    with pytest.raises(ValueError, match="a part twice"):
        cc.io.read_motifs({"valid": one, "val": one})
    with pytest.raises(FileNotFoundError, match="does not exist"):
        cc.io.read_motifs(tmp_path / "absent.feather")
