from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc


def test_best_gene_first_ties_in_order_nan_last(adata: AnnData) -> None:
    table = cc.get.gene_scores(adata)
    assert list(table.columns) == ["mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd"]
    assert table.index.name == "gene"
    assert list(table.index) == ["CD79A", "LYZ", "CD3D", "NKG7"]
    for column in table:
        np.testing.assert_array_equal(table[column], adata.var.loc[table.index, column])


@pytest.mark.parametrize(
    ("by", "best"),
    [pytest.param("mi_corrected", "LYZ", id="corrected"), pytest.param("jsd", "LYZ", id="jsd")],
)
def test_other_scores_sort_otherwise(adata: AnnData, by: str, best: str) -> None:
    assert cc.get.gene_scores(adata, by=by, n_genes=1).index[0] == best


def test_by_class_is_long_and_in_the_same_order(adata: AnnData) -> None:
    table = cc.get.gene_scores(adata, n_genes=2, by_class=True)
    expected = pd.DataFrame(
        {
            "gene": ["CD79A"] * 3 + ["LYZ"] * 3,
            "class": pd.Categorical(["B", "NK/T", "Mono"] * 2, categories=["B", "NK/T", "Mono"]),
            "mi": [3.0, 4, 5, 6, 7, 8],
        }
    )
    pd.testing.assert_frame_equal(table, expected)


def test_key_turns_every_word(adata: AnnData) -> None:
    columns = ["mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd"]
    expected = cc.get.gene_scores(adata), cc.get.gene_scores(adata, by_class=True)
    adata.var = adata.var.rename(columns={name: f"x_{name}" for name in columns})
    adata.varm["x_mi_by_class"] = adata.varm.pop("mi_by_class")
    adata.uns["x"] = adata.uns.pop("gene_scores")
    pd.testing.assert_frame_equal(cc.get.gene_scores(adata, key="x"), expected[0])
    pd.testing.assert_frame_equal(cc.get.gene_scores(adata, key="x", by_class=True), expected[1])
    with pytest.raises(KeyError, match=r"adata.var holds no 'mi'. Run `cc.pp.gene_scores`"):
        cc.get.gene_scores(adata)


def test_repeated_gene_names_stay_apart(written: AnnData) -> None:
    written.var_names = ["a", "b", "b", "c"]
    table = cc.get.gene_scores(written, by_class=True, n_genes=2)
    assert list(table["gene"]) == ["b"] * 6
    assert list(table["mi"]) == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("n_genes", [0, -1, 1.5, True], ids=str)
def test_n_genes_is_a_number_of_genes(written: AnnData, n_genes: object) -> None:
    with pytest.raises(ValueError, match=r"n_genes=.* is no number of genes"):
        cc.get.gene_scores(written, n_genes=n_genes)  # type: ignore[arg-type]


def test_only_scores_sort(written: AnnData) -> None:
    with pytest.raises(ValueError, match="by='mi_pvalue' is no score to sort by"):
        cc.get.gene_scores(written, by="mi_pvalue")


def test_it_is_a_copy(written: AnnData) -> None:
    cc.get.gene_scores(written)["mi"] = 7.0
    assert written.var["mi"].max() == 0.4
    assert "_row" not in cc.get.gene_scores(written)


def test_a_subset_of_the_genes_is_enough(adata: AnnData) -> None:
    table = cc.get.gene_scores(adata[:, ["LYZ", "CD3D"]], by_class=True)
    assert list(table["mi"]) == [6, 7, 8, 0, 1, 2]
