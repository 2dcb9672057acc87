from __future__ import annotations

import pytest
import torch

from cellclf.nn import MLP
from cellclf.nn._registry import from_header


def test_embedding_is_what_the_last_layer_sees(build):
    network, x = build(MLP(hidden=(8, 6), skip=False)).eval(), torch.randn(4, 12)
    torch.testing.assert_close(network.linears[-1](network.embed(x)[:, None])[:, 0], network(x))


@pytest.mark.parametrize("initialisation", ["default", "xavier_uniform"])
def test_skip_starts_at_zero(initialisation):
    network = MLP(hidden=(8,), initialisation=initialisation).build(12, 5, members=2)
    assert not network.first_linear.weight[-10:].any()
    assert network.first_linear.weight[:16].any(dim=1).all()


def test_settings_by_layer_reach_their_layers():
    network = MLP(hidden=(8, 6, 4), dropout=(0.5, 0.25, 0.0), batch_norm=("before", None, "after")).build(12, 5)
    kinds = [[type(module).__name__ for module in step] for step in network.activations]
    assert kinds == [["BatchNorm1d", "ReLU", "Dropout"], ["ReLU", "Dropout"], ["ReLU", "BatchNorm1d", "Dropout"]]
    assert [step[-1].p for step in network.activations] == [0.5, 0.25, 0.0]


@pytest.mark.parametrize(
    ("batch_norm", "expected"),
    [("before", 16), (("before", None), 16), ((None, "before"), 0), ("after", 0), (None, 0)],
    ids=str,
)
def test_rows_that_enter_a_normalisation_are_counted(batch_norm, expected):
    torch.manual_seed(0)
    network, x = MLP(hidden=(8, 6), batch_norm=batch_norm, dropout=0.0).build(12, 5, members=2), torch.randn(40, 12)
    assert network.n_normalised == expected
    before = network(x)
    with torch.no_grad():  # rows three times as long: a batch gives the same logits only where they are normalised
        network.first_linear.weight[:16] *= 3
    assert torch.allclose(network(x), before, rtol=1e-3, atol=1e-3) == bool(expected)


def test_one_setting_is_the_same_as_the_setting_for_each_layer():
    torch.manual_seed(0)
    one = MLP(hidden=(8, 6), dropout=0.3, batch_norm="after").build(12, 5)
    torch.manual_seed(0)
    each = MLP(hidden=(8, 6), dropout=(0.3, 0.3), batch_norm=("after", "after")).build(12, 5)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), each.state_dict().values(), strict=True))
    assert str(one) == str(each)


def test_a_description_from_before_there_was_a_choice_of_weights_is_read():
    old = {"name": "MLP", "hidden": [8], "activation": "relu", "dropout": 0.6, "batch_norm": "before", "skip": True}
    assert from_header(old) == MLP(hidden=(8,))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"hidden": ()}, "at least one layer"),
        ({"hidden": (8, 0)}, "at least one layer"),
        ({"hidden": (8, 2.5)}, "whole number"),
        ({"hidden": (True,)}, "whole number"),
        ({"hidden": 256}, r"hidden=\(256,\)"),
        ({"hidden": "256"}, r"hidden=\(256,\)"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": (0.1, 0.2)}, "2 entries for 1 layers"),
        ({"dropout": (-0.1,)}, "share"),
        ({"dropout": float("nan")}, "share"),
        ({"activation": "swish"}, "'relu'"),
        ({"batch_norm": "around"}, "'before'"),
        ({"batch_norm": ("around",)}, "'before'"),
        ({"batch_norm": ("before", None)}, "2 entries for 1 layers"),
        ({"initialisation": "zeros"}, "'kaiming_normal'"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        MLP(**options)
