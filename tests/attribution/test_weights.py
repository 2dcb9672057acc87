from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cellclf.attribution import first_layer_norms, path_weights
from cellclf.nn import MLP, Linear
from cellclf.nn._network import Network


@pytest.mark.parametrize(
    "description",
    [
        pytest.param(Linear(), id="linear"),
        pytest.param(MLP(hidden=(5, 3)), id="skip"),
        pytest.param(MLP(hidden=(5,), skip=False), id="no-skip"),
    ],
)
@pytest.mark.parametrize("members", [1, 2])
def test_norms_by_hand(description: Linear | MLP, members: int, randomise: Callable[[Network], Network]) -> None:
    network = randomise(description.build(6, 3, members=members))
    weight = network.first_linear.weight.detach().numpy()
    sums = [sum(abs(weight[unit, gene]) for unit in range(len(weight))) for gene in range(6)]
    lengths = [sum(weight[unit, gene] ** 2 for unit in range(len(weight))) ** 0.5 for gene in range(6)]
    np.testing.assert_allclose(first_layer_norms(network), sums, rtol=1e-14)
    np.testing.assert_allclose(first_layer_norms(network, kind="l2"), lengths, rtol=1e-14)


def test_result_is_float64(randomise: Callable[[Network], Network]) -> None:
    assert first_layer_norms(randomise(Linear().build(6, 3)).float()).dtype == np.float64


def test_no_first_layer(odd_networks: dict[str, type[Network]]) -> None:
    with pytest.raises(TypeError, match=r"Convolution has no first linear layer.*method='permutation'"):
        first_layer_norms(odd_networks["convolution"](10, 3))


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="kind='max' is not known"):
        first_layer_norms(Linear().build(6, 3), kind="max")


@pytest.mark.parametrize("norm", ["before", "after", None])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("members", [1, 2])
def test_paths_are_the_slope_of_a_network_without_activation(
    norm: str | None, skip: bool, members: int, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(MLP(hidden=(5,), batch_norm=norm, skip=skip).build(6, 3, members=members))
    bare = [m for m in network.activations[0] if not isinstance(m, torch.nn.ReLU)]
    found = path_weights(network)
    network.activations[0] = torch.nn.Sequential(*bare)
    with torch.no_grad():
        x = torch.cat([torch.zeros(1, 6), torch.eye(6)]).double()
        logits = network.member_logits(network.first_linear(x)).mean(dim=1).numpy()
    slope = logits[1:] - logits[0]
    np.testing.assert_allclose(found, slope - slope.mean(axis=1, keepdims=True), atol=1e-12)


def test_paths_of_a_linear_network(randomise: Callable[[Network], Network]) -> None:
    network = randomise(Linear().build(6, 3))
    weight = network.first_linear.weight.detach().numpy()
    np.testing.assert_allclose(path_weights(network), (weight - weight.mean(axis=0)).T, atol=1e-14)


def test_paths_of_a_deep_network_are_refused() -> None:
    with pytest.raises(TypeError, match="MLPs with one hidden layer, not for this MLPNetwork"):
        path_weights(MLP(hidden=(5, 4)).build(6, 3))
