from __future__ import annotations

import gzip
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
from cellclf.io import _wide

DATA = ",TP53,KRAS,EGFR\ns1,1.5,0,2\ns2,0.25,3,1\ns3,4,5,6\n"
LABELS = ",Class\ns3,LUAD\ns1,BRCA\ns2,LUAD\n"


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    """Write the two files, with parts replaced, and give their paths."""

    def write(data: str | bytes = DATA, labels: str | bytes = LABELS) -> tuple[Path, Path]:
        paths = tmp_path / "data.csv", tmp_path / "labels.csv"
        for path, text in zip(paths, (data, labels), strict=True):
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return paths

    return write


def dense(x: Any) -> np.ndarray:
    return x.toarray() if sparse.issparse(x) else x


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_pandas_writes_is_read_back(data: Any, datasets: Any, tmp_path_factory: Any) -> None:
    x, classes = data.draw(datasets())
    sep = data.draw(st.sampled_from([",", "\t", ";"]))
    packed, transposed, quoting = (data.draw(st.booleans()) for _ in range(3))
    folder = tmp_path_factory.mktemp("pair")
    names = [f"s {i}" if i else 's"0"' for i in range(len(x))]
    frame = pd.DataFrame(x, index=names, columns=[f"g{j}" for j in range(x.shape[1])])
    order = np.random.default_rng(0).permutation(len(x))
    suffix = ".csv.gz" if packed else ".txt"
    (frame.T if transposed else frame).to_csv(folder / f"d{suffix}", sep=sep, quoting=2 if quoting else 0)
    pd.DataFrame({"kind": np.array(classes)[order]}, index=np.array(names)[order]).to_csv(
        folder / f"l{suffix}", sep=sep
    )

    adata = cc.io.read_csv_pair(folder / f"d{suffix}", folder / f"l{suffix}", transposed=transposed)

    assert adata.obs_names.to_list() == names
    assert adata.var_names.to_list() == list(frame.columns)
    assert adata.obs["kind"].astype(str).to_list() == classes
    assert adata.X.dtype == np.float32
    assert sparse.issparse(adata.X) == (2 * np.count_nonzero(x) < x.size)
    np.testing.assert_allclose(dense(adata.X), x, rtol=1e-7)


def test_many_blocks_equal_one(pair: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((200, 7)).round(4), index=[f"s{i}" for i in range(200)])
    paths = tmp_path / "d.csv.gz", tmp_path / "l.csv"
    frame.to_csv(paths[0])
    pd.DataFrame({"kind": rng.choice(["a", "b"], 200)}, index=frame.index).to_csv(paths[1])
    monkeypatch.setattr(_wide, "_BLOCK", 300)
    adata = cc.io.read_csv_pair(*paths)
    np.testing.assert_array_equal(adata.X, frame.to_numpy(np.float32))
    assert adata.obs_names.to_list() == frame.index.to_list()


def test_slots(pair: Any, tmp_path: Path) -> None:
    labels = "sample,age,Class,note\ns1,61,10,x\ns2,,2,\ns3,40.5,10,y\n"
    adata = cc.io.read_csv_pair(*pair(labels=labels), label="Class")
    assert adata.uns["cellclf_label"] == "Class"
    assert adata.uns["cellclf_read"]["function"] == "cellclf.io.read_csv_pair"
    assert adata.obs["Class"].cat.categories.to_list() == ["2", "10"]
    np.testing.assert_array_equal(adata.obs["age"], [61, np.nan, 40.5])
    assert adata.obs["note"].dtype == "category"
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    cc.pp.split(again)
    assert "split" in again.obs


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        pytest.param(DATA.replace("\n", "\r\n"), LABELS.replace("\n", "\r\n"), id="windows"),
        pytest.param(b"\xef\xbb\xbf" + DATA.encode(), b"\xef\xbb\xbf" + LABELS.encode(), id="byte-order-mark"),
        pytest.param(DATA.removesuffix("\n") + "\n\n", LABELS + "\n", id="blank-lines"),
        pytest.param(DATA.removesuffix("\n"), LABELS.removesuffix("\n"), id="no-last-newline"),
        pytest.param(DATA.removeprefix(","), LABELS.removeprefix(","), id="no-corner"),
        pytest.param(DATA.replace("s1", '"s1"').replace("1.5", '"+1.5"'), LABELS.replace("s1", '"s1"'), id="quotes"),
        pytest.param(DATA.replace("4,5", " 4 ,+5.0e0"), LABELS, id="numbers-written-oddly"),
    ],
)
def test_other_ways_to_write(pair: Any, data: Any, labels: Any) -> None:
    adata = cc.io.read_csv_pair(*pair(data, labels))
    np.testing.assert_array_equal(adata.X, np.float32([[1.5, 0, 2], [0.25, 3, 1], [4, 5, 6]]))
    assert adata.obs["Class"].to_list() == ["BRCA", "LUAD", "LUAD"]
    assert adata.var_names.to_list() == ["TP53", "KRAS", "EGFR"]


