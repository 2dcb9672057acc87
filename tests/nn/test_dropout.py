from __future__ import annotations

import pytest
import torch
from torch.func import vmap

from cellclf.nn._layers import Dropout


def test_share_scale_and_independence():
    torch.manual_seed(0)
    zero = Dropout(0.3)(torch.ones(400, 500))
    torch.testing.assert_close(zero.unique(), torch.tensor([0, 1 / 0.7]))
    zero = (zero == 0).double()
    assert abs(zero.mean() - 0.3) < 5 * (0.21 / zero.numel()) ** 0.5
    for axis, n in ((0, 400), (1, 500)):
        assert zero.mean(dim=axis).std() < 1.2 * (0.21 / n) ** 0.5  # as independent draws scatter


def test_the_seed_tells_what_is_dropped():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(Dropout(0.5)(torch.ones(20, 30)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_the_gradient_passes_where_the_value_did():
    x = torch.randn(20, 30, requires_grad=True)
    y = Dropout(0.4)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad, (y.detach() != 0) / 0.6)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_nothing_is_dropped_after_training(share):
    x = torch.randn(20, 30)
    assert torch.equal(Dropout(share).eval()(x), x)


def test_all_or_nothing():
    x = torch.randn(20, 30)
    assert torch.equal(Dropout(0.0)(x), x)
    assert not Dropout(1.0)(x).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_precision_is_kept(dtype):
    y = Dropout(0.3)(torch.ones(300, 300, dtype=dtype))
    assert y.dtype == dtype
    assert abs((y == 0).double().mean() - 0.3) < 0.01


def test_networks_side_by_side_drop_differently():
    y = vmap(Dropout(0.5), randomness="different")(torch.ones(2, 20, 30))
    assert not torch.equal(y[0], y[1])
