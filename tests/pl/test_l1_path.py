from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf import _slots

TRAININGS = [("none", 0.0), ("linear", 0.0), *(("l1", s) for s in (0.1, 1.0, 2.0, 9.0)), ("group_l1", 0.5)]
EDGES = np.linspace(-1, 1, 6)


def _path(*, tested: bool = True) -> cc.tl.L1Path:
    """Make up a path of five penalised trainings."""
    rng = np.random.default_rng(0)
    trainings = pd.DataFrame(TRAININGS, columns=["penalty", "strength"])
    for name in ("n_weights", "n_near_zero", "genes_left"):
        trainings[name] = rng.integers(1, 99, len(trainings))
    for name in ("mean", "sd", "min", "max"):
        trainings[name] = rng.random(len(trainings))
    for part in ("train", "valid", "test"):
        for measure in ("accuracy", "macro_f1", "log_loss"):
            trainings[f"{part}_{measure}"] = rng.random(len(trainings)) if tested or part != "test" else np.nan
    bins = [(*training, EDGES[i], EDGES[i + 1], rng.integers(1, 99)) for training in TRAININGS for i in range(5)]
    histograms = pd.DataFrame(bins, columns=["penalty", "strength", "left", "right", "count"])
    return cc.tl.L1Path(trainings, histograms, pd.DataFrame(index=pd.Index([], name="gene")))


@pytest.mark.parametrize("stored", [False, True], ids=["result", "adata"])
def test_every_panel_shows_its_training(stored: bool) -> None:
    path = _path()
    given = path
    if stored:
        given = AnnData(np.ones((2, 3), dtype=np.float32))
        tables = {
            name: {column: values.to_numpy() for column, values in getattr(path, name).items()}
            for name in ("trainings", "histograms")
        }
        given.uns["l1_path"] = _slots.record("tl.l1_path", {}, **tables)
    axes = cc.pl.l1_path(given)
    assert len(axes) == 7
    counts = path.histograms.groupby(["penalty", "strength"])["count"].apply(list)
    for panel, training in zip(axes, TRAININGS[2:], strict=False):
        filled, outline = panel.patches
        values, edges, _ = filled.get_data()
        assert values.tolist() == counts[training]
        np.testing.assert_allclose(edges, EDGES)
        assert outline.get_data().values.tolist() == counts["none", 0.0]
        assert panel.get_title(loc="left") == f"{training[0]} = {training[1]:g}"
    table = path.trainings
    for panel, names in ((axes[-2], ["genes_left"]), (axes[-1], ["valid_accuracy", "test_accuracy"])):
        level, linear, *lines = panel.lines
        assert [level.get_ydata()[0], linear.get_ydata()[0]] == table[names[0]][:2].tolist()
        drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]
        parts = [table[table["penalty"] == penalty] for penalty in ("l1", "group_l1")]
        assert drawn == [(part["strength"].tolist(), part[name].tolist()) for part in parts for name in names]


def test_without_test_rows_there_is_one_line_per_penalty() -> None:
    axes = cc.pl.l1_path(_path(tested=False))
    assert len(axes[-1].lines) == 4


def test_axes_can_be_given() -> None:
    axes = plt.subplots(1, 7)[1]
    assert list(cc.pl.l1_path(_path(), ax=axes)) == list(axes)
    with pytest.raises(ValueError, match="ax holds 2 axes; the picture has 7 panels"):
        cc.pl.l1_path(_path(), ax=axes[:2])
    with pytest.raises(ValueError, match="key='k' names a place in an AnnData"):
        cc.pl.l1_path(_path(), key="k")
    with pytest.raises(KeyError, match=r"Run `cc\.tl\.l1_path` first"):
        cc.pl.l1_path(AnnData(np.ones((2, 2), dtype=np.float32)))
