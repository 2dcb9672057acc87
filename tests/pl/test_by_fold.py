from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import cellclf as cc
from cellclf.pl._display import BLUE, GREY, ORANGE

MEASURES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")


def folds_of(schemes, models):
    rng = np.random.default_rng(0)
    lines = [
        {"scheme": s, "repeat": 1, "fold": str(f + 1), "model": m, "n_train": 8, "n_test": 2}
        | dict(zip(MEASURES, rng.random(4), strict=True))
        | {"seconds": np.nan if m in ("linear", "prior") else 1.5, "settings": ""}
        for s in schemes
        for f in range(3)
        for m in models
    ]
    return pd.DataFrame(lines)


@pytest.fixture
def validation():
    folds = folds_of(("grouped", "random"), ("network", "linear", "prior")).drop(columns="settings")
    return cc.tl.CrossValidation(pd.DataFrame(), folds, pd.DataFrame(), pd.DataFrame(), None)


@pytest.fixture
def comparison():
    return cc.tl.Baselines(pd.DataFrame(), folds_of(("random",), ("network", "linear", "prior", "svc", "forest")))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_cross_validation_shows_each_fold(validation, measure):
    ax = cc.pl.cross_validation(validation, measure=measure)
    rows = [text.get_text() for text in ax.get_yticklabels()]
    assert rows[0] == "network, groups apart"
    assert len(rows) == 6
    assert [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1] == [2.5]  # between two schemes
    part = validation.folds.query("model == 'linear' and scheme == 'random'")
    points = ax.collections[rows.index("linear, random folds")].get_offsets()
    np.testing.assert_allclose(points[:, 0], part[measure])
    assert np.abs(points[:, 1] - rows.index("linear, random folds")).max() < 0.3


def test_the_best_model_is_on_top_and_time_beside_it(comparison):
    axes = cc.pl.baselines(comparison)
    rows = [text.get_text() for text in axes[0].get_yticklabels()]
    means = comparison.folds.groupby("model")["macro_f1"].mean().sort_values(ascending=False)
    assert rows == list(means.index)
    assert [text.get_text() for text in axes[1].texts] == [
        "with the network" if name in ("linear", "prior") else "1.5 s" for name in rows
    ]
    losses = comparison.folds.groupby("model")["log_loss"].mean().sort_values()
    rows = [text.get_text() for text in cc.pl.baselines(comparison, measure="log_loss")[0].get_yticklabels()]
    assert rows == list(losses.index)


def test_own_axes_serve(comparison, validation):
    axes = plt.subplots(1, 2)[1]
    assert cc.pl.baselines(comparison, ax=axes)[0] is axes[0]
    assert cc.pl.cross_validation(validation, ax=axes[1]) is axes[1]


def test_bad_calls(comparison, validation):
    for draw, given in ((cc.pl.baselines, comparison), (cc.pl.cross_validation, validation)):
        with pytest.raises(ValueError, match="measure='auc'"):
            draw(given, measure="auc")
        with pytest.raises(ValueError, match="Leave key out"):
            draw(given, key="x")
        with pytest.raises(TypeError, match="adata is a int"):
            draw(3)


@pytest.fixture
def search():
    trials = pd.DataFrame(
        {
            "state": ["complete", "pruned", "complete", "complete"],
            "value": [0.7, 0.2, 0.4, 0.5],
            "n_folds": [3, 1, 3, 3],
            "seconds": 1.0,
            "fit.learning_rate": [1e-4, 1e-3, 1e-2, 2e-2],
            "network.hidden": ["(4,)", "(4,)", "(8,)", "(4,)"],
        }
    )
    trials.attrs["logarithmic"] = ["fit.learning_rate"]
    return cc.tl.Tuning(trials, cc.Fit(), cc.nn.MLP(), 0.4, "log_loss")


def test_a_search_shows_its_trials_and_settings(search):
    axes = cc.pl.tune(search)
    assert [ax.get_xlabel() for ax in axes] == ["Trial", "learning_rate", "hidden"]
    for ax in axes:
        colours = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
        assert colours == [to_hex(colour) for colour in (BLUE, GREY, ORANGE, BLUE)]
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), [0.7, 0.7, 0.4, 0.4])
    assert axes[1].get_xscale() == "log"
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["all folds", "given up", "best"]
    assert [text.get_text() for text in axes[2].get_xticklabels()] == ["(4,)", "(8,)"]
    with pytest.raises(ValueError, match="Leave key out"):
        cc.pl.tune(search, key="x")
    with pytest.raises(TypeError, match="adata is a int"):
        cc.pl.tune(3)