def test_transposed_is_c_ordered(pair: Any) -> None:
    frame = pd.DataFrame([[1.5, 0.5], [2, 3]], index=["g1", "g2"], columns=["s1", "s2"])
    adata = cc.io.read_csv_pair(*pair(frame.to_csv(), ",Class\ns2,a\ns1,b\n"), transposed=True)
    np.testing.assert_array_equal(adata.X, [[1.5, 2], [0.5, 3]])
    assert adata.X.flags.c_contiguous


@pytest.mark.parametrize("word", ["", "NA", "NaN", "nan", "null"])
def test_missing_values(pair: Any, word: str) -> None:
    paths = pair(DATA.replace("0.25", word))
    with pytest.raises(
        ValueError, match=r"data\.csv: the value of sample 's2' \(row 2\), gene 'TP53' .*missing.*fill_missing"
    ):
        cc.io.read_csv_pair(*paths)
    assert cc.io.read_csv_pair(*paths, fill_missing=7).X[1, 0] == 7


def test_unmatched(pair: Any) -> None:
    paths = pair(DATA + "s4,1,1,1\ns5,1,1,1\n", LABELS + "s5,\nx,LUAD\n")
    with pytest.raises(ValueError, match=r"2 samples of .*data\.csv have no class .*'s4', 's5'.*; 1 samples .*\('x'\)"):
        cc.io.read_csv_pair(*paths)
    assert cc.io.read_csv_pair(*paths, unmatched="drop").obs_names.to_list() == ["s1", "s2", "s3"]
    kept = cc.io.read_csv_pair(*paths, unmatched="keep")
    assert kept.obs["Class"].isna().to_list() == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("data", "labels", "options", "error", "message"),
    [
        pytest.param(b"", LABELS, {}, ValueError, r"data\.csv is empty \(0 bytes\)", id="empty"),
        pytest.param(DATA, b"", {}, ValueError, r"labels\.csv is empty", id="empty-labels"),
        pytest.param(",TP53,KRAS\n", LABELS, {}, ValueError, r"2 names, but no rows", id="no-rows"),
        pytest.param(
            DATA, ",Class\n", {}, ValueError, r"labels\.csv holds a first line, but no samples", id="no-labels"
        ),
        pytest.param(
            DATA.replace("3,1", "3"),
            LABELS,
            {},
            ValueError,
            r"line 3 \('s2'\) has 2 values.* 3 columns",
            id="short-row",
        ),
        pytest.param(
            DATA.replace("3,1", "3,1,9"),
            LABELS,
            {},
            ValueError,
            r"line 3 \('s2'\) has 4 values.* 3 columns",
            id="long-row",
        ),
        pytest.param(
            DATA,
            LABELS.replace("BRCA", "BRCA,x"),
            {},
            ValueError,
            r"labels\.csv, line 3, has 3 fields",
            id="ragged-labels",
        ),
        pytest.param(
            DATA.replace("0.25", "high"),
            LABELS,
            {},
            ValueError,
            r"data\.csv, line 3 \('s2'\), column 2 \('TP53'\): 'high' is not a number",
            id="text",
        ),
        pytest.param(DATA.replace("5", "1_0"), LABELS, {}, ValueError, "is not a number", id="underscore"),
        pytest.param(DATA.replace("6", "1e39"), LABELS, {}, ValueError, "row 3.*column 3.*too large", id="overflow"),
        pytest.param(DATA.replace("6", "inf"), LABELS, {}, ValueError, "row 3.*column 3.*inf", id="infinite"),
        pytest.param(
            DATA.replace("s3", "s1"), LABELS, {}, ValueError, "names of samples occur more.*'s1'", id="samples"
        ),
        pytest.param(
            DATA, LABELS + "s1,BRCA\n", {}, ValueError, r"labels\.csv: .*more than once.*'s1'", id="label-twice"
        ),
        pytest.param(DATA.replace("KRAS", "TP53"), LABELS, {}, ValueError, "genes occur more.*'TP53'", id="genes"),
        pytest.param(DATA.replace("KRAS", ""), LABELS, {}, ValueError, "genes have no name.*number 2", id="no-name"),
        pytest.param(
            pd.DataFrame([[1, 2, 3]], index=["TP53"], columns=["s1", "s2", "s3"]).to_csv(),
            LABELS,
            {},
            ValueError,
            r"columns .* are samples \(3 of 3.*transposed=True",
            id="genes-in-rows",
        ),
        pytest.param(DATA, LABELS, {"transposed": True}, ValueError, "No column.*is a sample", id="samples-in-rows"),
        pytest.param(
            DATA.replace("s", "t"), LABELS, {}, ValueError, "No sample of.*'t1'.*'s3'", id="nothing-in-common"
        ),
        pytest.param(DATA, LABELS, {"label": "kind"}, KeyError, "label='kind'.*'Class'", id="unknown-label"),
        pytest.param(DATA, LABELS, {"samples": "id"}, KeyError, "no column 'id'", id="unknown-samples"),
        pytest.param(
            DATA, "s,a,b\ns1,x,y\n", {}, ValueError, "2 columns besides the samples.*'a', 'b'.*label=", id="two-labels"
        ),
        pytest.param("s1\ns2\n", LABELS, {}, ValueError, r"data\.csv has one column only", id="one-column"),
        pytest.param(DATA, LABELS, {"sep": "\t"}, ValueError, "one column only.*'.t'.*sep=", id="wrong-separator"),
        pytest.param(DATA, LABELS, {"sep": ", "}, ValueError, "is no separator", id="long-separator"),
        pytest.param(DATA, LABELS, {"unmatched": "skip"}, ValueError, "'skip' is no choice", id="unmatched"),
        pytest.param(DATA, LABELS, {"fill_missing": np.nan}, ValueError, "fill_missing=nan", id="fill-with-nan"),
        pytest.param(DATA.encode("utf-16"), LABELS, {}, ValueError, r"data\.csv, line 1, is not UTF-8", id="utf-16"),
        pytest.param(
            DATA.replace(",TP53", ',"TP53'),
            LABELS,
            {},
            ValueError,
            "quotation mark in line 1 is never",
            id="open-names",
        ),
        pytest.param(
            DATA.replace("s2", '"s2'), LABELS, {}, ValueError, "quotation mark in line 3 is never", id="open-sample"
        ),
        pytest.param(
            DATA,
            LABELS.replace("BRCA", '"BRCA'),
            {"unmatched": "drop"},
            ValueError,
            r"labels\.csv: a quotation mark in line 3 is never closed",
            id="open-class",
        ),
        pytest.param(
            DATA,
            LABELS + '"' + "x" * 200_000,
            {},
            ValueError,
            r"labels\.csv, line 5, is no CSV \(field larger",
            id="open-and-long",
        ),
        pytest.param(
            DATA.replace(",TP53", ',"TP53"').replace("\n", "\r"),
            LABELS,
            {},
            ValueError,
            r"data\.csv, line 1, is no CSV \(new-line",
            id="old-line-ends",
        ),
        pytest.param(
            gzip.compress(DATA.encode() * 99)[:-20], LABELS, {}, ValueError, "damaged or incomplete gzip", id="cut-gzip"
        ),
    ],
)
def test_bad_input(pair: Any, data: Any, labels: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        cc.io.read_csv_pair(*pair(data, labels), **options)


def test_no_file(pair: Any, tmp_path: Path) -> None:
    data, labels = pair()
    with pytest.raises(FileNotFoundError, match=r"absent\.csv does not exist. Check the path"):
        cc.io.read_csv_pair(tmp_path / "absent.csv", labels)
    with pytest.raises(ValueError, match="is a folder"):
        cc.io.read_csv_pair(data, tmp_path)
