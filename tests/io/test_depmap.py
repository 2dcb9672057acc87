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

EXPRESSION = ",TSPAN6 (7105),TP53 (7157),ERCC-00002\nACH-2,3.5,4.5,0\nACH-1,2.5,0.5,1\nACH-9,1.5,0.1,2\n"
SAMPLES = "DepMap_ID,sex,age,lineage,empty\nACH-1,Female,61,lung,\nACH-2,,45,skin,\nACH-3,Male,,skin,\n"


@pytest.fixture
def pair(tmp_path: Path) -> Any:
    def write(expression: str = EXPRESSION, samples: str = SAMPLES) -> tuple[Path, Path]:
        paths = tmp_path / "expression.csv", tmp_path / "sample_info.csv"
        for path, text in zip(paths, (expression, samples), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths

    return write


def test_identifiers_and_sample_information(pair: Any, tmp_path: Path) -> None:
    adata = cc.io.read_depmap(*pair(), label="lineage")
    assert adata.var_names.to_list() == ["TSPAN6", "TP53", "ERCC-00002"]
    assert adata.var["entrez_id"].to_list() == ["7105", "7157", ""]
    assert adata.var["symbol"].to_list() == adata.var_names.to_list()
    assert adata.obs["lineage"].astype(object).where(adata.obs["lineage"].notna(), None).to_list() == [
        "skin",
        "lung",
        None,
    ]
    np.testing.assert_array_equal(adata.obs["age"], [45, 61, np.nan])
    assert adata.obs["sex"].isna().to_list() == [True, False, True]
    assert adata.uns["cellclf_label"] == "lineage"
    adata.write_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(ad.read_h5ad(tmp_path / "a.h5ad").var, adata.var)


def test_unlabelled_lines_can_be_dropped(pair: Any) -> None:
    adata = cc.io.read_depmap(*pair(), label="lineage", keep_unlabelled=False)
    assert adata.obs_names.to_list() == ["ACH-2", "ACH-1"]
    np.testing.assert_array_equal(adata.X, np.float32([[3.5, 4.5, 0], [2.5, 0.5, 1]]))


@pytest.mark.parametrize(
    ("old", "new", "column"),
    [
        pytest.param("7105", "ENSG00000000003", "identifier", id="mixed"),
        pytest.param("7157", "7157", "entrez_id", id="entrez"),
    ],
)
def test_kinds_of_identifiers(pair: Any, old: str, new: str, column: str) -> None:
    adata = cc.io.read_depmap(*pair(EXPRESSION.replace(old, new)), label="lineage", gene_names="identifier")
    assert adata.var_names.to_list() == [*adata.var[column].to_list()[:2], "ERCC-00002"]


def test_ensembl_and_plain_names(pair: Any) -> None:
    ensembl = EXPRESSION.replace("7105", "ENSG01").replace("7157", "ENSG02")
    assert "ensembl_id" in cc.io.read_depmap(*pair(ensembl), label="lineage").var
    plain = EXPRESSION.replace(" (7105)", "").replace(" (7157)", "")
    assert cc.io.read_depmap(*pair(plain), label="lineage").var.shape == (3, 0)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read_back(data: Any, datasets: Any, tmp_path_factory: Any) -> None:
    x, classes = data.draw(datasets())
    folder = tmp_path_factory.mktemp("depmap")
    lines = [f"ACH-{i:06d}" for i in range(len(x))]
    pd.DataFrame(x, index=lines, columns=[f"G{j} ({j + 10})" for j in range(x.shape[1])]).to_csv(folder / "e.csv")
    pd.DataFrame({"id": lines, "tissue": classes, "other": "x"}).iloc[::-1].to_csv(folder / "s.csv", index=False)
    adata = cc.io.read_depmap(folder / "e.csv", folder / "s.csv", label="tissue", samples="id")
    np.testing.assert_allclose(adata.X.toarray() if sparse.issparse(adata.X) else adata.X, x, rtol=1e-7)
    assert adata.obs["tissue"].astype(str).to_list() == classes
    assert adata.var["entrez_id"].to_list() == [str(j + 10) for j in range(x.shape[1])]


@pytest.mark.parametrize(
    ("expression", "samples", "options", "error", "message"),
    [
        pytest.param(
            EXPRESSION.replace("TP53", "TSPAN6"), SAMPLES, {}, ValueError, "gene_names='identifier'", id="symbols"
        ),
        pytest.param(EXPRESSION, SAMPLES, {"label": "tissue"}, KeyError, "'lineage'", id="unknown-label"),
        pytest.param(EXPRESSION, SAMPLES, {"gene_names": "id"}, ValueError, "'id' is no choice", id="gene-names"),
        pytest.param(EXPRESSION, SAMPLES.replace("ACH", "X"), {}, ValueError, "No sample of.*samples=", id="no-match"),
        pytest.param(EXPRESSION, SAMPLES.replace("ACH-3", "ACH-1"), {}, ValueError, "sample_info.*'ACH-1'", id="twice"),
        pytest.param(
            EXPRESSION,
            "id,lineage\nACH-1,\nACH-2,\n",
            {},
            ValueError,
            "No sample of.*has a class in 'lineage'",
            id="no-class",
        ),
        pytest.param(
            EXPRESSION.replace("0.5", "low"),
            SAMPLES,
            {},
            ValueError,
            r"line 3 \('ACH-1'\), column 3 \('TP53",
            id="text",
        ),
        pytest.param(EXPRESSION.replace("0.5", ""), SAMPLES, {}, ValueError, "'ACH-1'.*'TP53'.*missing", id="missing"),
    ],
)
def test_bad_input(pair: Any, expression: str, samples: str, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        cc.io.read_depmap(*pair(expression, samples), **({"label": "lineage"} | options))
