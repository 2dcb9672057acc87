from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData

import cellclf as cc


def test_curves_are_those_of_the_table(adata: AnnData) -> None:
    axes = cc.pl.history(adata)
    table = cc.get.history(adata)
    columns = [["train_loss", "valid_loss"], ["valid_accuracy", "valid_macro_f1", "train_accuracy", "train_macro_f1"]]
    for ax, names in zip(axes, columns, strict=True):
        for line, name in zip(ax.lines[:-1], names, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), table["epoch"])
            np.testing.assert_array_equal(line.get_ydata(), table[name])
    assert axes[0].get_ylabel() == "Loss (nats)"


def test_best_epoch_is_marked_in_both_panels(adata: AnnData) -> None:
    for ax in cc.pl.history(adata):
        assert list(ax.lines[-1].get_xdata()) == [7, 7]  # which is not the one of the lowest loss
        assert ax.get_legend().get_texts()[2].get_text() == "epoch kept (7)"


def test_the_legend_is_above_the_curves(adata: AnnData) -> None:
    for ax in cc.pl.history(adata):
        ax.figure.draw_without_rendering()
        assert ax.get_legend().get_window_extent().y0 >= ax.get_window_extent().y1


def test_without_validation_rows_it_says_so(draw_slots: Callable[..., AnnData]) -> None:
    axes = cc.pl.history(draw_slots(["a", "b"], valid=False))
    assert [line.get_label() for line in axes[0].lines] == ["training objective"]
    assert [text.get_text() for text in axes[1].texts] == ["no validation rows"]
    assert [line.get_linestyle() for line in axes[1].lines] == [":", ":"]  # those of the training rows


def test_draws_on_given_axes(adata: AnnData) -> None:
    given = plt.subplots(1, 2)[1]
    drawn = cc.pl.history(adata, ax=given)
    assert list(drawn) == list(given)
    assert len(plt.get_fignums()) == 1


def test_one_panel_is_too_few(adata: AnnData) -> None:
    with pytest.raises(ValueError, match="ax holds 1 axes; the history has two panels"):
        cc.pl.history(adata, ax=plt.subplots()[1])


def test_takes_what_has_a_history(adata: AnnData) -> None:
    class Classifier:
        history = cc.get.history(adata)

    axes = cc.pl.history(Classifier())  # type: ignore[arg-type]
    np.testing.assert_array_equal(axes[0].lines[1].get_ydata(), Classifier.history["valid_loss"])
    with pytest.raises(ValueError, match="Leave key out"):
        cc.pl.history(Classifier(), key="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="adata is a int"):
        cc.pl.history(5)  # type: ignore[arg-type]
