from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cellclf.fit import Fit, train
from cellclf.fit._pair import Pair, parts
from cellclf.nn import MLP, Autoencoder, Linear

FITS = {
    "defaults": Fit(epochs=3, batch_size=16),
    "clipped": Fit(epochs=3, batch_size=16, clip_norm=0.05),
    "penalised": Fit(epochs=3, batch_size=16, l1=1.0, l2={"linears.0": 1.0}, group_l1=0.01),
    "momentum": Fit(epochs=3, batch_size=16, optimiser="sgd", sampling="balanced", members=2),
    "bfloat16": Fit(epochs=3, batch_size=16, precision="bfloat16"),
}


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("description", [MLP((8,)), Autoencoder(4, hidden=(8,))])
def test_each_learns_as_if_it_were_alone(name, description, blobs, weights, one_thread):
    fit = FITS[name] if isinstance(description, MLP) else Fit(epochs=2, batch_size=16)
    plain = Fit(
        epochs=fit.epochs, batch_size=16, clip_norm=fit.clip_norm, optimiser=fit.optimiser, sampling=fit.sampling
    )
    bar = Fit(**{**vars(plain), "precision": fit.precision})
    pair = train(description, blobs(), None, fit, n_classes=3, seed=1, beside=Linear())
    alone = train(description, blobs(), None, fit, n_classes=3, seed=1)
    linear = train(Linear(), blobs(), None, bar, n_classes=3, seed=1)
    assert weights(pair) == weights(alone)
    found = {name: weight.numpy().tobytes() for name, weight in pair.beside.state_dict().items()}
    assert found == weights(linear)
    for column, values in alone.history.items():
        if column not in {"seconds", "cells_per_second"}:
            assert pair.history[column].tobytes() == values.tobytes(), column


def test_the_network_decides_which_epoch_is_kept(blobs):
    """The linear network is taken from the same epoch, whatever the validation rows say of it."""
    rows, valid = blobs(), blobs(seed=1)
    valid = replace(valid, y=(valid.y + 1) % 3)  # every step towards the training rows is one away from these
    fit = Fit(epochs=4, batch_size=16, learning_rate=0.03, schedule="constant")
    pair = train(MLP((8,)), rows, valid, fit, n_classes=3, seed=1, beside=Linear())
    assert pair.best_epoch < 4
    short = train(Linear(), rows, None, Fit(**{**vars(fit), "epochs": pair.best_epoch}), n_classes=3, seed=1)
    assert torch.equal(pair.beside.first_linear.weight, short.network.first_linear.weight)


def test_a_pair_speaks_as_its_first(one_thread):
    torch.manual_seed(0)
    network, linear = MLP((8,)).build(5, 3).eval(), Linear().build(5, 3).eval()
    pair, x, y = Pair(network, linear).eval(), torch.randn(6, 5), torch.arange(6) % 3
    assert torch.equal(pair(x), network(x))
    assert torch.equal(pair.embed(x), network.embed(x))
    assert torch.equal(pair.loss(x, y), network.loss(x, y))
    assert parts(pair) == (network, linear)
    assert parts(network) == (network,)
