from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

import cellclf as cc


def test_one_row_per_cell(adata: AnnData) -> None:
    table = cc.get.predictions(adata)
    assert list(table.columns) == ["predicted", "confidence", "unknown_score"]
    assert list(table.index) == [f"cell{i}" for i in range(6)]
    assert list(table["predicted"]) == ["B", "Mono", "B", "NK/T", "B", "B"]
    assert list(table["predicted"].cat.categories) == ["B", "NK/T", "Mono"]
    assert all(type(name) is str for name in table["predicted"].cat.categories)
    np.testing.assert_array_equal(table["confidence"], adata.obs["cellclf_confidence"])
    np.testing.assert_array_equal(table["unknown_score"], adata.obs["cellclf_unknown_score"])


def test_key_turns_every_word(written: AnnData) -> None:
    written.obs = written.obs.rename(columns=lambda name: name.replace("cellclf", "x"))
    assert cc.get.predictions(written, key="x").shape == (6, 3)
    with pytest.raises(KeyError, match=r"adata.obs holds no 'cellclf'. Run `cc.tl.predict`"):
        cc.get.predictions(written)
