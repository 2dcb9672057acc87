from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from cellclf.nn._network import Network


class Convolution(Network):
    """A network without a first linear layer."""

    first_linear = None

    def __init__(self, n_genes: int, n_classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, 3, kernel_size=4, stride=2)
        self.last = nn.Linear(3 * ((n_genes - 4) // 2 + 1), n_classes)

    def embed(self, x: Tensor) -> Tensor:
        return torch.tanh(self.convolution(x[:, None])).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.embed(x))


class InPlace(Network):
    """A network that works in place on what its first layer gives."""

    def __init__(self, n_genes: int, n_classes: int) -> None:
        super().__init__()
        self.first_linear = nn.Linear(n_genes, 9)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(9, n_classes))

    def after_first(self, hidden: Tensor) -> Tensor:
        return self.rest(hidden)

    def embed(self, x: Tensor) -> Tensor:
        return self.rest[0](self.first_linear(x))


@pytest.fixture(scope="session")
def randomise() -> Callable[[Network], Network]:
    """Give every weight and running statistic a value of its own, in double precision, ready to be run."""

    def fill(network: Network) -> Network:
        generator = torch.Generator().manual_seed(7)
        network = network.double().eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(0, 0.4, generator=generator)
            for name, buffer in network.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(generator=generator)
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 2.0, generator=generator)
        return network

    return fill


@pytest.fixture(scope="session")
def odd_networks() -> Iterable[type[Network]]:
    """Give networks that are none of cellclf's own: one without a first linear layer, one that works in place."""
    return {"convolution": Convolution, "in-place": InPlace}
