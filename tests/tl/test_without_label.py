"""A network that needs no label: it gives an embedding, and nothing that only classes could give."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

import cellclf as cc

NETWORK = cc.nn.Autoencoder(latent=4, hidden=(16,), head=False)
FIT = cc.Fit(epochs=10, batch_size=16, learning_rate=0.01)


@pytest.fixture
def unlabelled(small_adata):
    adata = small_adata.copy()
    del adata.obs["cell_type"], adata.uns["cell_type_colors"]
    return adata


def test_the_embedding_is_all_that_is_written(unlabelled):
    classifier = cc.tl.train(unlabelled, network=NETWORK, fit=FIT)
    assert list(unlabelled.uns) == ["cellclf"]
    assert len(unlabelled.obs.columns) == 0
    cc.tl.predict(unlabelled)
    assert set(unlabelled.uns) == {"cellclf", "cellclf_predict"}
    assert list(unlabelled.obsm) == ["X_cellclf"]
    assert unlabelled.obsm["X_cellclf"].shape == (120, 4)
    assert len(unlabelled.obs.columns) == 0
    assert len(classifier.classes) == 0
    assert classifier.skill.empty
    assert classifier.history["valid_loss"].iloc[-1] < classifier.history["valid_loss"].iloc[0]
    assert classifier.history["valid_accuracy"].isna().all()


@pytest.mark.parametrize("kind", ["h5ad", "zarr", "safetensors"])
def test_it_is_stored_and_read_back(kind, unlabelled, tmp_path):
    classifier = cc.tl.train(unlabelled, network=NETWORK, fit=FIT)
    cc.tl.predict(unlabelled)
    expected = unlabelled.obsm.pop("X_cellclf")
    if kind == "safetensors":
        classifier.save(tmp_path / "m")
        assert cc.Classifier.load(tmp_path / "m").to_bytes() == classifier.to_bytes()
        cc.tl.predict(unlabelled, tmp_path / "m")
        assert unlabelled.obsm["X_cellclf"].tobytes() == expected.tobytes()
    else:
        getattr(unlabelled, f"write_{kind}")(tmp_path / "a")
        back = getattr(ad, f"read_{kind}")(tmp_path / "a")
        cc.tl.predict(back)
        assert back.obsm["X_cellclf"].tobytes() == expected.tobytes()


def test_the_same_seed_gives_the_same_bits(unlabelled):
    first, second = (cc.tl.train(unlabelled.copy(), network=NETWORK, fit=FIT, rng=3) for _ in range(2))
    state = second.network.state_dict()
    assert all(weight.equal(state[name]) for name, weight in first.network.state_dict().items())


def test_the_label_plays_no_part(small_adata, unlabelled):
    with_label = cc.tl.train(small_adata, network=NETWORK, fit=FIT)
    without = cc.tl.train(unlabelled, network=NETWORK, fit=FIT)
    for name, weight in with_label.network.state_dict().items():
        assert weight.equal(without.network.state_dict()[name])


def test_test_rows_play_no_part(unlabelled):
    rows = np.resize(["train", "train", "valid", "test"], 120)
    unlabelled.obs["split"] = rows
    before = cc.tl.train(unlabelled, network=NETWORK, fit=FIT).network.state_dict()
    x = unlabelled.X.toarray()
    x[rows == "test"] = 7
    unlabelled.X = x
    after = cc.tl.train(unlabelled, network=NETWORK, fit=FIT).network.state_dict()
    assert all(weight.equal(after[name]) for name, weight in before.items())


def test_its_embedding_can_be_classified(small_adata):
    cc.tl.train(small_adata, network=NETWORK, fit=FIT, key_added="ae")
    cc.tl.predict(small_adata, key_added="ae")
    fit = cc.Fit(epochs=30, batch_size=16, learning_rate=0.02, preprocess="none")
    cc.tl.train(small_adata, "cell_type", use_rep="X_ae", network=cc.nn.MLP(hidden=(8,)), fit=fit)
    assert cc.tl.evaluate(small_adata).accuracy > 0.9


def test_a_head_can_be_put_on_afterwards(small_adata):
    """The encoder starts as it was: with next to no learning rate it stays that way, with one the head learns."""
    without = cc.tl.train(small_adata, network=NETWORK, fit=FIT, key_added="ae")
    network = cc.nn.Autoencoder(latent=4, hidden=(16,))
    still = cc.Fit(epochs=1, batch_size=120, learning_rate=1e-12)
    with pytest.warns(UserWarning, match="learnt nothing of use"):
        begun = cc.tl.train(small_adata, "cell_type", network=network, start=without, fit=still)
    assert begun.preprocessing.fill.tobytes() == without.preprocessing.fill.tobytes()
    old = without.network.state_dict()
    for name, weight in begun.network.state_dict().items():
        if name in old and "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(weight, old[name], atol=1e-6)
    fit = cc.Fit(epochs=30, batch_size=16, learning_rate=0.02)
    cc.tl.train(small_adata, "cell_type", network=network, start=without, fit=fit)
    assert cc.tl.evaluate(small_adata).accuracy > 0.9


def test_missing_genes_are_filled_as_elsewhere(unlabelled):
    cc.tl.train(unlabelled, network=NETWORK, fit=FIT)
    fewer = unlabelled[:, unlabelled.var_names != "gene20"].copy()
    with pytest.warns(UserWarning, match="1 of the classifier's 30 genes"):
        cc.tl.predict(fewer, unlabelled)
    assert np.isfinite(fewer.obsm["X_cellclf"]).all()


def test_what_needs_classes_is_refused(small_adata):
    classifier = cc.tl.train(small_adata, network=NETWORK, fit=FIT)
    old = set(small_adata.uns), set(small_adata.var)
    with pytest.raises(ValueError, match="trained without a label"):
        cc.tl.evaluate(small_adata)
    for method in ("permutation", "weights"):
        with pytest.raises(ValueError, match="trained without a label"):
            cc.tl.importance(small_adata, method=method)
    with pytest.raises(ValueError, match=r"use_rep='X_cellclf'"):
        classifier.predict_proba(small_adata.X, totals=np.ones(120))
    assert (set(small_adata.uns), set(small_adata.var)) == old
    with pytest.raises(ValueError, match="learns without a label"):
        cc.tl.train(small_adata, "cell_type", network=NETWORK, fit=FIT)


def test_embed_on_plain_arrays(unlabelled):
    classifier = cc.tl.train(unlabelled, network=NETWORK, fit=FIT)
    cc.tl.predict(unlabelled)
    totals = np.asarray(unlabelled.X.sum(axis=1)).ravel()
    assert classifier.embed(unlabelled.X, totals=totals).tobytes() == unlabelled.obsm["X_cellclf"].tobytes()
