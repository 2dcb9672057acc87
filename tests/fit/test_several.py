from __future__ import annotations

import numpy as np
import pytest
import torch

from cellclf.fit import Fit, Rows, train
from cellclf.fit import _several as several
from cellclf.fit._several import n_side_by_side, train_several
from cellclf.nn import MLP, CNN1d, Linear

STILL = Fit(epochs=3, batch_size=16, input_dropout=0.0, device="cpu")
SEEDS = (5, 6, 9)


def own_rows(blobs) -> list[Rows]:
    """Draw rows for each of three networks."""
    return [blobs(n=70, seed=seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("description", "changes"),
    [
        pytest.param(MLP((8,), dropout=0.0), {}, id="mlp"),
        pytest.param(MLP((8, 6), dropout=0.0, batch_norm="after", skip=False), {"members": 2}, id="members"),
        pytest.param(MLP((8,), dropout=0.0), {"sampling": "balanced", "class_weight": None}, id="balanced"),
        pytest.param(MLP((8,), dropout=0.0, batch_norm=None), {"optimiser": "sgd"}, id="sgd"),
        pytest.param(MLP((8,), dropout=0.0), {"optimiser": "adam", "batch_size": None}, id="adam, one batch"),
        pytest.param(Linear(), {}, id="linear"),
    ],
)
def test_without_dropout_each_is_the_one_trained_alone(description, changes, blobs):
    options = Fit(**{**vars(STILL), **changes})
    rows = own_rows(blobs)
    found = train_several(description, rows, options, n_classes=3, seeds=SEEDS, epochs=None, title="")
    assert not found.interrupted
    for network, part, seed in zip(found.networks, rows, SEEDS, strict=True):
        alone = train(description, part, None, options, n_classes=3, seed=seed).network
        x = torch.from_numpy(part.x)
        assert network(x).std() > 0.01
        torch.testing.assert_close(network(x), alone(x), rtol=0, atol=5e-3)  # biases before a batch norm may drift
        assert not network.training


def test_same_seed_same_bits_and_generators_are_left_alone(blobs):
    state, rows = torch.get_rng_state(), own_rows(blobs)
    options = Fit(epochs=2, batch_size=16, device="cpu")
    one, same, other = (
        train_several(MLP((8,)), rows, options, n_classes=3, seeds=seeds, epochs=None, title="").networks
        for seeds in (SEEDS, SEEDS, (7, 6, 9))
    )
    weights = [torch.stack([network.first_linear.weight for network in networks]) for networks in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_what_couples_networks_or_is_large_is_trained_alone():
    def n(description=None, *, n_inputs=50, n_rows=100, **options):
        options = Fit(device="cpu", **options)
        return n_side_by_side(description or MLP((8,)), options, n_rows=n_rows, n_inputs=n_inputs, n_classes=3)

    assert n() > 100
    assert n(Linear()) > 100
    alone = [
        {"clip_norm": 1.0},
        {"l1": 1.0},
        {"group_l1": 0.1},
        {"l2": {"first_linear": 0.1}},
        {"precision": "bfloat16"},
    ]
    assert [n(**options) for options in alone] == [1] * 5
    assert n(CNN1d(channels=(2,), kernels=3, pools=2, hidden=(4,))) == 1
    assert n(MLP((300,)), n_inputs=4000) == 1
    assert n(n_rows=1_000_000, n_inputs=100) == several.ALL_BYTES // (400 * 1_000_000)


def test_interruption_returns_what_was_learnt(blobs, monkeypatch):
    calls = []

    def rate(*arguments):
        calls.append(arguments)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return 1e-3

    monkeypatch.setattr(several, "learning_rate", rate)
    found = train_several(MLP((8,)), own_rows(blobs), STILL, n_classes=3, seeds=SEEDS, epochs=None, title="")
    assert found.interrupted
    assert all(network.activations[0][0].num_batches_tracked == 7 for network in found.networks)


@pytest.mark.filterwarnings("ignore:overflow")
def test_weights_that_went_astray_are_refused(blobs):
    options = Fit(epochs=2, learning_rate=1e38, optimiser="sgd", device="cpu")
    with pytest.raises(FloatingPointError, match="not finite"):
        train_several(MLP((8,)), own_rows(blobs), options, n_classes=3, seeds=SEEDS, epochs=None, title="")


@pytest.mark.gpu
def test_a_device_gives_nearly_the_same(blobs):
    rows = own_rows(blobs)
    options = [Fit(**{**vars(STILL), "device": device}) for device in ("cpu", "cuda")]
    one, other = (
        train_several(MLP((8,), dropout=0.0), rows, option, n_classes=3, seeds=SEEDS, epochs=None, title="").networks
        for option in options
    )
    x = torch.from_numpy(np.asarray(rows[0].x))
    for network, peer in zip(one, other, strict=True):
        torch.testing.assert_close(network(x), peer(x), rtol=1e-2, atol=1e-3)
