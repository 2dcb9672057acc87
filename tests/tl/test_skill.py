"""What a classifier knows of its own worth: network, linear network and class prior on the same validation rows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss

import cellclf as cc

MLP = cc.nn.MLP(hidden=(8,))


def test_it_is_what_scikit_learn_says_of_the_validation_rows(small_adata, quick):
    """Rows marked valid, so that the network that is judged is the one that is returned."""
    small_adata.obs["split"] = np.resize(["train", "train", "valid", "test"], 120)
    classifier = cc.tl.train(small_adata, network=MLP, fit=quick, genes="all")
    valid = small_adata[small_adata.obs["split"] == "valid"]
    train = small_adata.obs["cell_type"][small_adata.obs["split"] == "train"]
    x, totals = valid.X.toarray(), np.asarray(valid.X.sum(axis=1)).ravel()
    inputs = classifier.inputs(classifier.normalised(x.copy(), totals))
    layer = classifier.linear.first_linear
    logits = inputs @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    said = {
        "network": classifier.predict_proba(x, totals=totals),
        "linear": softmax(logits / classifier.linear_temperature, axis=1),
        "prior": np.tile(train.value_counts(normalize=True).sort_index().to_numpy(), (len(valid), 1)),
    }
    assert list(classifier.skill.index) == list(said)
    truth = valid.obs["cell_type"].astype(str).to_numpy()
    for name, proba in said.items():
        calls, line = classifier.classes[proba.argmax(axis=1)].astype(str), classifier.skill.loc[name]
        exact = proba.astype(np.float64) / proba.sum(axis=1, keepdims=True, dtype=np.float64)
        assert line["log_loss"] == pytest.approx(log_loss(truth, exact), rel=1e-5), name
        assert line["accuracy"] == pytest.approx(accuracy_score(truth, calls)), name
        assert line["macro_f1"] == pytest.approx(f1_score(truth, calls, average="macro")), name


def test_a_network_that_has_learnt_is_not_warned_of(small_adata, quick):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cc.tl.train(small_adata, network=MLP, fit=quick)


def test_it_is_kept_with_the_model(small_adata, quick, tmp_path):
    classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
    classifier.save(tmp_path / "m")
    again = cc.Classifier.load(tmp_path / "m")
    assert again.skill.equals(classifier.skill)
    assert list(again.skill.index) == ["network", "linear", "prior"]
