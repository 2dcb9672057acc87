from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc


def test_most_important_gene_first(adata: AnnData) -> None:
    table = cc.get.importance(adata)
    assert list(table.columns) == ["importance", "importance_se"]
    assert list(table.index) == ["NKG7", "LYZ", "CD3D", "CD79A"]
    np.testing.assert_array_equal(table["importance_se"], [0.03, 0.02, 0.0, 0.01])
    pd.testing.assert_frame_equal(cc.get.importance(adata, n_genes=2), table.iloc[:2])


def test_by_class(adata: AnnData) -> None:
    table = cc.get.importance(adata, n_genes=1, by_class=True)
    assert list(table.columns) == ["gene", "class", "importance"]
    assert list(table["class"]) == ["B", "NK/T", "Mono"]
    assert list(table["importance"]) == [-9, -10, -11]


def test_key_turns_every_word(adata: AnnData) -> None:
    expected = cc.get.importance(adata), cc.get.importance(adata, by_class=True)
    adata.var = adata.var.rename(columns={"importance": "x", "importance_se": "x_se"})
    adata.varm["x_by_class"] = adata.varm.pop("importance_by_class")
    adata.uns["x"] = adata.uns.pop("importance")
    pd.testing.assert_frame_equal(cc.get.importance(adata, key="x"), expected[0])
    pd.testing.assert_frame_equal(cc.get.importance(adata, key="x", by_class=True), expected[1])


def test_what_is_missing_is_named(written: AnnData) -> None:
    with pytest.raises(KeyError, match=r"adata.var holds no 'y'. Run `cc.tl.importance` first"):
        cc.get.importance(written, key="y")
    del written.varm["importance_by_class"]
    with pytest.raises(KeyError, match="method='permutation'"):
        cc.get.importance(written, by_class=True)


def test_qvalues_and_groups_come_along(adata: AnnData) -> None:
    adata.var["importance_qvalue"] = [1.0, 0.5, 0.02, 0.01]
    adata.var["importance_group"] = pd.Categorical([None, None, "T", "T"])
    table = cc.get.importance(adata)
    assert list(table.columns) == ["importance", "importance_se", "importance_qvalue", "importance_group"]
    assert list(table["importance_qvalue"]) == [0.01, 0.02, 1.0, 0.5]
    assert list(table["importance_group"][:2]) == ["T", "T"]
