from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf.fit._history import COLUMNS as WRITTEN
from cellclf.get._history import COLUMNS


def test_one_row_per_epoch_columns_in_order(adata: AnnData) -> None:
    table = cc.get.history(adata)
    assert tuple(table.columns) == COLUMNS
    assert list(table["epoch"]) == [1, 2, 3]
    assert table["epoch"].dtype.kind == "i"
    np.testing.assert_array_equal(table["valid_loss"], [3, 1.5, 1])


def test_the_order_is_that_of_the_training() -> None:
    assert COLUMNS == WRITTEN


def test_columns_of_a_later_version_come_last(written: AnnData) -> None:
    written.uns["cellclf"]["history"] |= {"new": np.zeros(3), "more": np.ones(3)}
    assert list(cc.get.history(written).columns[-3:]) == ["cells_per_second", "more", "new"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param("absent", "holds no record of `cc.tl.train`", id="absent"),
        pytest.param("importance", "was written by 'cellclf.tl.importance'", id="of-another-verb"),
    ],
)
def test_what_is_no_training_is_refused(written: AnnData, key: str, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        cc.get.history(written, key=key)


def test_it_equals_the_classifier(small_adata: AnnData) -> None:
    options = {"network": cc.nn.MLP(hidden=(16,)), "fit": cc.Fit(epochs=12)}
    classifier = cc.tl.train(small_adata, "cell_type", key_added="x", **options)
    assert cc.get.history(small_adata, key="x").equals(classifier.history)
