from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf import _slots

NAMES = ["mode", "order", "n_genes", "log_loss", "accuracy", "macro_f1", "log_loss_sd", "accuracy_sd", "macro_f1_sd"]


def _frame(modes: tuple[str, ...], *, spread: float = 0.1) -> pd.DataFrame:
    rows = [("all", "none", 50, 0.5, 0.9, 0.8, spread, spread, spread)]
    for mode in modes:
        for shift, order in enumerate(["ranked", "random"]):
            rows += [(mode, order, n, n / 9 + shift, n / 50, n / 60, spread, spread, spread) for n in (2, 7, 20)]
    return pd.DataFrame(rows, columns=NAMES)


@pytest.mark.parametrize("modes", [("remove", "keep"), ("keep",)], ids=["both", "one"])
@pytest.mark.parametrize("measure", ["log_loss", "macro_f1"])
def test_points_are_the_means(modes: tuple[str, ...], measure: str) -> None:
    adata, table = AnnData(np.ones((2, 3), dtype=np.float32)), _frame(modes)
    columns = {name: column.to_numpy() for name, column in table.items()}
    adata.uns["ablation"] = _slots.record("tl.ablation", {}, summary=columns)
    axes = cc.pl.ablation(adata, measure=measure)
    assert len(axes) == len(modes)
    for panel, mode in zip(axes, modes, strict=True):
        for container, order in zip(panel.containers, ("ranked", "random"), strict=True):
            part = table[(table["mode"] == mode) & (table["order"] == order)]
            line, _, (bars,) = container
            np.testing.assert_array_equal(line.get_xdata(), part["n_genes"])
            np.testing.assert_array_equal(line.get_ydata(), part[measure])
            spans = np.array([segment[:, 1] for segment in bars.get_segments()])
            np.testing.assert_allclose(spans[:, 1] - spans[:, 0], 0.2)
        assert panel.lines[-1].get_ydata()[0] == table[measure][0]


def test_one_repeat_has_no_bars_and_results_are_drawn_too() -> None:
    table = _frame(("remove",), spread=np.nan)
    (panel,) = cc.pl.ablation(cc.tl.Ablation(table, table))
    assert not panel.containers[0].has_yerr
    with pytest.raises(ValueError, match="measure='auc' is not known"):
        cc.pl.ablation(cc.tl.Ablation(table, table), measure="auc")
