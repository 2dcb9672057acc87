from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("draw", FUNCTIONS.values(), ids=FUNCTIONS)
def test_no_text_is_cut_off(
    draw: Callable[[AnnData], object], classes: list[str], draw_slots: Callable[..., AnnData]
) -> None:
    draw(draw_slots(classes))
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
