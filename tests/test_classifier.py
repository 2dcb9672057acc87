from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import cellclf as cc
from cellclf import _tensors

FIT = cc.Fit(epochs=6, batch_size=16, learning_rate=0.02)


@pytest.fixture(params=[cc.nn.MLP(hidden=(8, 4)), cc.nn.Linear()], ids=["mlp", "linear"])
def classifier(request, small_adata):
    return cc.tl.train(small_adata, network=request.param, fit=FIT)


def test_saved_and_loaded_predicts_the_same_bits(classifier, small_adata, tmp_path):
    x, totals = small_adata.X, small_adata.X.toarray().sum(axis=1)
    classifier.save(tmp_path / "m.safetensors")
    back = cc.Classifier.load(tmp_path / "m.safetensors")
    assert back.predict_proba(x, totals=totals).tobytes() == classifier.predict_proba(x, totals=totals).tobytes()
    assert back.embed(x, totals=totals).tobytes() == classifier.embed(x, totals=totals).tobytes()
    assert back.to_bytes() == classifier.to_bytes()
    assert list(back.classes) == list(classifier.classes)
    assert list(back.genes) == list(classifier.genes)
    assert (back.description, back.options) == (classifier.description, classifier.options)
    assert back.history.equals(classifier.history)


def test_it_is_shown_in_one_line_however_many_classes_there_are(classifier):
    assert repr(classifier) == f"Classifier of 3 classes (B, NK, T/CD4) by 30 genes, {classifier.description}"
    many = dataclasses.replace(classifier, classes=np.array([f"kind{i}" for i in range(300)], dtype=object))
    assert repr(many).startswith("Classifier of 300 classes (kind0, kind1, kind2, kind3, kind4, …) by 30 genes, ")


def test_another_process_predicts_the_same_bits(classifier, small_adata, tmp_path):
    """In a fresh interpreter: nothing but the file carries the model."""
    small_adata.write_h5ad(tmp_path / "a.h5ad")
    cc.tl.predict(small_adata)
    code = (
        "import anndata as ad, cellclf as cc, sys\n"
        "adata = ad.read_h5ad(sys.argv[1]); cc.tl.predict(adata)\n"
        "sys.stdout.write(adata.obsm['cellclf_proba'].tobytes().hex())"
    )
    out = subprocess.run([sys.executable, "-c", code, tmp_path / "a.h5ad"], capture_output=True, text=True, check=True)
    assert bytes.fromhex(out.stdout) == small_adata.obsm["cellclf_proba"].tobytes()


def test_agrees_with_predict(classifier, small_adata):
    cc.tl.predict(small_adata)
    totals = np.asarray(small_adata.X.sum(axis=1)).ravel()
    proba = classifier.predict_proba(small_adata[:, classifier.genes].X, totals=totals)
    assert proba.tobytes() == small_adata.obsm["cellclf_proba"].tobytes()
    embedding = classifier.embed(sp.csc_matrix(small_adata.X), totals=totals)
    assert embedding.tobytes() == small_adata.obsm["X_cellclf"].tobytes()


def test_what_does_not_fit_is_refused(classifier, small_adata):
    x = small_adata.X.toarray()
    with pytest.raises(ValueError, match="totals"):
        classifier.predict_proba(x)
    with pytest.raises(ValueError, match="30 genes"):
        classifier.predict_proba(x[:, :5], totals=x.sum(axis=1))
    with pytest.raises(ValueError, match="infinite"):
        classifier.predict_proba(np.where(x > 8, np.inf, x), totals=x.sum(axis=1))


def test_nan_is_refused_by_the_plain_interface(classifier, small_adata):
    x = small_adata.X.toarray()
    x[3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        classifier.predict_proba(x, totals=np.nansum(x, axis=1))


def test_no_cells_give_no_rows(classifier):
    assert classifier.predict_proba(np.empty((0, 30), dtype=np.float32), totals=np.empty(0)).shape == (0, 3)


def test_file_is_safetensors_with_a_json_header(classifier, tmp_path):
    from safetensors import safe_open

    classifier.save(tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", "np") as file:
        header = json.loads(file.metadata()["cellclf"])
        weight = file.get_tensor("network.first_linear.weight")
    assert header["classes"] == ["B", "NK", "T/CD4"]
    np.testing.assert_array_equal(weight, classifier.network.first_linear.weight.detach())


def test_a_later_format_is_refused(classifier):
    tensors, header = _tensors.unpack(classifier.to_bytes())
    with pytest.raises(ValueError, match="Update cellclf"):
        cc.Classifier.from_bytes(_tensors.pack(tensors, header | {"format": 99}))


def test_damaged_weights_are_refused(classifier):
    tensors, header = _tensors.unpack(classifier.to_bytes())
    del tensors["network.first_linear.bias"]
    with pytest.raises(ValueError, match="first_linear"):
        cc.Classifier.from_bytes(_tensors.pack(tensors, header))


def test_skill_and_history_are_frames(classifier):
    assert list(classifier.skill.index) == ["network", "linear", "prior"]
    assert {"epoch", "train_loss", "valid_loss", "valid_accuracy", "valid_macro_f1"} <= set(classifier.history)
    assert list(classifier.history["epoch"]) == list(range(1, 7))


def test_history_shows_columns_that_only_some_trainings_have(classifier):
    left = dataclasses.replace(classifier, epochs=classifier.epochs | {"genes_left": np.arange(6.0)})
    assert list(left.history.columns) == [*classifier.history.columns, "genes_left"]
    assert list(left.history["genes_left"]) == list(range(6))
