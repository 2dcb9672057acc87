from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cellclf.attribution._folding import folded
from cellclf.nn import MLP
from cellclf.nn._network import Network


class Norms(Network):
    """A network with normalisations of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first_linear = nn.Linear(6, 8)
        self.plain = nn.BatchNorm1d(8, affine=False)
        self.of_channels = nn.BatchNorm1d(2)
        self.of_the_batch = nn.BatchNorm1d(8, track_running_stats=False)

    def after_first(self, hidden: Tensor) -> Tensor:
        hidden = self.of_channels(self.plain(hidden).view(-1, 2, 4)).flatten(1)
        return hidden + self.of_the_batch(hidden)

    def embed(self, x: Tensor) -> Tensor:
        return self(x)


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: MLP(hidden=(7, 5)).build(6, 3, members=2), id="before"),
        pytest.param(lambda: MLP(hidden=(7, 5), batch_norm="after").build(6, 3), id="after"),
        pytest.param(Norms, id="every-kind"),
    ],
)
def test_a_folded_network_computes_the_same(
    build: Callable[[], Network], randomise: Callable[[Network], Network]
) -> None:
    network = randomise(build())
    x = torch.randn(11, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    names = [type(module).__name__ for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        copy = folded(network)
        hidden = network.first_linear(x)
        expected = network.after_first(hidden.clone())
        torch.testing.assert_close(copy.after_first(hidden.clone()), expected, rtol=0, atol=1e-12)
    assert copy.first_linear is network.first_linear
    assert "BatchNorm1d" not in [type(m).__name__ for n, m in copy.named_modules() if n != "of_the_batch"]
    assert [type(module).__name__ for module in network.modules()] == names
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("members", [1, 2])
def test_wide_layers_run_in_onednn(members: int, randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(40, 33)).build(6, 3, members=members)).float()
    layers = [type(layer).__name__ for layer in network.linears]
    x = torch.randn(11, 6, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        copy, hidden = folded(network), network.first_linear(x)
        torch.testing.assert_close(copy.after_first(hidden.clone()), network.after_first(hidden.clone()))
    packed = [type(layer).__name__ == "_Packed" for layer in copy.linears]
    assert packed == [torch.backends.mkldnn.is_available(), False]
    assert [type(layer).__name__ for layer in network.linears] == layers
