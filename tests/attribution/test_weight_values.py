from __future__ import annotations

import numpy as np
import pytest
import torch

import cellclf as cc
from cellclf.attribution import weight_values


@pytest.mark.parametrize("members", [1, 3], ids=["one", "three-members"])
def test_an_mlp_gives_its_matrices(members: int) -> None:
    network = cc.nn.MLP(hidden=(4, 3), batch_norm="after").build(5, 2, members=members)
    matrices = [network.first_linear.weight, *(linear.weight for linear in network.linears)]
    expected = np.concatenate([matrix.detach().numpy().ravel() for matrix in matrices])
    np.testing.assert_array_equal(np.sort(weight_values(network)), np.sort(expected))
    assert len(expected) == members * (5 * 4 + 4 * 3 + 3 * 2 + 5 * 2)


def test_scales_and_biases_are_no_weights() -> None:
    network = cc.nn.MLP(hidden=(4,), skip=False).build(5, 2)
    before = weight_values(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "bias" in name or parameter.ndim == 1:
                parameter.fill_(7.0)
    np.testing.assert_array_equal(weight_values(network), before)


def test_convolutions_count() -> None:
    network = cc.nn.CNN1d(channels=(4,), kernels=(3,), pools=(2,), hidden=(8,)).build(20, 3)
    expected = sum(p.numel() for name, p in network.named_parameters() if p.ndim > 1 and "bias" not in name)
    assert weight_values(network).shape == (expected,)
