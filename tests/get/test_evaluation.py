from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc


def test_summary(adata: AnnData) -> None:
    table = cc.get.summary(adata)
    assert list(table.index) == ["network", "linear", "prior"]
    assert table.loc["linear", "macro_f1"] == 7
    assert table.shape == (3, 5)


def test_report(adata: AnnData) -> None:
    table = cc.get.report(adata)
    assert list(table.index) == ["B", "NK/T", "Mono"]
    assert list(table["support"]) == [4, 0, 5]
    assert table["support"].dtype.kind == "i"
    assert table.loc["Mono", "recall"] == 0.8


def test_confusion_counts(adata: AnnData) -> None:
    table = cc.get.confusion(adata)
    assert (table.index.name, table.columns.name) == ("truth", "predicted")
    assert table.loc["B", "NK/T"] == 1
    assert table.to_numpy().sum() == 9
    assert all(dtype.kind == "i" for dtype in table.dtypes)


def test_confusion_shares_are_of_the_true_class(adata: AnnData) -> None:
    table = cc.get.confusion(adata, normalize="true")
    np.testing.assert_allclose(table.loc["B"], [0.75, 0.25, 0])
    np.testing.assert_allclose(table.loc["Mono"], [0.2, 0, 0.8])
    assert table.loc["NK/T"].isna().all()


def test_unknown_normalisation_is_refused(written: AnnData) -> None:
    with pytest.raises(ValueError, match="normalize='all' is unknown"):
        cc.get.confusion(written, normalize="all")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["summary", "report", "confusion"])
@pytest.mark.parametrize(
    ("key", "message"),
    [
        pytest.param("absent", "holds no record of `cc.tl.evaluate`", id="absent"),
        pytest.param("importance", "was written by 'cellclf.tl.importance'", id="of-another-verb"),
    ],
)
def test_what_is_no_evaluation_is_refused(written: AnnData, name: str, key: str, message: str) -> None:
    with pytest.raises(KeyError, match=message):
        getattr(cc.get, name)(written, key=key)


def test_they_equal_the_evaluation(small_adata: AnnData) -> None:
    cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP(hidden=(16,)), fit=cc.Fit(epochs=12))
    evaluation = cc.tl.evaluate(small_adata)
    for name in ("summary", "report", "confusion"):
        table = getattr(cc.get, name)(small_adata)
        pd.testing.assert_frame_equal(table, getattr(evaluation, name))
