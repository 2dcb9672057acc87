"""Batch normalisation over the rows of all devices, on any kind of device (torch's own knows GPUs only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from torch import Tensor

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def normalise_together(network: AnyModule) -> AnyModule:
    """Replace each batch normalisation of a network, in place, by one that takes mean and variance over all devices."""
    for parent in list(network.modules()):
        for name, module in parent.named_children():
            if type(module) is nn.BatchNorm1d:
                together = NormTogether(module.num_features, module.eps, module.momentum, module.affine)
                together.load_state_dict(module.state_dict())
                setattr(parent, name, together.to(module.weight.device))
    return network


class NormTogether(nn.BatchNorm1d):
    """Batch normalisation whose batch is that of all devices together."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n_cells, n_units) or (n_cells, n_units, length)."""
        if not self.training:
            return super().forward(x)
        others = [axis for axis in range(x.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
        count = x.new_tensor([x.numel() / x.shape[1]])
        total = _Sum.apply(torch.cat([x.sum(others), count]))
        n_values, mean = total[-1], total[:-1] / total[-1]
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(others)) / n_values
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n_values / (n_values - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(shape) + self.bias.view(shape)


class _Sum(torch.autograd.Function):
    """A sum over the devices, and of the gradients on the way back."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        """Add up values."""
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        """Add up gradients."""
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
