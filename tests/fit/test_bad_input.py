"""What no training can be made of, from the options of `Fit` to the disk: said in a sentence, with a remedy, and nothing written."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cellclf as cc
from cellclf.fit import Fit, Rows, train
from cellclf.fit._hardware import device_of
from cellclf.tl import _learn

QUICK = Fit(epochs=6, batch_size=16, learning_rate=0.02)
MLP = cc.nn.MLP(hidden=(8,))


class TestAClassWithoutTrainingRows:
    @pytest.mark.parametrize("elsewhere", ["test", "valid"])
    def test_it_is_named_and_left_out(self, small_adata, elsewhere):
        is_b = (small_adata.obs["cell_type"] == "B").to_numpy()
        small_adata.obs["split"] = np.where(is_b, elsewhere, "train")
        small_adata.obs.loc[small_adata.obs_names[~is_b][:30], "split"] = elsewhere
        with pytest.warns(UserWarning, match="No training row has the class 'B'.*Mark some of its cells"):
            classifier = cc.tl.train(small_adata, network=MLP, fit=QUICK)
        assert list(classifier.classes) == ["NK", "T/CD4"]
        assert classifier.prior.sum() == pytest.approx(1)
        cc.tl.predict(small_adata)
        with pytest.warns(UserWarning, match="40 cells have classes that the classifier never saw .'B'."):
            assert cc.tl.evaluate(small_adata).n_rows == 30

    def test_of_two_classes_one_is_not_enough(self, small_adata):
        pair = small_adata[small_adata.obs["cell_type"] != "B"].copy()
        pair.obs["split"] = np.where(pair.obs["cell_type"] == "NK", "train", "test")
        with pytest.raises(ValueError, match="only 'NK' among the training rows; two classes are needed"):
            cc.tl.train(pair, network=MLP, fit=QUICK)


class TestOneRowPerBatch:
    @pytest.mark.parametrize(
        "network",
        [
            cc.nn.MLP((4,)),
            cc.nn.MLP((4,), batch_norm="after"),
            cc.nn.MLP((4, 4), batch_norm=[None, "before"]),
            cc.nn.CNN1d((2,), hidden=(4,)),
            cc.nn.Autoencoder(latent=3, hidden=(4,)),
        ],
        ids=["before", "after", "in one layer", "CNN1d", "Autoencoder"],
    )
    def test_batch_norm_refuses_it(self, small_adata, network):
        fit = Fit(batch_size=1, epochs=1)
        with pytest.raises(ValueError, match=r"two rows per batch, .* of 2 or more, or a network without it"):
            cc.tl.train(small_adata, network=network, fit=fit, genes="all")
        assert "split" not in small_adata.obs

    def test_a_single_row_in_all(self, blobs):
        rows = Rows(blobs().x[:1], blobs().y[:1])
        with pytest.raises(ValueError, match=r"there is one row to train on\. Take more training rows"):
            train(MLP, rows, None, QUICK, n_classes=3, seed=0)

    def test_without_batch_norm_it_is_fine(self, blobs):
        fit = Fit(batch_size=1, epochs=3, learning_rate=0.01)
        trained = train(cc.nn.MLP((8,), batch_norm=None, dropout=0.0), blobs(), blobs(seed=1), fit, n_classes=3, seed=0)
        assert trained.history["valid_accuracy"][-1] > 0.8

    @pytest.mark.parametrize(("n", "size"), [(17, 16), (33, 16), (3, 2), (9, 2)])
    def test_a_row_left_over_joins_another_batch(self, blobs, n, size):
        rows = Rows(blobs().x[:n], blobs().y[:n])
        trained = train(MLP, rows, None, Fit(epochs=2, batch_size=size), n_classes=3, seed=0)
        assert np.isfinite(trained.history["train_loss"]).all()


class TestALossThatIsNotFinite:
    def test_step_rate_and_remedy_are_named(self, blobs):
        rows = blobs()
        rows.x[:] = np.sign(rows.x) * np.float32(3e38)
        fit = Fit(epochs=2, batch_size=30, learning_rate=0.5, schedule="constant")
        with pytest.raises(
            FloatingPointError, match=r"step 1 of epoch 1 \(learning rate 0\.5\).*Lower the learning rate"
        ):
            train(cc.nn.Linear(), rows, None, fit, n_classes=3, seed=0)

    def test_so_where_only_the_validation_rows_show_it(self, small_adata):
        """Weights of 1e28 after one step: the batch statistics still tame them while training."""
        fit = replace(QUICK, learning_rate=1e30)
        with pytest.raises(FloatingPointError, match=r"epoch 1 \(learning rate .*Lower the learning rate"):
            cc.tl.train(small_adata, network=MLP, fit=fit)
        assert "split" not in small_adata.obs
        assert "cellclf" not in small_adata.uns

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_half_precision_is_named_as_a_cause(self, blobs, precision):
        rows = blobs()
        rows.x[7] = np.inf
        with pytest.raises(FloatingPointError) as error:
            train(MLP, rows, None, replace(QUICK, precision=precision), n_classes=3, seed=0)
        assert ("precision='float32'" in str(error.value)) == (precision != "float32")

    def test_probabilities_of_zero_are_no_reason_to_keep_silent(self, blobs):
        """A network that is sure and wrong is no better than guessing, and that is said: no infinities cancel."""
        rows = blobs()
        wrong, even = np.eye(3)[(rows.y + 1) % 3], np.full((90, 3), 1 / 3)
        with pytest.warns(UserWarning, match=r"validation rows \(36\.\d+\) is no better than that of guessing"):
            skill = _learn._skill(SimpleNamespace(rows=rows, valid=rows), wrong, even, 3)
        assert skill["network"]["log_loss"] == pytest.approx(-np.log(np.finfo(np.float64).eps))


class TestDevice:
    @pytest.mark.parametrize("name", ["cuda:17", "meta", "abacus", "", "xla"])
    def test_one_that_is_not_there(self, small_adata, name):
        with pytest.raises(ValueError, match=rf"device='{name}' is not there \(.*\)\. Use 'auto' or 'cpu'\.$"):
            cc.tl.train(small_adata, network=MLP, fit=replace(QUICK, device=name))
        assert "split" not in small_adata.obs

    def test_the_reason_is_one_sentence(self, monkeypatch):
        def without_mps(*_, **__):
            msg = (
                "Could not run 'aten::empty' with arguments from the 'MPS' backend. This could be because …\nand so on"
            )
            raise NotImplementedError(msg)

        monkeypatch.setattr(torch, "empty", without_mps)
        with pytest.raises(ValueError, match=r"^device='mps' is not there \(Could not run .* backend\)\. Use 'auto'"):
            device_of("mps")


class Fixed(cc.nn.Network):
    """A network that reads 7 genes and gives 9 numbers, whatever it is asked for."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.last = torch.nn.Linear(n_in, n_out)

    def embed(self, x):
        return x

    def forward(self, x):
        return self.last(x)


