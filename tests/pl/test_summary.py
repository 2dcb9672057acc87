from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc


def first_look(
    n_classes: int = 4, *, x: np.ndarray | None = None, split: bool = True, covariates: list[str] | None = None
) -> AnnData:
    """Take a first look at 240 cells × 40 genes."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(1, 20, 40), (240, 40)).astype(np.float32) if x is None else x
    names = [f"class {i} with a rather long name, $a$/b" for i in range(n_classes)]
    obs = pd.DataFrame(
        {
            "label": pd.Categorical(np.array(names)[rng.integers(0, n_classes, 240)], categories=names),
            "age": np.where(rng.random(240) < 0.1, np.nan, rng.normal(60, 10, 240)),
            "sex": pd.Categorical(rng.choice(["male", "female"], 240)),
            "disease": [f"disease {i}" for i in rng.geometric(0.1, 240).clip(max=30)],
        },
        index=[f"c{i}" for i in range(240)],
    )
    adata = AnnData(x, obs=obs)
    if split:
        adata.obs["split"] = pd.Categorical(rng.choice(["train", "valid", "test"], 240, p=[0.6, 0.2, 0.2]))
    cc.pp.summary(adata, "label", covariates=covariates)
    return adata


@pytest.fixture
def adata() -> AnnData:
    return first_look()


def test_one_panel_each(adata: AnnData) -> None:
    axes, n_low = cc.pl.summary(adata), cc.get.overview(adata, "matrix").loc[0, "low_spread_genes"]
    assert isinstance(axes, np.ndarray)
    assert [ax.get_title(loc="left").split("\n")[0] for ax in axes] == [
        "4 classes, 240 cells",
        "Seem to be counts",
        f"{n_low} of 40 genes below 0.1,",
        f"age ({adata.obs['age'].isna().sum()} missing)",
        "sex",
        "disease",
    ]
    assert len(plt.get_fignums()) == 1


def test_classes_are_stacked_by_split(adata: AnnData) -> None:
    ax, table = cc.pl.summary(adata)[0], cc.get.overview(adata)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "valid", "test"]
    for number, name in enumerate(("train", "valid", "test")):
        assert [bar.get_width() for bar in ax.containers[number]] == table[name].to_list()
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[2]]
    assert ends == table["cells"].to_list()
    assert [text.get_text() for text in ax.texts] == [f"{n:,}" for n in table["cells"]]


def test_cells_in_no_part_are_shown() -> None:
    adata = first_look()
    adata.obs.loc[adata.obs_names[:40], "split"] = None
    cc.pp.summary(adata, "label")
    ax, table = cc.pl.summary(adata)[0], cc.get.overview(adata)
    assert ax.get_legend().get_texts()[-1].get_text() == "in no part"
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    assert ends == table["cells"].to_list()
    assert sum(bar.get_width() for bar in ax.containers[-1]) == 40


def test_without_a_split_there_is_no_legend() -> None:
    ax = cc.pl.summary(first_look(split=False))[0]
    assert ax.get_legend() is None
    assert len(ax.containers) == 1


def test_bars_are_the_tables(adata: AnnData) -> None:
    axes = cc.pl.summary(adata)
    values, spread = cc.get.overview(adata, "values"), cc.get.overview(adata, "spread")
    np.testing.assert_allclose([b.get_height() for b in axes[1].patches], values["values"] / values["values"].sum())
    assert [b.get_height() for b in axes[2].patches] == spread["genes"].to_list()
    table = cc.get.overview(adata, "covariates").set_index("covariate")
    age = table.loc["age"]
    assert [b.get_height() for b in axes[3].patches] == age.loc[age["kind"] == "numeric", "cells"].to_list()
    assert [b.get_width() for b in axes[5].patches] == table.loc["disease", "cells"].to_list()
    assert axes[5].get_yticklabels()[-1].get_text().endswith("others")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda x: x, "Seem to be counts\n", id="counts"),
        pytest.param(lambda x: (x > 9) * 1.0, "Seem to be binary\n", id="binary"),
        pytest.param(lambda x: np.log1p(1e4 * x / x.sum(1, keepdims=True)), "to 10,000 per row)\n", id="log1p"),
        pytest.param(
            lambda x: np.log1p(1e4 * x / x.sum(1, keepdims=True))[:, :20], "normalised)\n", id="log1p-of-some"
        ),
        pytest.param(lambda x: x / x.sum(1, keepdims=True), "Seem to be shares of 1 per row\n", id="shares"),
        pytest.param(lambda x: x - 5, "Kind of values not recognised\n", id="other"),
        pytest.param(lambda x: 0 * x, "Kind of values not recognised\n100.0% zeros", id="zeros"),
    ],
)
def test_the_title_says_what_x_holds(change: Callable[[np.ndarray], np.ndarray], told: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(1, 20, 40), (240, 40)).astype(np.float64)
    x[:, 0] = 1
    ax = cc.pl.summary(first_look(x=change(x).astype(np.float32)))[1]
    assert told in ax.get_title(loc="left")


def test_counts_that_go_far_have_bins_that_double(adata: AnnData) -> None:
    names = [label.get_text() for label in cc.pl.summary(adata)[1].get_xticklabels()]
    assert names[:4] == ["1", "2", "3–4", "5–8"]


def test_a_choice_of_covariates(adata: AnnData) -> None:
    axes = cc.pl.summary(adata, covariates=["sex"])
    assert [ax.get_title(loc="left") for ax in axes[3:]] == ["sex"]
    with pytest.raises(KeyError, match=r"covariates=\['x'\] cannot be drawn.*'age'"):
        cc.pl.summary(adata, covariates=["sex", "x"])
    with pytest.raises(KeyError, match=r"covariates='sex' cannot be drawn\. Give a list"):
        cc.pl.summary(adata, covariates="sex")


def test_draws_on_given_axes(adata: AnnData) -> None:
    given = plt.subplots(2, 3)[1]
    assert list(cc.pl.summary(adata, ax=given)) == list(given.ravel())
    assert len(plt.get_fignums()) == 1
    with pytest.raises(ValueError, match=r"ax holds 1 axes; the summary has 6 panels\. Give 6"):
        cc.pl.summary(adata, ax=given[0, :1])


@pytest.mark.parametrize("n_classes", [2, 9, 40])
@pytest.mark.parametrize("covariates", [[], None], ids=["none", "three"])
def test_nothing_is_cut_or_overlaps(n_classes: int, covariates: list[str] | None) -> None:
    axes = cc.pl.summary(first_look(n_classes, covariates=covariates))
    figure = axes[0].get_figure(root=True)
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [ax.get_tightbbox() for ax in axes]
    for box in boxes:
        assert -1 <= box.x0 < box.x1 <= width + 1
        assert -1 <= box.y0 < box.y1 <= height + 1
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
    names = [label.get_window_extent() for label in axes[0].get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in pairwise(names))


def test_very_many_classes_are_drawn_by_size() -> None:
    adata = first_look(120)
    ax, table = cc.pl.summary(adata)[0], cc.get.overview(adata)
    assert ax.figure.get_size_inches()[1] < 6
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    assert ends == sorted(table["cells"], reverse=True)
    assert ax.get_title(loc="left").endswith(f"{table['cells'].min()} to {table['cells'].max()} in a class")
    assert (ax.get_ylabel(), len(ax.get_yticks()), len(ax.texts)) == ("Classes, the largest first", 0, 0)
