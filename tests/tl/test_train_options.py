"""What the settings of `Fit`, `checkpoint=` and `start=` do to a whole training."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import cellclf as cc
from cellclf.fit._optimiser import Optimiser

MLP = cc.nn.MLP(hidden=(8,))


def bits(classifier) -> dict[str, bytes]:
    networks = {"network": classifier.network, "linear": classifier.linear}
    return {f"{k}.{name}": w.numpy().tobytes() for k, n in networks.items() for name, w in n.state_dict().items()} | {
        "temperature": np.float64(classifier.temperature).tobytes(),
        "valid_loss": classifier.epochs["valid_loss"].tobytes(),
    }


class TestGroupLasso:
    def test_genes_that_left_weigh_nothing_anywhere(self, small_adata):
        fit = cc.Fit(epochs=40, batch_size=16, group_l1=0.03, learning_rate=0.02)
        classifier = cc.tl.train(small_adata, network=MLP, fit=fit, genes="all")
        out = classifier.gene_norms == 0
        assert 1 <= out.sum() < 30
        assert not out[:9].all()
        assert classifier.facts["genes_left"] == 30 - out.sum()
        assert "genes_left" in classifier.history
        assert cc.get.history(small_adata).equals(classifier.history)
        cc.tl.importance(small_adata, n_repeats=2)
        assert (small_adata.var["importance"].to_numpy()[out] == 0).all()
        again = cc.Classifier.from_bytes(classifier.to_bytes())
        assert again.options == fit
        assert again.history.equals(classifier.history)


class TestCheckpoint:
    def test_killed_in_any_stage_it_ends_with_the_same_bits(self, small_adata, quick, tmp_path):
        """Once on the training rows and once on all: 2 × 36 steps or so."""
        small_adata.write_h5ad(tmp_path / "a.h5ad")
        expected = cc.tl.train(small_adata.copy(), network=MLP, fit=quick, split=None)
        script = """
import os, signal, sys
import anndata, torch
import cellclf as cc
from cellclf.fit._optimiser import Optimiser
torch.set_num_threads(int(sys.argv[3]))
step, calls = Optimiser.step, []
def kill(*args):
    calls.append(1)
    if len(calls) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    step(*args)