@dataclass(frozen=True)
class OfSevenGenes:
    def build(self, n_genes, n_classes):
        return Fixed(7, n_classes)


@dataclass(frozen=True)
class OfNineClasses:
    def build(self, n_genes, n_classes):
        return Fixed(n_genes, 9)


@pytest.fixture
def own_networks(monkeypatch):
    """Register the networks of this file for one test."""
    from cellclf.nn import _registry

    monkeypatch.setattr(_registry, "_DESCRIPTIONS", dict(_registry._DESCRIPTIONS))
    for network in (OfSevenGenes, OfNineClasses):
        cc.nn.register(network)


@pytest.mark.usefixtures("own_networks")
class TestANetworkThatDoesNotFit:
    @pytest.mark.parametrize(
        ("network", "word"),
        [
            (OfSevenGenes(), r"OfSevenGenes cannot read rows of 30 genes \(.*\)\. Let `build`"),
            (OfNineClasses(), r"OfNineClasses gives values of shape \(2, 9\) for 2 rows and 3 classes. Let `build`"),
            (cc.nn.CNN1d((4, 4, 4)), "30 genes are too few for this CNN1d"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_it_is_refused_before_the_first_step(self, small_adata, network, word):
        with pytest.raises(ValueError, match=word):
            cc.tl.train(small_adata, network=network, fit=QUICK, genes="all")
        assert "split" not in small_adata.obs

    def test_counting_parameters_says_the_same(self):
        with pytest.raises(ValueError, match="cannot read rows of 30 genes"):
            cc.nn.n_parameters(OfSevenGenes(), 30, 3)
        assert cc.nn.n_parameters(OfSevenGenes(), 7, 3) == 8 * 3

    def test_trying_it_changes_nothing(self):
        """The module comes in training mode, its batch statistics untouched, with the weights that the seed gives."""
        torch.manual_seed(0)
        network = MLP.build(30, 3)
        torch.manual_seed(0)
        tried = cc.nn._registry.build(MLP, 30, 3)
        assert tried.training
        assert all(torch.equal(weight, tried.state_dict()[name]) for name, weight in network.state_dict().items())

    def test_values_of_another_width(self, small_adata):
        classifier = cc.tl.train(small_adata, network=MLP, fit=QUICK, genes="all")
        with pytest.raises(ValueError, match=r"shape \(120, 29\); the model reads 30 genes"):
            classifier.predict_proba(small_adata.X[:, :29], totals=np.ones(120))


def test_a_full_disk_leaves_the_checkpoint_before_and_the_training_goes_on(small_adata, tmp_path, monkeypatch):
    """`tl.train` from end to end; each file on disk stays one that the same call can take up."""
    expected = cc.tl.train(small_adata.copy(), network=MLP, fit=QUICK)
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(1)
        if 2 < len(calls) < 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"could not be written \(No space left.*Make room"):
        classifier = cc.tl.train(small_adata.copy(), network=MLP, fit=QUICK, checkpoint=tmp_path)
    monkeypatch.undo()
    assert len(calls) > 5
    assert all(file.suffix == ".safetensors" for file in tmp_path.iterdir())
    again = cc.tl.train(small_adata.copy(), network=MLP, fit=QUICK, checkpoint=tmp_path)
    for one in (classifier, again):
        for name, weight in expected.network.state_dict().items():
            assert torch.equal(one.network.state_dict()[name], weight)
