"""The same network with fewer passes over memory, for running it thousands of times."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from cellclf.nn._mlp import MLPNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from cellclf.nn._network import Network


def folded(network: Network) -> Network:
    """Copy a network for evaluation, each batch normalisation as one affine map; the first layer is shared, not copied."""
    copy = deepcopy(network, {id(network.first_linear): network.first_linear}).eval()
    for module in list(copy.modules()):
        if isinstance(copy, MLPNetwork) and isinstance(module, nn.ReLU | nn.SiLU):
            module.inplace = True  # an MLP reads its hidden values once
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm1d) and child.running_mean is not None and child.running_var is not None:
                setattr(module, name, _Affine(child, child.running_mean, child.running_var))
    return copy


def absorb(network: Network, hidden: Tensor, weight: Tensor) -> None:
    """Move the affine map behind the first layer of a folded MLP, where it has one, into what enters it, in place.

    `hidden` (n_rows, n_hidden) is what the first layer gave, `weight` (n_inputs, n_hidden) what an input adds to it.
    """
    if not isinstance(network, MLPNetwork):
        return
    steps = cast("nn.Sequential", network.activations[0])
    affine = steps[0]
    if not isinstance(affine, _Affine):
        return
    n_hidden = len(affine.scale)  # a linear skip lies behind these
    torch.addcmul(affine.shift, hidden[:, :n_hidden], affine.scale, out=hidden[:, :n_hidden])
    weight[:, :n_hidden] *= affine.scale
    steps[0] = nn.Identity()


class _Affine(nn.Module):
    """Batch normalisation by its running statistics: x · scale + shift."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        scale = torch.rsqrt(variance + norm.eps) * (1.0 if norm.weight is None else norm.weight)
        self.register_buffer("scale", scale)
        self.register_buffer("shift", (0.0 if norm.bias is None else norm.bias) - mean * scale)

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift each feature of (n_cells, n_features, …)."""
        shape = (-1, *[1] * (x.dim() - 2))
        return torch.addcmul(self.shift.view(shape), x, self.scale.view(shape))
