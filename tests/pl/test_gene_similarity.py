from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from matplotlib.colors import same_color

import cellclf as cc
from cellclf.pl import _gene_similarity

LABELS = _gene_similarity.LABELS


@pytest.fixture
def compared(small_adata: AnnData) -> AnnData:
    """Give genes compared in every way; the first nine mark three classes, the others none."""
    for metric in LABELS:
        cc.pp.gene_similarity(small_adata, metric=metric)
    cc.pp.gene_similarity(small_adata, n_neighbors=2, key_added="near")
    small_adata.var["marks"] = np.repeat(["B", "NK", "T", "none"], [3, 3, 3, 21])
    return small_adata


def named(ax: plt.Axes) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


@pytest.mark.parametrize("metric", LABELS)
def test_colours_are_the_values(compared, metric):
    ax = cc.pl.gene_similarity(compared, key=metric)
    square = cc.get.gene_similarity(compared, key=metric, genes=named(ax), square=True)
    drawn = np.asarray(ax.collections[0].get_array()).reshape(30, 30)
    np.testing.assert_array_equal(drawn, square.to_numpy(dtype=np.float64))
    assert ax.figure.axes[1].get_ylabel() == LABELS[metric]
    pairs = drawn[~np.eye(30, dtype=bool)]
    low, high = ax.collections[0].get_clim()
    assert low <= pairs.min()
    assert high == pytest.approx(abs(pairs).max(), rel=1e-6)
    assert [text.get_text() for text in ax.get_xticklabels()] == named(ax)


@pytest.mark.parametrize("metric", ["correlation", "jsd", "mi"])
def test_similar_genes_are_neighbours(compared, metric):
    names = named(cc.pl.gene_similarity(compared, key=metric))
    for kind in range(3):
        places = sorted(names.index(f"gene{3 * kind + j}") for j in range(3))
        assert places == list(range(places[0], places[0] + 3))


def test_some_genes_and_nearest_ones(compared):
    some = ["gene3", "gene4", "gene0", "gene29"]
    assert set(named(cc.pl.gene_similarity(compared, genes=some))) == set(some)
    ax = cc.pl.gene_similarity(compared, key="near")
    drawn = np.ma.masked_invalid(ax.collections[0].get_array()).reshape(30, 30)
    assert drawn.count() == compared.varp["near"].nnz + 30
    assert same_color(ax.get_facecolor(), "#d9d9d9")


def test_genes_without_values_are_left_out(compared):
    cc.pp.gene_similarity(compared, genes=["gene1", "gene2", "gene8"], key_added="few")
    assert set(named(cc.pl.gene_similarity(compared, key="few"))) == {"gene1", "gene2", "gene8"}


def test_groups_are_shown_above(compared):
    ax = cc.pl.gene_similarity(compared, groups="marks")
    strip = ax.child_axes[0].collections[0]
    codes = compared.var["marks"].astype("category").cat.codes.loc[named(ax)]
    np.testing.assert_array_equal(np.asarray(strip.get_array()).ravel(), codes)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["B", "NK", "T", "none"]
    compared.uns["marks_colors"] = ["#000000", "#ff0000", "#00ff00", "#0000ff"]
    ax = cc.pl.gene_similarity(compared, groups="marks", genes=["gene3", "gene7"])
    handles = ax.get_legend().get_patches()
    assert [handle.get_facecolor() for handle in handles] == [(1, 0, 0, 1), (0, 1, 0, 1)]


def test_many_groups_have_colours_of_their_own(compared):
    compared.var["own"] = [f"group {j}" for j in range(30)]
    handles = cc.pl.gene_similarity(compared, groups="own").get_legend().get_patches()
    assert len({handle.get_facecolor() for handle in handles}) == 30


@pytest.mark.parametrize("n", [12, 30])
def test_long_names_do_not_overlap(compared, n):
    compared.var_names = [f"ENSG0000000000{j}_chr1:1234567-1234999_and_more" for j in range(30)]
    ax = cc.pl.gene_similarity(compared, genes=list(compared.var_names[:n]))
    ax.figure.draw_without_rendering()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels]
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_many_genes_have_no_names():
    x = np.random.default_rng(0).random((20, 160))
    adata = AnnData(x)
    cc.pp.gene_similarity(adata)
    ax = cc.pl.gene_similarity(adata)
    assert ax.get_xlabel() == "160 genes"
    assert named(ax) == []
    assert cc.pl.gene_similarity(adata, genes=adata.var_names[:150]).get_xlabel() == ""


def test_the_figure_grows_with_the_genes(compared):
    small = cc.pl.gene_similarity(compared, genes=["gene1", "gene2", "gene3"]).figure.get_size_inches()
    assert (cc.pl.gene_similarity(compared).figure.get_size_inches() > small).all()


def test_every_name_is_inside_the_figure(compared):
    compared.var_names = [f"a rather long name of gene {j}" for j in range(30)]
    ax = cc.pl.gene_similarity(compared, groups="marks")
    ax.figure.canvas.draw()
    edge = ax.figure.bbox
    for text in [*ax.get_xticklabels(), *ax.get_yticklabels(), *ax.get_legend().get_texts()]:
        box = text.get_window_extent()
        assert box.x0 >= edge.x0 - 1
        assert box.y0 >= edge.y0 - 1
        assert box.x1 <= edge.x1 + 1
        assert box.y1 <= edge.y1 + 1


def test_draws_on_given_axes(compared):
    given = plt.subplots()[1]
    assert cc.pl.gene_similarity(compared, ax=given) is given
    assert len(plt.get_fignums()) == 1


def test_alike_or_opposite_throughout():
    adata = AnnData(np.array([[0.0, 1, 2], [1, 2, 1], [2, 3, 0]]))
    for metric in ("correlation", "mi"):
        cc.pp.gene_similarity(adata, metric=metric)
        assert len(named(cc.pl.gene_similarity(adata, key=metric))) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "nope"}, KeyError, "adata.varp holds no 'nope'"),
        ({"groups": "nope"}, KeyError, "groups='nope' is not in adata.var"),
        ({"genes": ["gene1"]}, ValueError, "1 genes cannot be drawn"),
        ({"genes": [f"gene{j}" for j in range(2001)]}, ValueError, "2,001 genes cannot be drawn"),
        ({"genes": ["gene1", "nope"]}, KeyError, "'nope' are not in adata.var_names"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_calls(compared, options, error, message):
    with pytest.raises(error, match=message):
        cc.pl.gene_similarity(compared, **options)
