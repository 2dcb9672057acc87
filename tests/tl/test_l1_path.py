from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from sklearn import metrics

import cellclf as cc
from cellclf.tl import _strengths

MLP = cc.nn.MLP(hidden=(8,), dropout=0.0)
FIT = cc.Fit(epochs=20, batch_size=32, learning_rate=0.02, device="cpu")


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give cells with a split and some wrong labels, so that no network is perfect."""
    cc.pp.split(small_adata, fractions=(0.5, 0.25, 0.25))
    wrong = np.random.default_rng(1).choice(120, 20, replace=False)
    small_adata.obs.iloc[wrong, 0] = np.random.default_rng(2).permutation(small_adata.obs.iloc[wrong, 0])
    return small_adata


def path_of(adata: AnnData, **options: object) -> cc.tl.L1Path:
    """Train a short path quickly."""
    return cc.tl.l1_path(adata, **({"l1": (1.0, 300.0), "group_l1": (0.01, 0.3), "network": MLP, "fit": FIT} | options))


def weights_of(network: object) -> np.ndarray:
    """Collect the matrices of an MLP one by one."""
    matrices = [network.first_linear.weight, *(linear.weight for linear in network.linears)]
    return np.concatenate([matrix.detach().numpy().ravel() for matrix in matrices])


@pytest.mark.parametrize("penalty", ["l1", "group_l1", "none"])
def test_each_row_is_the_training_with_that_penalty(adata: AnnData, penalty: str) -> None:
    strength = {"l1": 300.0, "group_l1": 0.01, "none": 0.0}[penalty]
    found = path_of(adata).trainings.set_index(["penalty", "strength"]).loc[(penalty, strength)]
    other = adata[adata.obs["split"] != "valid"].copy()
    other.obs["split"] = other.obs["split"].cat.remove_unused_categories()
    changes = {} if penalty == "none" else {penalty: strength}
    fit = cc.Fit(**{name: getattr(FIT, name) for name in ("epochs", "batch_size", "learning_rate")}, **changes)
    # the test rows stand for validation: with refit, training rows alone would be parted
    other.obs["split"] = other.obs["split"].astype(str).replace("test", "valid")
    classifier = cc.tl.train(other, "cell_type", network=MLP, fit=fit, genes="all", store=False)
    if int(classifier.facts["best_epoch"]) == FIT.epochs:  # then the last epoch was kept, as on the path
        weights = weights_of(classifier.network)
        assert found["n_weights"] == weights.size
        assert found["n_near_zero"] == (np.abs(weights) < 1e-5).sum()
        for name, value in {"mean": weights.mean(dtype=float), "sd": weights.std(dtype=float)}.items():
            assert found[name] == pytest.approx(value)
        assert (found["min"], found["max"]) == (weights.min(), weights.max())
        rows = adata[adata.obs["split"] == "valid"].copy()
        predicted = classifier.classes[classifier.predict_proba(rows.X).argmax(axis=1)]
        truth = rows.obs["cell_type"].astype(str)
        assert found["valid_accuracy"] == metrics.accuracy_score(truth, predicted)
        assert found["valid_macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    else:
        pytest.fail("the training kept an earlier epoch; nothing was compared")
