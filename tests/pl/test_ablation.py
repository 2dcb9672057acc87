from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf import _slots

NAMES = [
    "set",
    "mode",
    "order",
    "n_genes",
    "log_loss",
    "accuracy",
    "macro_f1",
    "log_loss_sd",
    "accuracy_sd",
    "macro_f1_sd",
]


def _frame(modes: tuple[str, ...], *, spread: float = 0.1) -> pd.DataFrame:
    rows = [("", "all", "none", 50, 0.5, 0.9, 0.8, spread, spread, spread)]
    for mode in modes:
        for shift, order in enumerate(["ranked", "random"]):
            rows += [("", mode, order, n, n / 9 + shift, n / 50, n / 60, spread, spread, spread) for n in (2, 7, 20)]
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
        band = panel.patches[0].get_bbox()
        np.testing.assert_allclose([band.y0, band.y1], [table[measure][0] - 0.1, table[measure][0] + 0.1])


def test_sets_stand_below_one_another() -> None:
    table = _frame(("remove", "keep"))
    sets = table[table["n_genes"].isin([2, 7]) & (table["mode"] != "all")].copy()
    sets["set"] = sets["n_genes"].map({2: "few", 7: "many"})
    sets["order"] = sets["order"].replace("ranked", "given")
    table = pd.concat([table.iloc[:1], sets])
    axes = cc.pl.ablation(cc.tl.Ablation(table, table), measure="accuracy")
    for panel, mode in zip(axes, ("remove", "keep"), strict=True):
        assert [label.get_text() for label in panel.get_yticklabels()] == ["few (2)", "many (7)"]
        for container, order in zip(panel.containers, ("given", "random"), strict=True):
            part = table[(table["mode"] == mode) & (table["order"] == order)]
            np.testing.assert_array_equal(container[0].get_xdata(), part["accuracy"])
            assert [round(place) for place in container[0].get_ydata()] == [0, 1]
        assert panel.lines[-1].get_xdata()[0] == 0.9


def test_long_names_of_sets_stay_beside_their_panel() -> None:
    table = _frame(("remove", "keep"))
    table.loc[table["mode"] != "all", "set"] = "genes that mark the response of monocytes to interferon in the blood"
    axes = cc.pl.ablation(cc.tl.Ablation(table, table))
    figure = axes[0].figure
    figure.draw_without_rendering()
    boxes = [ax.get_tightbbox() for ax in axes]
    assert not boxes[0].overlaps(boxes[1])
    assert min(box.x0 for box in boxes) >= 0
    assert all(ax.get_window_extent().width > figure.bbox.width / 5 for ax in axes)


def test_numbers_of_genes_do_not_touch() -> None:
    table = pd.concat([_frame(("remove",)).assign(n_genes=n) for n in (5, 10, 12, 15, 20, 100, 120, 1000)])
    (panel,) = cc.pl.ablation(cc.tl.Ablation(table, table))
    panel.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in panel.get_xticklabels()]
    assert len(boxes) > 3
    assert all(right.x0 - left.x1 > 2 for left, right in itertools.pairwise(boxes))


def test_one_repeat_has_no_bars_and_results_are_drawn_too() -> None:
    table = _frame(("remove",), spread=np.nan)
    (panel,) = cc.pl.ablation(cc.tl.Ablation(table, table))
    assert not panel.containers[0].has_yerr
    assert not panel.patches
    with pytest.raises(ValueError, match="measure='auc' is not known"):
        cc.pl.ablation(cc.tl.Ablation(table, table), measure="auc")
