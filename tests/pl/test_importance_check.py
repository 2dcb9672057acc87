from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf import _slots


def _frame() -> pd.DataFrame:
    rows = [
        (ranking, kind, n, 0.1 * n + shift, 0.5, 0.4, 0.05 if ranking == "random" else np.nan)
        for shift, ranking in enumerate(["importance", "mi_corrected", "random"])
        for kind in ("deletion", "insertion")
        for n in (0, 1, 5, 30)
    ]
    names = ["ranking", "kind", "n_genes", "log_loss", "accuracy", "macro_f1", "log_loss_sd"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def checked() -> AnnData:
    """Give the slots of a check."""
    adata = AnnData(np.ones((2, 30), dtype=np.float32))
    curves = {name: column.to_numpy() for name, column in _frame().items()}
    adata.uns["importance_check"] = _slots.record("tl.importance_check", {}, curves=curves)
    return adata


@pytest.mark.parametrize("measure", ["log_loss", "accuracy", "macro_f1"])
def test_lines_are_the_curves(checked: AnnData, measure: str) -> None:
    axes = cc.pl.importance_check(checked, measure=measure)
    curves = cc.get.importance_check(checked, table="curves")
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == [
        "importance",
        "mutual information",
        "random",
    ]
    for panel, kind in zip(axes, ("deletion", "insertion"), strict=True):
        for line, ranking in zip(panel.lines, ("importance", "mi_corrected", "random"), strict=True):
            part = curves[(curves["kind"] == kind) & (curves["ranking"] == ranking)]
            np.testing.assert_array_equal(line.get_xdata(), part["n_genes"])
            np.testing.assert_array_equal(line.get_ydata(), part[measure])
        assert len(panel.collections) == (1 if measure == "log_loss" else 0)


def test_what_it_draws_on_and_of(checked: AnnData) -> None:
    given = plt.subplots(1, 2)[1]
    assert list(cc.pl.importance_check(checked, ax=given)) == list(given)
    result = cc.tl.ImportanceCheck(_frame(), pd.DataFrame(), pd.DataFrame())
    assert len(cc.pl.importance_check(result)) == 2
    with pytest.raises(ValueError, match="Leave key out"):
        cc.pl.importance_check(result, key="x")
    with pytest.raises(ValueError, match="ax holds 1 axes; the picture has 2 panels"):
        cc.pl.importance_check(checked, ax=given[:1])
    with pytest.raises(ValueError, match="measure='auc' is not known"):
        cc.pl.importance_check(checked, measure="auc")
    with pytest.raises(TypeError, match="adata is a int"):
        cc.pl.importance_check(3)
