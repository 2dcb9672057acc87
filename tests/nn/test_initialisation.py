from __future__ import annotations

import math

import pytest
import torch

from cellclf.nn import MLP, Autoencoder, CNN1d


def matrices(network, members):
    """List each member's own weight matrices with what goes in and out of them."""
    found = []
    for name, weight in network.named_parameters():
        if name.endswith("bias") or weight.ndim == 1:
            continue
        own = weight if ".linears." in f".{name}" else weight.unflatten(0, (members, -1))
        size = math.prod(own.shape[3:])  # of a kernel
        found += [(matrix, matrix.shape[1] * size, matrix.shape[0] * size) for matrix in own]
    return found


NETWORKS = [
    pytest.param({"hidden": (300, 200), "batch_norm": None, "skip": False}, MLP, id="mlp"),
    pytest.param({"channels": (64, 32), "kernels": 8, "hidden": (200,), "batch_norm": None}, CNN1d, id="cnn1d"),
    pytest.param({"latent": 100, "hidden": (200,), "batch_norm": None}, Autoencoder, id="autoencoder"),
]


@pytest.mark.parametrize(("options", "kind"), NETWORKS)
@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        pytest.param("xavier_uniform", lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)), id="xavier_uniform"),
        pytest.param("xavier_normal", lambda n_in, n_out: math.sqrt(2 / (n_in + n_out)), id="xavier_normal"),
        pytest.param("kaiming_uniform", lambda n_in, n_out: math.sqrt(2 / n_in), id="kaiming_uniform"),
        pytest.param("kaiming_normal", lambda n_in, n_out: math.sqrt(2 / n_in), id="kaiming_normal"),
    ],
)
@pytest.mark.parametrize("members", [1, 2])
def test_weights_have_the_deviation_of_their_rule(options, kind, name, deviation, members):
    """Members count by themselves: two side by side are no layer of twice the width."""
    torch.manual_seed(0)
    network = kind(**options, initialisation=name).build(400, 50, members=members)
    for matrix, n_in, n_out in matrices(network, members):
        expected = deviation(n_in, n_out)
        assert matrix.std().item() == pytest.approx(expected, rel=5 / math.sqrt(matrix.numel()))
        if name.endswith("uniform"):
            assert matrix.abs().max().item() <= expected * math.sqrt(3) * (1 + 1e-6)
    assert not any(p.any() for n, p in network.named_parameters() if n.endswith("bias"))


def test_orthogonal_rows_are_orthogonal():
    network = MLP(hidden=(30, 20), skip=False, initialisation="orthogonal").build(40, 5, members=2)
    for matrix, *_ in matrices(network, 2):
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-5, rtol=0)


def test_default_is_that_of_torch():
    torch.manual_seed(0)
    network = MLP(hidden=(30,), skip=False, batch_norm=None).build(40, 5)
    torch.manual_seed(0)
    first, last = torch.nn.Linear(40, 30), torch.nn.Linear(30, 5)
    assert torch.equal(network.first_linear.weight, first.weight)
    assert network.linears[0].weight.abs().max() <= last.weight.abs().max() * 1.1
