from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from matplotlib.axes import Axes

import cellclf as cc


def _names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


@pytest.mark.parametrize("score", ["mi", "mi_corrected", "jsd"])
def test_bars_are_the_scores(adata: AnnData, score: str) -> None:
    ax = cc.pl.gene_scores(adata, score=score, n_genes=7)
    table = cc.get.gene_scores(adata, by=score, n_genes=7)
    assert [bar.get_width() for bar in ax.patches] == list(table[score])
    assert _names(ax) == list(table.index)
    assert ax.yaxis_inverted()
    assert "(nats)" in ax.get_xlabel()


def test_points_are_the_importances_with_their_errors(adata: AnnData) -> None:
    ax = cc.pl.importance(adata, n_genes=5)
    table = cc.get.importance(adata, n_genes=5)
    _, _, (bars,) = ax.containers[0]
    np.testing.assert_array_equal(ax.lines[-1].get_xdata(), table["importance"])
    spans = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(spans[:, 1] - spans[:, 0], 2 * table["importance_se"])
    assert _names(ax) == list(table.index)
    assert ax.get_xlabel().startswith("Rise of the log loss when shuffled (nats)")


def test_weights_have_no_errors(adata: AnnData) -> None:
    adata.var["importance_se"] = np.nan
    adata.uns["importance"] |= {"method": "weights", "norm": "sum"}
    ax = cc.pl.importance(adata)
    assert not ax.containers
    assert ax.get_xlabel() == "Sum of absolute weights in the first layer"


@pytest.mark.parametrize(
    ("record", "label"),
    [
        ({"method": "permutation", "measure": "loss"}, "Rise of the log loss when shuffled (nats)|repeats"),
        ({"method": "permutation", "measure": "macro_f1"}, "Fall of the macro-F1 when shuffled|repeats"),
        ({"method": "ablation", "measure": "accuracy"}, "Fall of the accuracy without its group|repeats"),
        ({"method": "integrated_gradients"}, "Mean size of the attribution (integrated gradients)|cells"),
        ({"method": "gradient_shap"}, "Mean size of the attribution (gradient SHAP)|cells"),
    ],
    ids=lambda value: "-".join(value.values()) if isinstance(value, dict) else "",
)
def test_the_axis_says_what_was_measured(adata: AnnData, record: dict[str, str], label: str) -> None:
    adata.uns["importance"] |= record
    what, scatter = label.split("|")
    assert cc.pl.importance(adata).get_xlabel() == f"{what}\nmean ± standard error of the {scatter}"


def test_genes_that_chance_may_explain_are_hollow(adata: AnnData) -> None:
    adata.var["importance_qvalue"] = np.where(np.arange(adata.n_vars) % 2, 0.9, 0.0)
    ax = cc.pl.importance(adata, n_genes=6)
    table = cc.get.importance(adata, n_genes=6)
    filled, hollow = ax.lines[-2:]
    passing = table["importance_qvalue"] <= 0.05
    np.testing.assert_array_equal(filled.get_xdata(), table["importance"][passing])
    np.testing.assert_array_equal(hollow.get_xdata(), table["importance"][~passing])
    assert hollow.get_markerfacecolor() == "white"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["q ≤ 0.05", "q > 0.05"]


def test_attributions_have_no_sign(adata: AnnData) -> None:
    adata.uns["importance"] |= {"method": "deep_lift"}
    adata.varm["importance_by_class"] = np.abs(adata.varm["importance_by_class"])
    mesh = cc.pl.importance(adata, by_class=True).collections[0]
    assert mesh.get_clim()[0] == 0
    assert cc.pl.importance(adata).get_xlabel().endswith("standard error of the cells")


@pytest.mark.parametrize(
    ("draw", "read", "value"),
    [
        pytest.param(cc.pl.gene_scores, cc.get.gene_scores, "mi", id="gene_scores"),
        pytest.param(cc.pl.importance, cc.get.importance, "importance", id="importance"),
    ],
)
def test_by_class_is_the_table(
    adata: AnnData, draw: Callable[..., Axes], read: Callable[..., object], value: str
) -> None:
    ax = draw(adata, n_genes=6, by_class=True)
    table = read(adata, n_genes=6, by_class=True)
    shown = ax.collections[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(shown, table[value].to_numpy().reshape(6, 4))
    assert _names(ax) == list(table["gene"][::4])
    assert ax.get_xticklabels()[0].get_text() == "B"


def test_no_importance_is_white(adata: AnnData) -> None:
    mesh = cc.pl.importance(adata, by_class=True).collections[0]
    low, high = mesh.get_clim()
    assert low == -high < 0
    assert min(mesh.cmap(0.5)[:3]) > 0.95


@pytest.mark.parametrize("draw", [cc.pl.gene_scores, cc.pl.importance], ids=["gene_scores", "importance"])
def test_draws_on_given_axes(adata: AnnData, draw: Callable[..., Axes]) -> None:
    for by_class in (False, True):
        given = plt.subplots()[1]
        assert draw(adata, ax=given, by_class=by_class) is given
    assert len(plt.get_fignums()) == 2


def test_only_scores_are_drawn(adata: AnnData) -> None:
    with pytest.raises(ValueError, match="score='mi_pvalue' cannot be drawn"):
        cc.pl.gene_scores(adata, score="mi_pvalue")  # type: ignore[arg-type]


def test_genes_that_may_be_chance_are_pale(adata: AnnData) -> None:
    adata.var["mi_qvalue"] = np.where(np.arange(adata.n_vars) % 2, 0.9, 0.0)
    ax = cc.pl.gene_scores(adata, n_genes=6)
    table = cc.get.gene_scores(adata, n_genes=6)
    pale = [bar.get_facecolor()[0] > 0.8 for bar in ax.patches]
    assert pale == list(table["mi_qvalue"] > 0.05)
    assert [text.get_text() for text in ax.texts] == ["q = 0.9" if each else "q < 1e-300" for each in pale]
