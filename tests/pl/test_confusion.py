from __future__ import annotations

import itertools
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

import cellclf as cc


def _texts(ax: Axes) -> dict[tuple[int, int], str]:
    return {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in ax.texts}


def test_fields_show_counts_and_shares(adata: AnnData) -> None:
    ax = cc.pl.confusion(adata)
    counts = cc.get.confusion(adata).to_numpy()
    assert _texts(ax) == {(i, j): str(counts[i, j]) for i, j in np.argwhere(counts > 0)}
    shown = ax.collections[0].get_array()
    np.testing.assert_array_equal(shown.filled(np.nan), cc.get.confusion(adata, normalize="true"))
    assert shown.mask[-1].all()


def test_counts_as_colours(adata: AnnData) -> None:
    mesh = cc.pl.confusion(adata, normalize=None).collections[0]
    counts = cc.get.confusion(adata).to_numpy()
    np.testing.assert_array_equal(mesh.get_array(), counts)
    assert mesh.get_clim() == (0, counts.max())


def test_truth_is_in_rows_from_the_top(adata: AnnData) -> None:
    ax = cc.pl.confusion(adata)
    assert ax.yaxis_inverted()
    assert ax.get_yticklabels()[0].get_text() == f"B ({cc.get.confusion(adata).loc['B'].sum()})"
    assert ax.get_xticklabels()[3].get_text() == "DC"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class", "True class (number of cells)")


def test_text_stands_out_from_its_field(adata: AnnData) -> None:
    ax = cc.pl.confusion(adata)
    mesh = ax.collections[0]
    weights = np.array([0.299, 0.587, 0.114])
    for text in ax.texts:
        column, row = map(int, text.get_position())
        field = mesh.cmap(mesh.norm(mesh.get_array()[row, column]))[:3] @ weights
        assert abs(field - np.array(to_rgb(text.get_color())) @ weights) > 0.4


def test_many_classes_get_no_numbers(draw_slots: Callable[..., AnnData]) -> None:
    assert cc.pl.confusion(draw_slots([str(i) for i in range(15)])).texts
    assert not cc.pl.confusion(draw_slots([str(i) for i in range(16)])).texts


def test_the_figure_grows_with_the_classes(draw_slots: Callable[..., AnnData]) -> None:
    small, large = (cc.pl.confusion(draw_slots([str(i) for i in range(k)])).figure for k in (3, 40))
    assert (large.get_size_inches() > 1.5 * small.get_size_inches()).all()


def test_draws_on_given_axes(adata: AnnData) -> None:
    given = plt.subplots()[1]
    assert cc.pl.confusion(adata, ax=given) is given
    assert len(plt.get_fignums()) == 1


def test_takes_what_has_a_confusion(adata: AnnData) -> None:
    class Evaluation:
        confusion = cc.get.confusion(adata)

    ax = cc.pl.confusion(Evaluation())  # type: ignore[arg-type]
    assert _texts(ax) == _texts(cc.pl.confusion(adata))
    with pytest.raises(ValueError, match="Leave key out"):
        cc.pl.confusion(Evaluation(), key="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="adata is a str"):
        cc.pl.confusion("x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="normalize='pred' is unknown"):
        cc.pl.confusion(adata, normalize="pred")  # type: ignore[arg-type]


def test_predictions_in_rows(adata: AnnData) -> None:
    ax = cc.pl.confusion(adata, rows="predicted")
    counts = cc.get.confusion(adata)
    assert _texts(ax) == {(j, i): str(counts.iloc[i, j]) for i, j in np.argwhere(counts.to_numpy() > 0)}
    np.testing.assert_array_equal(
        ax.collections[0].get_array().filled(np.nan), cc.get.confusion(adata, normalize="true").T
    )
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("Predicted class", "True class (number of cells)")
    assert ax.get_xticklabels()[0].get_text() == f"B ({counts.loc['B'].sum()})"


def test_clustered_order_puts_confused_classes_side_by_side() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 3)
    order = rng.permutation(24)
    table = np.where(groups[:, None] == groups, 5, 0) + np.diag(np.full(24, 60))
    names = [f"class {i} of {groups[i]}" for i in order]

    class Evaluation:
        confusion = pd.DataFrame(table[order][:, order], index=names, columns=names)

    ax = cc.pl.confusion(Evaluation(), order="clustered")  # type: ignore[arg-type]
    shown = [text.get_text().split(" (")[0] for text in ax.get_yticklabels()]
    assert sorted(shown) == sorted(names)
    assert [text.get_text() for text in ax.get_xticklabels()] == shown
    of = [name[-1] for name in shown]
    assert sum(a != b for a, b in itertools.pairwise(of)) == 7


@pytest.mark.parametrize("n", [1, 2, 60])
def test_clustered_order_of_any_number(draw_slots: Callable[..., AnnData], n: int) -> None:
    classes = [f"class {i}" for i in range(n)]
    ax = cc.pl.confusion(draw_slots(classes), order="clustered")
    assert sorted(text.get_text() for text in ax.get_xticklabels()) == sorted(classes)


@pytest.mark.parametrize(("argument", "value"), [("rows", "columns"), ("order", "size")])
def test_unknown_choices_are_refused(adata: AnnData, argument: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{argument}='{value}' is unknown"):
        cc.pl.confusion(adata, **{argument: value})
