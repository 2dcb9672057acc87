"""Hidden units that read the genes through the principal axes of the training cells, while a network learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from cellclf import stats

if TYPE_CHECKING:
    from torch import Tensor

    from cellclf.fit._options import Fit
    from cellclf.fit._rows import Rows
    from cellclf.nn._network import Network


def n_axes(network: Network, rows: Rows, options: Fit) -> int:
    """Return through how many axes hidden units and skip read; none where each gene has to have weights of its own.

    That is so without a linear skip, and with penalties on weights.
    """
    n_genes = rows.x.shape[1]
    if not network.n_skip or options.l1 or options.l2 or options.group_l1 or options.axes >= n_genes:
        return 0
    return max(0, min(options.axes, len(rows.y) - 1))


def read_through_axes(network: Network, rows: Rows, n: int, *, members: int) -> None:
    """Let every second hidden unit of a fresh network read the genes through `n` axes of these rows."""
    found = rows.axes(max(n, stats.N_AXES))  # as many as a discriminant wants afterwards
    axes = torch.from_numpy(np.ascontiguousarray(found[:, :n]))
    first = cast("nn.Linear", network.first_linear)
    network.first_linear = ThroughAxes(first, axes.to(first.weight.device), network, members)  # type: ignore[assignment]


def read_genes(network: Network) -> Network:
    """Give the genes of a network that learnt through axes the weights which that comes to; others are left."""
    if isinstance(network.first_linear, ThroughAxes):
        network.first_linear = network.first_linear.whole()
    return network


class ThroughAxes(nn.Module):
    """A first layer whose hidden units read, by halves, genes and principal axes of them; its skip reads both.

    The axes are fixed. A step of an optimiser moves each weight by about as much, so that along the axes what many genes do
    together is learnt before what one does alone. The many single genes are read quietly by the skip, lest they drown
    the few axes.
    """

    axes: Tensor

    def __init__(self, first: nn.Linear, axes: Tensor, network: Network, members: int) -> None:
        super().__init__()
        n_hidden, (n_genes, n) = first.out_features - network.n_skip, axes.shape
        half = n_hidden // members // 2  # units of each member that read axes, the last ones
        self.halves, self.members = [n_hidden // members - half, half], members
        self.quiet = (n / n_genes) ** 0.5
        self.register_buffer("axes", axes)
        weight, bias = first.weight.detach(), first.bias.detach()
        genes, read = (
            part.flatten(0, 1) for part in weight[:n_hidden].unflatten(0, (members, -1)).split(self.halves, 1)
        )
        read = read @ axes
        if network.n_normalised:
            read /= self.quiet  # as long as fresh weights of so many inputs are
        skip = weight[n_hidden:] / self.quiet
        self.of_genes = nn.Parameter(torch.cat([genes, skip]))
        self.of_axes, self.bias = nn.Parameter(torch.cat([read, torch.zeros_like(skip[:, :n])])), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map cells (n_cells, n_genes) to what enters hidden layers and skip (n_cells, n_hidden + n_skip)."""
        return self._together(x @ self.of_genes.T, x @ self.axes @ self.of_axes.T) + self.bias

    @torch.no_grad()
    def whole(self) -> nn.Linear:
        """Return the one layer that does the same."""
        weight = self._together(self.of_genes.T, self.axes @ self.of_axes.T).T
        layer = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
        layer.weight.copy_(weight)
        layer.bias.copy_(self.bias)
        return layer

    def _together(self, genes: Tensor, axes: Tensor) -> Tensor:
        """Put what comes by genes and what comes by axes into columns: hidden units of each member, then the skips."""
        hidden, skips = zip(
            *(self._parted(*part) for part in zip((genes, axes), self.halves, strict=True)), strict=True
        )
        return torch.cat([torch.cat(hidden, dim=2).flatten(1), torch.add(skips[1], skips[0], alpha=self.quiet)], dim=1)

    def _parted(self, columns: Tensor, half: int) -> tuple[Tensor, Tensor]:
        """Part hidden units (n_rows, n_members, half) from skips (n_rows, n_skip)."""
        n = self.members * half
        hidden, skip = columns.split([n, columns.shape[1] - n], dim=1)
        return hidden.unflatten(1, (self.members, half)), skip
