from __future__ import annotations

import itertools

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from scipy.stats import gaussian_kde

import cellclf as cc


def cells_of(n_classes: int, scale: float = 1.0) -> ad.AnnData:
    rng = np.random.default_rng(0)
    codes = np.arange(40 * n_classes) % n_classes
    x = rng.poisson(scale * (1 + codes)[:, None], (codes.size, 4)).astype(np.float32)
    obs = pd.DataFrame({"kind": pd.Categorical([f"kind {c}" for c in codes])}, index=np.arange(codes.size).astype(str))
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=["a", "b", "c", "d"]))


@pytest.mark.parametrize("n_classes", [2, 5])
def test_strips_hold_every_cell_and_the_mean(n_classes: int) -> None:
    cells = cells_of(n_classes)
    axes = cc.pl.genes(cells, ["b", "d"])
    assert [ax.get_title() for ax in axes] == ["b", "d"]
    for ax, column in zip(axes, (1, 3), strict=True):
        points = [each for each in ax.collections if len(each.get_offsets()) == 40]
        means = [each.get_segments()[0][0, 1] for each in ax.collections if hasattr(each, "get_segments")]
        for i in range(n_classes):
            own = cells.X[cells.obs["kind"] == f"kind {i}", column]
            places = np.asarray(points[i].get_offsets())
            np.testing.assert_array_equal(np.sort(places[:, 1]), np.sort(own))
            assert (np.abs(places[:, 0] - i) <= 0.35).all()
            assert means[i] == pytest.approx(own.mean())


@pytest.mark.parametrize("kind", ["strip", "violin"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_two_classes_are_blue_and_red(kind: str, n_classes: int) -> None:
    for ax in cc.pl.genes(cells_of(n_classes), ["b", "d"], kind=kind):
        bodies = [each for each in ax.collections if not hasattr(each, "get_segments")]
        colours = [tuple(np.round(255 * each.get_facecolor()[0, :3]).astype(int)) for each in bodies]
        blue, red = (0, 0x72, 0xB2), (0xCC, 0x33, 0x11)
        assert colours == ([blue, red] if n_classes == 2 else [blue] * n_classes)


def test_violins_are_the_density_of_the_cells() -> None:
    cells = cells_of(2)
    values = cells.X[cells.obs["kind"] == "kind 1", 1]
    body = [
        each for each in cc.pl.genes(cells, "b", kind="violin")[0].collections if not hasattr(each, "get_segments")
    ][1]
    outline = body.get_paths()[0].vertices
    assert (outline[:, 1].min(), outline[:, 1].max()) == (values.min(), values.max())
    heights = np.linspace(values.min(), values.max(), 100)
    density = gaussian_kde(values)(heights)
    width = np.array([np.ptp(outline[np.isclose(outline[:, 1], height), 0]) for height in heights])
    np.testing.assert_allclose(width / width.max(), density / density.max(), atol=1e-6)


def test_strips_of_many_cells_are_thinned() -> None:
    cells = ad.concat([cells_of(2)] * 40, index_unique="-")
    ax = cc.pl.genes(cells, ["a"], label="kind")[0]
    assert max(len(each.get_offsets()) for each in ax.collections if not hasattr(each, "get_segments")) <= 1000


def test_violins_and_a_class_without_spread() -> None:
    cells = cells_of(3)
    cells.X[np.flatnonzero(cells.obs["kind"] == "kind 1"), 0] = 2
    ax = cc.pl.genes(cells, "a", kind="violin")[0]
    bodies = [each for each in ax.collections if not hasattr(each, "get_segments")]
    assert len(bodies) == 2
    assert len(ax.collections) - len(bodies) == 4  # three means and the line of the class without spread


@pytest.mark.parametrize(("scale", "axis"), [(1.0, "linear"), (100.0, "symlog")])
def test_counts_that_reach_far_get_a_logarithmic_axis(scale: float, axis: str) -> None:
    cells = cells_of(2, scale)
    assert cc.pl.genes(cells, "a")[0].get_yscale() == axis


def test_the_colours_of_the_label_are_kept() -> None:
    cells = cells_of(2)
    first = cc.pl.genes(cells, "a", label="kind")[0].collections[0].get_facecolor()[0, :3]
    cells.uns["kind_colors"] = ["#00ff00", "#ff00ff"]
    kept = cc.pl.genes(cells, "a", label="kind")[0].collections[0].get_facecolor()[0, :3]
    np.testing.assert_allclose(kept, [0, 1, 0])
    np.testing.assert_allclose(first, [0, 0x72 / 255, 0xB2 / 255])


def test_axes_can_be_given() -> None:
    cells = cells_of(2)
    _, own = plt.subplots(1, 2)
    assert list(cc.pl.genes(cells, ["a", "b"], ax=own)) == list(own)
    with pytest.raises(ValueError, match="holds 2 axes, but 3 genes"):
        cc.pl.genes(cells, ["a", "b", "c"], ax=own)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="'box'"):
        cc.pl.genes(cells_of(2), "a", kind="box")


@pytest.mark.parametrize("n_classes", [10, 45])
def test_long_names_of_classes_do_not_overlap(n_classes: int) -> None:
    cells = cells_of(n_classes)
    names = [f"CD4-positive, alpha-beta memory T cell of the peripheral blood {i}" for i in range(n_classes)]
    cells.obs["kind"] = cells.obs["kind"].cat.rename_categories(names)
    ax = cc.pl.genes(cells, ["a", "b"])[-1]
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) == n_classes
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_classes_without_cells_leave_the_others_their_colours() -> None:
    cells = cells_of(3)
    cells.uns["kind_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    for label in ("kind", None):  # None: the only column that can be one
        ax = cc.pl.genes(cells[cells.obs["kind"] != "kind 1"], "a", label=label)[0]
        points = [each for each in ax.collections if not hasattr(each, "get_segments")]
        assert [to_hex(each.get_facecolor()[0]) for each in points] == ["#ff0000", "#0000ff"]
    cells.obs["kind"] = cells.obs["kind"].cat.set_categories(["kind 1", "kind 0", "kind 2", "kind 3"])
    ax = cc.pl.genes(cells, "a", label="kind")[0]  # fewer colours than categories: scanpy would draw new ones
    points = [each for each in ax.collections if not hasattr(each, "get_segments")]
    assert {to_hex(each.get_facecolor()[0]) for each in points} == {"#0072b2"}


def test_violins_are_the_density_along_a_logarithmic_axis() -> None:
    cells = cells_of(2, 100.0)
    ax = cc.pl.genes(cells, "a", kind="violin")[0]
    assert ax.get_yscale() == "symlog"
    values = np.log(cells.X[cells.obs["kind"] == "kind 1", 0])
    body = [each for each in ax.collections if not hasattr(each, "get_segments")][1]
    outline = body.get_paths()[0].vertices
    heights = np.linspace(values.min(), values.max(), 100)
    width = np.array([np.ptp(outline[np.isclose(np.log(outline[:, 1]), height), 0]) for height in heights])
    density = gaussian_kde(values)(heights)
    np.testing.assert_allclose(width / width.max(), density / density.max(), atol=1e-4)


def test_means_are_seen_on_dark_ground() -> None:
    with plt.style.context("dark_background"):
        ax = cc.pl.genes(cells_of(2), "a")[0]
        means = [each for each in ax.collections if hasattr(each, "get_segments")]
        assert {to_hex(each.get_color()[0]) for each in means} == {"#ffffff"}
