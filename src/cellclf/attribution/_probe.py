"""Running a network with inputs shuffled, for as few rows and as few layers as will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from cellclf.attribution._folding import absorb, folded

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cellclf.nn._network import Network

CPU_BYTES, DEVICE_BYTES = 2**22, 2**26  # activations computed together: what a cache holds, what keeps a device busy
FEW = 100  # rows of an input below which gathering its weights for each of them is no loss


class Block(NamedTuple):
    """Some inputs, one per line: which they are, their shuffled values, and how much each differs from its own."""

    inputs: Tensor  # (n_inputs)
    shuffled: Tensor  # (n_inputs, n_rows)
    delta: Tensor


class RankOne:
    """A network whose first layer is kept: shuffling an input adds a multiple of its weights to each row."""

    def __init__(self, network: Network, x: Tensor, first: nn.Linear) -> None:
        self.x, self.network, self.hidden = x, folded(network), first(x)
        self.weight = first.weight.T.contiguous()
        self.heard = (self.weight != 0).any(dim=1, keepdim=True)
        absorb(self.network, self.hidden, self.weight)
        self.n_together = n_together(self.hidden)
        self.room = torch.empty(self.n_together, self.hidden.shape[1], dtype=x.dtype, device=x.device)

    def logits(self) -> Tensor:
        """Run every row as it is."""
        parts = self.hidden.split(self.n_together)
        return torch.cat([self.network.after_first(part.clone()) for part in parts])  # it may work in place

    def pairs(self, block: Block, genes: Tensor, rows: Tensor) -> Tensor:
        """Run rows, each with one input of the block shuffled, by gathering."""
        hidden, delta = self.room[: len(rows)], block.delta[genes, rows, None]
        torch.index_select(self.hidden, 0, rows, out=hidden)
        each, sizes = genes.unique_consecutive(return_counts=True)
        if len(rows) < FEW * len(each):
            return self.network.after_first(hidden.addcmul_(delta, self.weight[block.inputs[genes]]))
        parts = (hidden.split(sizes.tolist()), delta.split(sizes.tolist()), self.weight[block.inputs[each]])
        for part, change, weight in zip(*parts, strict=True):  # saves gathering the weights anew for each row
            part.addcmul_(change, weight)
        return self.network.after_first(hidden)

    def grid(self, block: Block, genes: slice, rows: slice) -> Tensor:
        """Run all `rows` for each of `genes`, gene by gene, without gathering."""
        delta = block.delta[genes, rows, None]
        room = self.room.flatten()[: delta.numel() * self.weight.shape[1]].view(*delta.shape[:2], -1)
        weight = self.weight[block.inputs[genes]]
        torch.addcmul(self.hidden[rows], delta, weight[:, None], out=room)
        return self.network.after_first(room.flatten(0, 1))

    def together(self, inputs: Tensor, shuffled: Tensor, rows: Tensor) -> Tensor:
        """Run rows, each with all of `inputs` shuffled; `shuffled` (n_rows, n_inputs) are their new values."""
        delta = shuffled - self.x[rows[:, None], inputs]
        return self.network.after_first(torch.addmm(self.hidden[rows], delta, self.weight[inputs]))


class Whole:
    """A network that can only be run whole."""

    def __init__(self, network: Network, x: Tensor) -> None:
        self.network, self.x, self.n_together = network, x, n_together(x)
        self.heard = torch.ones(x.shape[1], 1, dtype=torch.bool, device=x.device)

    def logits(self) -> Tensor:
        """Run every row as it is."""
        return torch.cat([self.network(part) for part in self.x.split(self.n_together)])

    def pairs(self, block: Block, genes: Tensor, rows: Tensor) -> Tensor:
        """Run rows, each with one input of the block shuffled."""
        inputs = self.x[rows]
        inputs[torch.arange(len(rows), device=rows.device), block.inputs[genes]] = block.shuffled[genes, rows]
        return self.network(inputs)

    def together(self, inputs: Tensor, shuffled: Tensor, rows: Tensor) -> Tensor:
        """Run rows, each with all of `inputs` shuffled; `shuffled` (n_rows, n_inputs) are their new values."""
        x = self.x[rows]
        x[:, inputs] = shuffled
        return self.network(x)


def probe(network: Network, x: Tensor) -> RankOne | Whole:
    """Prepare a network, in evaluation mode, for having its inputs shuffled."""
    return Whole(network, x) if network.first_linear is None else RankOne(network, x, network.first_linear)


def n_together(rows: Tensor) -> int:
    """Return how many rows of this width are computed at once."""
    limit = CPU_BYTES if rows.device.type == "cpu" else DEVICE_BYTES
    return max(1, limit // (rows.shape[1] * rows.element_size()))
