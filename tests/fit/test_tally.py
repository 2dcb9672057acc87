from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from cellclf.fit import Fit, train
from cellclf.fit import _loop as loop
from cellclf.fit._hardware import Hardware
from cellclf.fit._tally import measures, tally
from cellclf.nn import MLP, Autoencoder, CNN1d, Linear
from cellclf.nn._network import mean_of_members

NETWORKS = [Linear(), MLP((8,)), CNN1d((4,), kernels=3, pools=2, hidden=(6,)), Autoencoder(4, hidden=(8,))]
CPU = Hardware(torch.device("cpu"))


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=9), min_size=1, max_size=4)
)
def test_batches_add_up_to_what_scikit_learn_says(batches):
    counts = None
    for batch in batches:
        truth, guess = torch.tensor(batch).T
        counts = tally(torch.nn.functional.one_hot(guess, 5).float(), truth, counts)
    truth, guess = np.concatenate(batches).T
    found = measures(counts, CPU)
    assert found["train_accuracy"] == pytest.approx(accuracy_score(truth, guess))
    assert found["train_macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("description", NETWORKS)
def test_the_loss_leaves_the_mean_of_the_members(description, members, one_thread):
    network = description.build(12, 3, members=members).eval()
    x, y = torch.randn(7, 12, generator=torch.Generator().manual_seed(0)), torch.arange(7) % 3
    each = network.by_member(x)
    assert each.shape == (7, members, 3)
    assert torch.equal(mean_of_members(each), network(x))
    network.loss(x, y)
    assert torch.equal(network.batch_logits, network(x))
    assert not network.batch_logits.requires_grad


def test_history_holds_the_batches_own_accuracy(blobs, monkeypatch):
    """One batch an epoch, no dropout, so that its logits are those of the weights before the step."""
    fit = Fit(epochs=3, batch_size=None, input_dropout=0)
    seen, batches = [], loop.tally

    def spy(logits, y, before):
        seen.append(accuracy_score(y, logits.argmax(dim=1)))
        return batches(logits, y, before)

    monkeypatch.setattr(loop, "tally", spy)
    trained = train(MLP((8,), dropout=0), blobs(), None, fit, n_classes=3, seed=0)
    np.testing.assert_allclose(trained.history["train_accuracy"], seen)
    assert trained.history["train_accuracy"][0] < trained.history["train_accuracy"][-1]
    assert trained.network.batch_logits is None


def test_without_classes_there_is_no_accuracy(blobs):
    trained = train(Autoencoder(4, hidden=(8,), head=False), blobs(), None, Fit(epochs=1), n_classes=0, seed=0)
    assert np.isnan(trained.history["train_accuracy"]).all()
    assert np.isfinite(trained.history["train_loss"]).all()