Optimiser.step = kill
os.chdir(sys.argv[1])
fit = cc.Fit(epochs=6, batch_size=16, members=1, learning_rate=0.02)
cc.tl.train(anndata.read_h5ad("a.h5ad"), network=cc.nn.MLP(hidden=(8,)), fit=fit, split=None, checkpoint="runs/one")
"""
        files = []
        for step in (20, 60):
            command = [sys.executable, "-c", script, tmp_path, str(step), str(torch.get_num_threads())]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == -signal.SIGKILL, done.stderr
            files.append(sorted(file.name for file in (tmp_path / "runs/one").iterdir()))
        assert files[0] == ["train.safetensors"]
        assert len(files[1]) > 1
        resumed = cc.tl.train(small_adata, network=MLP, fit=quick, split=None, checkpoint=tmp_path / "runs/one")
        assert bits(resumed) == bits(expected)

    def test_it_changes_nothing_and_is_not_recorded(self, small_adata, quick, tmp_path, monkeypatch):
        expected = cc.tl.train(small_adata.copy(), network=MLP, fit=quick)
        classifier = cc.tl.train(small_adata, network=MLP, fit=quick, checkpoint=tmp_path / "x" / "y")
        assert bits(classifier) == bits(expected)
        assert "checkpoint" not in json.loads(small_adata.uns["cellclf"]["call"])
        assert str(tmp_path) not in str(small_adata.uns["cellclf"])
        monkeypatch.setattr(Optimiser, "step", lambda *_: pytest.fail("a step was made"))
        assert bits(cc.tl.train(small_adata, network=MLP, fit=quick, checkpoint=tmp_path / "x" / "y")) == bits(expected)

    def test_another_training_or_a_file_is_refused_and_nothing_written(self, small_adata, quick, tmp_path):
        cc.tl.train(small_adata.copy(), network=MLP, fit=quick, checkpoint=tmp_path / "a")
        (tmp_path / "b").write_text("x")
        for folder, fit, genes, word in [
            ("a", replace(quick, learning_rate=0.1), "auto", "learning_rate"),
            ("a", quick, ["gene0", "gene1"], "training rows"),
            ("b", quick, "auto", "is a file"),
        ]:
            with pytest.raises(ValueError, match=word):
                cc.tl.train(small_adata, network=MLP, fit=fit, genes=genes, checkpoint=tmp_path / folder)
        assert "split" not in small_adata.obs


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")  # it has hardly begun
@pytest.mark.parametrize("step", [1, 4])
def test_ctrl_c_before_the_first_epoch_is_over(small_adata, quick, monkeypatch, tmp_path, step):
    """There is no best epoch yet: what is there is returned, can be used and kept, and says that it is unfinished."""
    take, calls = Optimiser.step, []

    def stop(*args):
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        take(*args)

    monkeypatch.setattr(Optimiser, "step", stop)
    classifier = cc.tl.train(small_adata, network=MLP, fit=quick)
    assert len(calls) == step  # no refit after it
    assert classifier.facts["interrupted"]
    assert (len(classifier.history), classifier.facts["best_epoch"]) == (0, 0)
    small_adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    cc.tl.predict(back)
    np.testing.assert_allclose(back.obsm["cellclf_proba"].sum(axis=1), 1, rtol=1e-5)
    assert cc.get.history(back).equals(classifier.history)


def test_devices(small_adata, quick):
    pytest.importorskip("lightning_fabric")
    network = cc.nn.MLP(hidden=(8,), dropout=0.0)
    fit = replace(quick, input_dropout=0.0, optimiser="sgd", refit=False, device="cpu")
    one = cc.tl.train(small_adata.copy(), network=network, fit=fit)
    two = cc.tl.train(small_adata, network=network, fit=replace(fit, devices=2))
    for name in ("network", "linear"):
        weight = getattr(one, name).first_linear.weight
        assert weight.abs().max() > 0.01
        torch.testing.assert_close(getattr(two, name).first_linear.weight, weight, rtol=1e-3, atol=1e-4)
    assert two.temperature == pytest.approx(one.temperature, rel=0.01)
    cc.tl.predict(small_adata)


def test_out_of_memory_is_told_in_the_facts(small_adata, quick, monkeypatch):
    step, calls = Optimiser.step, []

    def short_of_memory(*args):
        calls.append(1)
        if len(calls) == 1:
            msg = "CUDA out of memory."
            raise torch.OutOfMemoryError(msg)
        step(*args)

    monkeypatch.setattr(Optimiser, "step", short_of_memory)
    with pytest.warns(UserWarning, match="batches of 8"):
        classifier = cc.tl.train(small_adata, network=MLP, fit=replace(quick, refit=False))
    assert classifier.facts["batch_size"] == 8
    assert classifier.options.batch_size == 16


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")  # of weights that are meant to stay
class TestStart:
    def other_genes(self, adata):
        """Half of the genes renamed, the order turned, another class beside."""
        other = adata[:, ::-1].copy()
        other.var_names = [name if int(name[4:]) < 15 else f"new{name}" for name in other.var_names]
        labels = other.obs["cell_type"].astype(str).to_numpy()
        labels[np.flatnonzero(labels == "B")[:15]] = "plasma"
        other.obs["cell_type"] = pd.Categorical(labels)
        return other

    def test_new_genes_and_classes_are_fresh_and_the_others_taken_over_by_name(self, small_adata, quick):
        first = cc.tl.train(small_adata, network=MLP, fit=quick)
        other = self.other_genes(small_adata)
        still = cc.Fit(epochs=1, learning_rate=1e-12, weight_decay=0, group_l1=0, refit=False)
        second = cc.tl.train(other, "cell_type", start=first, genes="all", fit=still)
        assert list(second.classes) == ["B", "NK", "T/CD4", "plasma"]
        assert list(second.genes) == list(other.var_names)
        hidden = [c.network.first_linear.weight.detach()[:8].numpy() for c in (first, second)]
        skips = [c.network.first_linear.weight.detach()[8:].numpy() for c in (first, second)]
        for gene in (0, 7, 14):
            here = list(second.genes).index(f"gene{gene}")
            np.testing.assert_allclose(hidden[1][:, here], hidden[0][:, gene], atol=1e-6)
            np.testing.assert_allclose(skips[1][:3, here], skips[0][:, gene], atol=1e-6)
            for name in ("offset", "divisor", "weight", "fill"):
                assert getattr(second.preprocessing, name)[here] == getattr(first.preprocessing, name)[gene]
        new = [i for i, name in enumerate(second.genes) if name.startswith("new")]
        learnt = cc.tl.train(other, "cell_type", genes="all", fit=still, network=MLP)
        np.testing.assert_array_equal(second.preprocessing.offset[new], learnt.preprocessing.offset[new])
        np.testing.assert_array_equal(second.preprocessing.weight[new], learnt.preprocessing.weight[new])
        assert np.abs(skips[1][3]).max() < 1e-6  # a skip starts at zero

    def test_fine_tuning_beats_a_fresh_start(self, small_adata):
        first = cc.tl.train(small_adata, fit=cc.Fit(epochs=40, batch_size=16))
        other = self.other_genes(small_adata)
        fit = cc.Fit(epochs=1, refit=False, learning_rate=1e-4, stacking=False)  # what the weights alone know
        losses = [
            cc.tl.train(other, "cell_type", genes="all", start=start, fit=fit).skill.loc["network", "accuracy"]
            for start in (first, None)
        ]
        assert losses[0] > losses[1]

    def test_without_fit_the_settings_of_the_inputs_are_those_of_start(self, small_adata, quick):
        fit = replace(quick, members=2, scale="minmax", information_power=0.0, preprocess="counts")
        first = cc.tl.train(small_adata, network=MLP, fit=fit)
        second = cc.tl.train(small_adata, start=first)
        for name in ("members", "scale", "information_power", "preprocess"):
            assert getattr(second.options, name) == getattr(fit, name)
        assert second.preprocessing.tensors().keys() == first.preprocessing.tensors().keys()
        for name, array in first.preprocessing.tensors().items():
            np.testing.assert_array_equal(second.preprocessing.tensors()[name], array)

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"network": cc.nn.Linear()}, "Leave network= out"),
            ({"fit": cc.Fit(members=3)}, r"Give Fit\(members=1\)"),
            ({"fit": cc.Fit(scale="minmax")}, r"Give Fit\(scale='zscore'\)"),
            ({"fit": cc.Fit(preprocess="none")}, r"Give Fit\(preprocess='counts'\)"),
        ],
        ids=["network", "members", "scale", "preprocess"],
    )
    def test_what_does_not_fit_is_refused(self, small_adata, quick, options, word):
        first = cc.tl.train(small_adata, network=MLP, fit=quick)
        with pytest.raises(ValueError, match=word):
            cc.tl.train(small_adata, start=first, **({"fit": quick} | options))

    def test_values_of_another_kind_are_refused(self, small_adata, quick):
        small_adata.layers["counts"] = small_adata.X.copy()
        small_adata.X = small_adata.X.log1p()
        counts = cc.tl.train(small_adata, network=MLP, fit=quick, layer="counts")
        logs = cc.tl.train(small_adata, network=MLP, fit=quick)
        before = set(small_adata.uns)
        for start, layer, kind in ((counts, None, "counts"), (logs, "counts", "none")):
            for fit in (None, quick):
                with pytest.raises(ValueError, match=rf"Name the layer .* Fit\(preprocess='{kind}'\)"):
                    cc.tl.train(small_adata, start=start, layer=layer, fit=fit, key_added="again")
            asked = cc.tl.train(small_adata, start=start, layer=layer, fit=replace(quick, preprocess=kind))
            assert asked.preprocessing.counts == (kind == "counts")
        assert set(small_adata.uns) == before

    def test_genes_that_are_not_there_are_named(self, small_adata, quick):
        first = cc.tl.train(small_adata, network=MLP, fit=quick)
        other = self.other_genes(small_adata)
        with pytest.raises(KeyError, match=r"15 of start's 30 genes .*genes='all'"):
            cc.tl.train(other, "cell_type", start=first)
        other.var_names = [f"x{name}" for name in other.var_names]
        with pytest.raises(ValueError, match="none of the 30 genes"):
            cc.tl.train(other, "cell_type", start=first, genes="all")


class TestOrderedNetworks:
    def test_genes_are_not_chosen_for_a_network_that_reads_their_order(self, small_adata, quick):
        with pytest.raises(ValueError, match="order"):
            cc.tl.train(small_adata, network=cc.nn.CNN1d(), fit=quick)
        assert "split" not in small_adata.obs


class TestWithoutLabel:
    network = cc.nn.Autoencoder(latent=3, hidden=(8,), head=False)

    def test_it_learns_to_reconstruct_and_needs_no_label(self, quick):
        rng = np.random.default_rng(0)
        x = (rng.normal(size=(150, 2)) @ rng.normal(size=(2, 10))).astype(np.float32)
        adata = ad.AnnData(x)
        classifier = cc.tl.train(adata, network=self.network, fit=replace(quick, epochs=40))
        assert classifier.history["valid_loss"].iloc[-1] < 0.5 < classifier.history["valid_loss"].iloc[0]
        assert classifier.history["valid_accuracy"].isna().all()
        assert list(classifier.classes) == []
        assert "cellclf_label" not in adata.uns
        assert "split" not in adata.obs
        cc.tl.predict(adata)
        assert adata.obsm["X_cellclf"].shape == (150, 3)

    @pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")
    def test_it_can_start_a_classifier(self, small_adata, quick):
        encoder = cc.tl.train(small_adata, network=self.network, fit=quick, key_added="encoder")
        head = replace(self.network, head=True)
        still = replace(quick, learning_rate=1e-12, weight_decay=0, epochs=1, refit=False)
        classifier = cc.tl.train(small_adata, network=head, start=encoder, fit=still)
        np.testing.assert_allclose(
            classifier.network.first_linear.weight.detach(), encoder.network.first_linear.weight.detach(), atol=1e-6
        )

    @pytest.mark.parametrize(
        ("options", "word"),
        [({"label": "cell_type"}, "Leave label out"), ({"fit": cc.Fit(sampling="balanced")}, "without a label")],
        ids=["label", "sampling"],
    )
    def test_what_has_no_meaning_is_refused(self, small_adata, options, word):
        with pytest.raises(ValueError, match=word):
            cc.tl.train(small_adata, network=self.network, **options)


def test_members_spread_goes_with_the_prediction(small_adata, quick):
    classifier = cc.tl.train(small_adata, network=MLP, fit=replace(quick, members=3))
    cc.tl.predict(small_adata)
    values = small_adata[:, classifier.genes].X.toarray().astype(np.float32)
    inputs = classifier.inputs(classifier.normalised(values, np.asarray(small_adata.X.sum(axis=1)).ravel()))
    with torch.no_grad():
        each = torch.softmax(
            classifier.network.by_member(torch.from_numpy(inputs)) / classifier.temperature, dim=2
        ).numpy()
    cells, best = np.arange(len(each)), small_adata.obsm["cellclf_proba"].argmax(axis=1)
    expected = np.stack([each[cells, member, best] for member in range(3)]).std(axis=0)
    np.testing.assert_allclose(small_adata.obs["cellclf_spread"], expected, rtol=1e-3, atol=1e-6)
    assert (small_adata.obs["cellclf_spread"] > 1e-5).any()
    cc.tl.train(small_adata, network=MLP, fit=quick, key_added="one")
    cc.tl.predict(small_adata, key_added="one")
    assert "one_spread" not in small_adata.obs
