"""The same network with fewer passes over memory, for running it thousands of times."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn import functional

from cellclf.nn._mlp import MLPNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from cellclf.nn._network import MemberLinear, Network

WIDE = 32  # inputs and outputs of a layer from which bringing its values to oneDNN and back is no loss


def folded(network: Network) -> Network:
    """Copy a network for evaluation, each batch normalisation as one affine map; the first layer is shared, not copied."""
    copy = deepcopy(network, {id(network.first_linear): network.first_linear}).eval()
    if isinstance(copy, MLPNetwork):
        _hasten(copy)
    for module in list(copy.modules()):
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


def _hasten(network: MLPNetwork) -> None:
    """Let activations work in place, since an MLP reads its hidden values once, and wide layers run in oneDNN."""
    for module in network.activations.modules():
        if isinstance(module, nn.ReLU | nn.SiLU):
            module.inplace = True
    weight = network.first_linear.weight
    if not torch.backends.mkldnn.is_available() or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return
    for place, linear in enumerate(network.linears):
        layer = cast("MemberLinear", linear)
        if min(layer.weight.shape[1:]) >= WIDE:
            network.linears[place] = _Packed(layer)


class _Packed(nn.Module):
    """The layer of each member in oneDNN, which on some processors takes half the time of the library behind `torch.mm`."""

    def __init__(self, linear: MemberLinear) -> None:
        super().__init__()
        pairs = zip(linear.weight.detach(), linear.bias.detach(), strict=True)
        self.layers = [(weight.to_mkldnn(), bias.to_mkldnn()) for weight, bias in pairs]

    def forward(self, x: Tensor) -> Tensor:
        """Map (n_cells, n_members, n_in) to (n_cells, n_members, n_out)."""
        members = zip(x.unbind(1), self.layers, strict=True)
        found = [functional.linear(part.to_mkldnn(), *layer).to_dense() for part, layer in members]
        return found[0][:, None] if len(found) == 1 else torch.stack(found, dim=1)


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
