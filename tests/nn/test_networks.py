from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from cellclf.nn import MLP, Linear
from cellclf.nn._registry import from_header, to_header

NETWORKS = [
    pytest.param(Linear(), 1, id="linear"),
    pytest.param(Linear(), 2, id="linear, two members"),
    pytest.param(MLP(hidden=(8,)), 1, id="mlp"),
    pytest.param(MLP(hidden=(8, 6), batch_norm="after"), 3, id="two layers, three members, norm after"),
    pytest.param(MLP(hidden=(8, 6, 4), batch_norm=None, skip=False), 2, id="three layers, no norm, no skip"),
]


def build(description, members, n_genes=12, n_classes=5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = description.build(n_genes, n_classes, members=members)
        for parameter in network.parameters():  # a skip at zero would hide an error
            torch.nn.init.normal_(parameter)
    return network


@pytest.mark.parametrize(("description", "members"), NETWORKS)
def test_forward_is_first_linear_then_after_first(description, members):
    network, x = build(description, members).eval(), torch.randn(7, 12)
    torch.testing.assert_close(network(x), network.after_first(network.first_linear(x)))
    assert network(x).shape == (7, 5)


@pytest.mark.parametrize(("description", "members"), NETWORKS)
def test_description_survives_json(description, members):
    back = from_header(json.loads(json.dumps(to_header(description))))
    assert back == description
    assert hash(back) == hash(description)
    build(back, members).load_state_dict(build(description, members).state_dict())


def test_members_are_networks_of_their_own():
    """Two members side by side give the mean of the probabilities of two single networks with the same weights."""
    description = MLP(hidden=(8, 6), dropout=0.0)
    both, x = build(description, 2).eval(), torch.randn(9, 12)
    singles = []
    for m in range(2):
        one = description.build(12, 5, members=1).eval()
        state = one.state_dict()
        for name, tensor in both.state_dict().items():
            if name.startswith("first_linear"):
                hidden, skip = tensor[:16].unflatten(0, (2, 8)), tensor[16:].unflatten(0, (2, 5))
                state[name] = torch.cat([hidden[m], skip[m]])
            elif name.startswith("linears"):
                state[name] = tensor[m : m + 1]
            elif tensor.ndim:
                state[name] = tensor.unflatten(0, (2, -1))[m]
        one.load_state_dict(state)
        singles.append(torch.softmax(one(x), dim=1))
    torch.testing.assert_close(torch.softmax(both(x), dim=1), (singles[0] + singles[1]) / 2)


@pytest.mark.parametrize(("description", "members"), NETWORKS)
def test_loss_is_the_mean_of_the_members_cross_entropies(description, members):
    network, x, y = build(description, members).eval(), torch.randn(7, 12), torch.arange(7) % 5
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])
    hidden = network.first_linear(x)
    logits = hidden.view(7, members, 5) if isinstance(description, Linear) else network.member_logits(hidden)
    slow = [functional.cross_entropy(logits[:, m], y, weight=weight, label_smoothing=0.1) for m in range(members)]
    torch.testing.assert_close(network.loss(x, y, weight=weight, label_smoothing=0.1), torch.stack(slow).mean())


def test_embedding_is_what_the_last_layer_sees():
    network, x = build(MLP(hidden=(8, 6), skip=False), 1).eval(), torch.randn(4, 12)
    torch.testing.assert_close(network.linears[-1](network.embed(x)[:, None])[:, 0], network(x))


def test_skip_starts_at_zero():
    network = MLP(hidden=(8,)).build(12, 5)
    assert not network.first_linear.weight[-5:].any()
    assert network.first_linear.weight[:8].any()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"hidden": ()}, "at least one layer"),
        ({"hidden": (8, 0)}, "at least one layer"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"activation": "swish"}, "'relu'"),
        ({"batch_norm": "around"}, "'before'"),
    ],
    ids=["no layer", "empty layer", "dropout", "activation", "norm"],
)
def test_impossible_networks_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        MLP(**options)


def test_unknown_networks_are_refused_by_name():
    @dataclasses.dataclass(frozen=True)
    class Mine:
        width: int = 3

    with pytest.raises(TypeError, match="Mine"):
        to_header(Mine())
    with pytest.raises(ValueError, match="'Mine'"):
        from_header({"name": "Mine", "width": 3})


def test_number_of_parameters_by_hand():
    n = sum(p.numel() for p in MLP(hidden=(2048, 512), batch_norm=None, skip=False).build(1000, 10).parameters())
    assert n == 3_104_266  # the perceptron of the cell classifier that this package grew from
    assert sum(p.numel() for p in Linear().build(1000, 10).parameters()) == 10_010
    assert np.prod(MLP(hidden=(4,)).build(7, 3, members=2).first_linear.weight.shape) == (2 * 4 + 2 * 3) * 7
