from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import cellclf as cc


@pytest.fixture
def cells() -> ad.AnnData:
    x = np.arange(30, dtype=np.float32).reshape(6, 5) % 7
    obs = pd.DataFrame({"kind": ["b", "a", None, "b", "a", "b"]}, index=list("uvwxyz"))
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=["g0", "g1", "g2", "g3", "g4"]))


@pytest.mark.parametrize(
    "form", [np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]
)
def test_values_stand_gene_by_gene(cells: ad.AnnData, form) -> None:
    x = cells.X.copy()
    cells.X = form(x)
    table = cc.get.genes(cells, ["g3", "g0"], label="kind")
    assert table["gene"].tolist() == ["g3"] * 5 + ["g0"] * 5
    assert table["class"].tolist() == ["b", "a", "b", "a", "b"] * 2
    assert table.index.tolist() == list("uvxyz") * 2
    rows = [0, 1, 3, 4, 5]
    assert table["value"].tolist() == [*x[rows, 3], *x[rows, 0]]


def test_backed(cells: ad.AnnData, tmp_path) -> None:
    cells.X = sparse.csr_matrix(cells.X)
    expected = cc.get.genes(cells, ["g4"], label="kind")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    pd.testing.assert_frame_equal(cc.get.genes(backed, ["g4"], label="kind"), expected)
    backed.file.close()


def test_the_first_genes_of_a_selection(cells: ad.AnnData) -> None:
    cells.var["selected_rank"] = [np.nan, 2, 1, np.nan, 3]
    assert list(cc.get.genes(cells, n_genes=2)["gene"].cat.categories) == ["g2", "g1"]


@pytest.mark.parametrize(
    ("genes", "error", "message"),
    [
        pytest.param(["g1", "nope"], KeyError, "nope", id="absent"),
        pytest.param([], ValueError, "no gene", id="none"),
        pytest.param(["g1", "g1"], ValueError, "one twice", id="twice"),
        pytest.param(None, KeyError, "select_genes", id="no-selection"),
    ],
)
def test_genes_must_be_there(cells: ad.AnnData, genes, error, message) -> None:
    with pytest.raises(error, match=message):
        cc.get.genes(cells, genes, label="kind")


def test_double_names_are_refused(cells: ad.AnnData) -> None:
    cells.var_names = ["g0", "g1", "g1", "g3", "g4"]
    with pytest.raises(ValueError, match="var_names_make_unique"):
        cc.get.genes(cells, "g1", label="kind")
