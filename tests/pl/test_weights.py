from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData

import cellclf as cc

FIT = cc.Fit(epochs=12, device="cpu")


def shown(ax: plt.Axes) -> np.ndarray:
    return ax.collections[0].get_array().filled(np.nan)


def test_input_and_output_weights(small_adata: AnnData) -> None:
    network = cc.nn.MLP(hidden=(6,), dropout=0, skip=True)
    clf = cc.tl.train(small_adata, "cell_type", network=network, fit=FIT, genes="all")
    axes = cc.pl.weights(clf, n_genes=7)
    into = (clf.network.first_linear.weight.detach().numpy() * clf.preprocessing.weight)[:6].T
    out = clf.network.linears[0].weight.detach().numpy()[0]
    first = np.argsort(-np.linalg.norm(into, axis=1), kind="stable")[:7]
    order = sorted(range(6), key=lambda unit: (out[:, unit].argmax(), -out[:, unit].max()))
    np.testing.assert_allclose(shown(axes[0]), into[first][:, order])
    np.testing.assert_allclose(shown(axes[1]), out[:, order])
    assert [label.get_text() for label in axes[0].get_yticklabels()] == clf.genes[first].tolist()
    assert [label.get_text() for label in axes[1].get_yticklabels()] == ["B", "NK", "T/CD4"]
    for ax in axes:
        low, high = ax.collections[0].get_clim()
        assert low == -high < 0
    given = plt.subplots(2)[1]
    assert list(cc.pl.weights(clf, ax=given)) == list(given)
    with pytest.raises(ValueError, match="ax holds 1 axes; the picture has 2"):
        cc.pl.weights(clf, ax=given[:1])
    with pytest.raises(ValueError, match="n_genes=0 is no number"):
        cc.pl.weights(clf, n_genes=0)


def test_a_linear_network_has_one_panel(small_adata: AnnData) -> None:
    clf = cc.tl.train(small_adata, "cell_type", network=cc.nn.Linear(), fit=FIT, genes="all")
    ax = cc.pl.weights(clf, n_genes=5)
    assert shown(ax).shape == (5, 3)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["B", "NK", "T/CD4"]


def test_many_classes_keep_their_names_apart(small_adata: AnnData) -> None:
    names = [f"a class with quite a long name, number {i}" for i in range(40)]
    small_adata.obs["fine"] = np.array(names)[np.arange(small_adata.n_obs) % 40]
    with pytest.warns(UserWarning, match="it has learnt nothing of use"):
        clf = cc.tl.train(small_adata, "fine", network=cc.nn.Linear(), fit=FIT, genes="all", split=None)
    ax = cc.pl.weights(clf)
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) == 40
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_what_is_no_small_network_is_refused(small_adata: AnnData) -> None:
    with pytest.raises(TypeError, match="adata is a AnnData"):
        cc.pl.weights(small_adata)
    network = cc.nn.MLP(hidden=(6, 5), dropout=0)
    clf = cc.tl.train(small_adata, "cell_type", network=network, fit=FIT, genes="all")
    with pytest.raises(TypeError, match="no small picture"):
        cc.pl.weights(clf)
