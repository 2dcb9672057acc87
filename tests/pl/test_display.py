from __future__ import annotations

import itertools
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.text import Text

import cellclf as cc
from cellclf.pl import _display

LONG = "Effector memory CD8-positive, alpha-beta T cell, terminally differentiated_"
FUNCTIONS = {
    "history": cc.pl.history,
    "confusion": cc.pl.confusion,
    "gene_scores": cc.pl.gene_scores,
    "gene_scores_by_class": lambda adata: cc.pl.gene_scores(adata, by_class=True),
    "importance": cc.pl.importance,
    "importance_by_class": lambda adata: cc.pl.importance(adata, by_class=True),
}
CLASSES = {
    "three": ["a", "b", "c"],
    "ten-long": [f"{LONG}{i}" for i in range(10)],
    "sixty": [f"class {i}" for i in range(60)],
}


@given(st.text(alphabet="abc _-/,$", max_size=120))
def test_nothing_of_a_name_is_lost(name: str) -> None:
    (text,) = _display.wrapped([name])
    assert text.replace("\n", "").replace(r"\$", "$") == name
    assert all(len(line.replace(r"\$", "$")) <= 34 for line in text.split("\n"))


def test_names_break_after_a_sign() -> None:
    assert _display.wrapped([LONG])[0].split("\n")[0] == "Effector memory CD8-positive, "


@pytest.mark.parametrize("n_genes", [5, 30])
@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("draw", FUNCTIONS.values(), ids=FUNCTIONS)
def test_no_text_is_cut_off(
    draw: Callable[[AnnData], object], classes: list[str], n_genes: int, draw_slots: Callable[..., AnnData]
) -> None:
    draw(draw_slots(classes, n_genes))
    figure = plt.gcf()
    figure.draw_without_rendering()
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    slack = 0.02  # inches
    assert -slack <= drawn.x0 < drawn.x1 <= width + slack
    assert -slack <= drawn.y0 < drawn.y1 <= height + slack
    assert min(drawn.width / width, drawn.height / height) > 0.8


@pytest.mark.parametrize("draw", FUNCTIONS.values(), ids=FUNCTIONS)
def test_global_settings_stay(draw: Callable[[AnnData], object], adata: AnnData) -> None:
    before = dict(plt.rcParams)
    slots = {name: adata.var[name].to_numpy().copy() for name in adata.var}
    draw(adata)
    assert dict(plt.rcParams) == before
    for name, values in slots.items():
        np.testing.assert_array_equal(adata.var[name], values)


def _names_apart(labels: list[Text]) -> bool:
    boxes = [label.get_window_extent() for label in labels]
    return not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


@pytest.mark.parametrize("classes", [[f"{LONG}{i}" for i in range(45)], [f"cluster {i}" for i in range(200)]], ids=len)
@pytest.mark.parametrize("draw", FUNCTIONS.values(), ids=FUNCTIONS)
def test_many_classes_fit_a_page_and_stay_legible(
    draw: Callable[[AnnData], object], classes: list[str], draw_slots: Callable[..., AnnData]
) -> None:
    draw(draw_slots(classes))
    figure = plt.gcf()
    figure.draw_without_rendering()
    assert max(figure.get_size_inches()) < 17
    for ax in figure.axes:
        assert _names_apart(ax.get_xticklabels())
        assert _names_apart(ax.get_yticklabels())


def test_beyond_two_hundred_their_number_is_told(draw_slots: Callable[..., AnnData]) -> None:
    adata = draw_slots([f"class {i}" for i in range(300)], n_genes=250)
    ax = cc.pl.confusion(adata)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class (300 classes)", "True class (300 classes)")
    assert not ax.get_xticks().size + ax.get_yticks().size
    ax = cc.pl.gene_scores(adata, n_genes=250, by_class=True)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("300 classes", "250 genes")
    ax = cc.pl.gene_scores(adata, n_genes=250)
    assert ax.get_ylabel() == "250 genes"
    assert (len(ax.patches), len(ax.texts)) == (250, 0)
    assert max(max(plt.figure(number).get_size_inches()) for number in plt.get_fignums()) < 17


@pytest.mark.parametrize("n_genes", [12, 100])
@pytest.mark.parametrize("draw", [cc.pl.gene_scores, cc.pl.importance], ids=["gene_scores", "importance"])
def test_names_of_genes_do_not_overlap(
    draw: Callable[..., Axes], n_genes: int, draw_slots: Callable[..., AnnData]
) -> None:
    adata = draw_slots(["a", "b"], n_genes=n_genes)
    adata.var_names = [f"ENSG{i:011}_peak_chr1:1234567-1234999_with_a_long_name" for i in range(n_genes)]
    for by_class in (False, True):
        ax = draw(adata, n_genes=n_genes, by_class=by_class)
        ax.figure.draw_without_rendering()
        assert _names_apart(ax.get_yticklabels())
        assert ax.figure.get_size_inches()[1] < 14
