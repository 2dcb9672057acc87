from __future__ import annotations

import itertools
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf import _slots
from cellclf.get._panel_curve import COLUMNS


@pytest.fixture
def table() -> pd.DataFrame:
    """Give a curve of five panels and the full model."""
    sizes, macro = np.array([10, 20, 50, 52, 100, 765]), np.array([0.5, 0.7, 0.79, 0.795, 0.81, 0.8])
    values = dict.fromkeys(COLUMNS, macro) | {
        "n_genes": sizes,
        "full": sizes == 765,
        "macro_f1_se": np.full(6, 0.02),
        "test_macro_f1": macro - 0.05,
        "test_macro_f1_se": np.full(6, 0.03),
        "within_tolerance": macro >= 0.79,
    }
    return pd.DataFrame(values)[list(COLUMNS)]


@pytest.fixture
def curve(table: pd.DataFrame) -> SimpleNamespace:
    """Give what is drawn of a curve."""
    return SimpleNamespace(table=table, tolerance=0.01)


def lines(ax: plt.Axes) -> dict[str, np.ndarray]:
    """Read the points of each curve."""
    return {c.get_label(): np.array(c.lines[0].get_data(), float) for c in ax.containers}


def test_curves_are_those_of_the_table(curve):
    ax = cc.pl.panel_curve(curve)
    drawn = lines(ax)
    assert list(drawn) == ["validation rows", "test rows"]
    for name, column in {"validation rows": "macro_f1", "test rows": "test_macro_f1"}.items():
        np.testing.assert_allclose(drawn[name][0], [10, 20, 50, 52, 100], rtol=0.03)
        np.testing.assert_array_equal(drawn[name][1], curve.table[column][:5])
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Number of genes", "Macro-F1")


def test_the_smallest_panel_and_the_tolerance_are_marked(curve):
    ax = cc.pl.panel_curve(curve)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"full model (765 genes)", "50 genes are enough"} < set(names)
    assert [50, 50] in [list(line.get_xdata()) for line in ax.lines]
    band = ax.patches[0].get_bbox()
    np.testing.assert_allclose([band.y0, band.y1], [0.79, 0.8])


def test_without_test_rows_and_without_a_panel_that_is_enough(curve):
    curve.table["test_macro_f1"] = np.nan
    curve.table.loc[:4, "within_tolerance"] = False
    ax = cc.pl.panel_curve(curve)
    assert list(lines(ax)) == ["validation rows"]
    assert not [text for text in ax.get_legend().get_texts() if "enough" in text.get_text()]


def test_sizes_that_lie_close_are_named_once(curve):
    ax = cc.pl.panel_curve(curve)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["10", "20", "50", "100"]


@pytest.mark.parametrize("sizes", [[1, 2, 3, 8, 500, 700], [10, 1000, 1500, 20000, 30000], [90, 100, 120, 150, 200]])
def test_numbers_of_sizes_do_not_touch(curve, sizes):
    curve.table["n_genes"] = [*sizes[:5], 765]
    curve.table = pd.concat([curve.table, curve.table.assign(n_genes=sizes[-1])]).sort_values("n_genes")
    curve.table["full"] = curve.table["n_genes"] == 765
    ax = cc.pl.panel_curve(curve)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.get_xticklabels()]
    assert len(boxes) > 2
    assert all(right.x0 - left.x1 > 2 for left, right in itertools.pairwise(boxes))


def test_the_legend_is_above_the_curves_and_nothing_is_cut(curve):
    ax = cc.pl.panel_curve(curve)
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1
    tight, size = ax.figure.get_tightbbox(), ax.figure.get_size_inches()
    assert tight.x0 >= -0.02
    assert tight.y0 >= -0.02
    assert tight.x1 <= size[0] + 0.02
    assert tight.y1 <= size[1] + 0.02


def test_it_is_drawn_from_what_was_written(curve):
    adata = AnnData(np.ones((2, 2), np.float32))
    values = {name: curve.table[name].to_numpy() for name in COLUMNS}
    adata.uns["mine"] = _slots.record("tl.panel_curve", {}, table=values, tolerance=0.01)
    given = plt.subplots()[1]
    ax = cc.pl.panel_curve(adata, key="mine", ax=given)
    assert ax is given
    np.testing.assert_array_equal(lines(ax)["validation rows"][1], curve.table["macro_f1"][:5])


def test_what_is_no_curve_is_refused(curve):
    adata = AnnData(np.ones((2, 2), np.float32), uns={"x": _slots.record("tl.train", {})})
    with pytest.raises(KeyError, match="holds no record"):
        cc.pl.panel_curve(adata)
    with pytest.raises(KeyError, match=r"written by 'cellclf\.tl\.train'"):
        cc.pl.panel_curve(adata, key="x")
    with pytest.raises(TypeError, match="is a list"):
        cc.pl.panel_curve([])
    with pytest.raises(ValueError, match="Leave key out"):
        cc.pl.panel_curve(curve, key="x")
