from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cellclf.attribution import first_layer_norms
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
