"""What stands between two linear maps, and how their weights start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from cellclf.nn._network import MemberLinear

if TYPE_CHECKING:
    from torch import Tensor

    from cellclf.nn._network import Network

Activation = Literal["relu", "gelu", "silu", "tanh", "elu", "leaky_relu"]
Norm = Literal["before", "after"]
Initialisation = Literal[
    "default", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}
NORMS: tuple[Norm | None, ...] = ("before", "after", None)
INITIALISATIONS: dict[str, Any] = {
    "default": None,
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
    "orthogonal": nn.init.orthogonal_,
}


def between(activation: str, batch_norm: str | None, dropout: float, width: int) -> nn.Sequential:
    """Make what follows a linear map or convolution of `width` outputs: normalisation, activation, dropout."""
    parts: list[nn.Module] = [ACTIVATIONS[activation]()]
    if batch_norm is not None:
        parts.insert(0 if batch_norm == "before" else 1, nn.BatchNorm1d(width))
    return nn.Sequential(*parts, Dropout(dropout))


class Dropout(nn.Dropout):
    """Dropout whose mask a CPU draws several times as fast as torch's own."""

    def forward(self, x: Tensor) -> Tensor:
        """Set a share of the values to zero and scale up the others, while training."""
        if not self.training or self.p in {0.0, 1.0} or x.device.type != "cpu":
            return super().forward(x)
        return x * (torch.rand(x.shape) >= self.p).to(x.dtype).div_(1 - self.p)


@torch.no_grad()
def initialise(name: str, network: Network, *, members: int, n_skip: int = 0) -> None:
    """Draw the weights by a named rule, each member's own matrix by itself, and set biases to zero.

    "default" leaves everything as it is. The last `n_skip` rows of the first layer are a skip, which keeps its zeros.
    """
    if name == "default":
        return
    for module in network.modules():
        if not isinstance(module, MemberLinear | nn.Linear | nn.Conv1d):
            continue
        weight = module.weight
        if not isinstance(module, MemberLinear):
            own = len(weight) - (n_skip if module is network.first_linear else 0)
            weight = weight[:own].unflatten(0, (members, -1))
        for matrix in weight:
            if matrix.device.type != "meta":  # weights that are only counted hold no values
                INITIALISATIONS[name](matrix)
        if module.bias is not None:
            module.bias.zero_()
