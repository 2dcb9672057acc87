"""Exact permutation importance: how much the loss rises when the values of one input are shuffled among the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm

from cellclf.attribution._folding import folded

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cellclf.nn._network import Network

PAIRS = 2**19  # (gene, row) pairs looked at together: a few MB of values, masks and losses
CPU_BYTES, DEVICE_BYTES = 2**22, 2**26  # activations computed together: what a cache holds, what keeps a device busy
DENSE = 0.75  # share of changed rows above which computing every row is cheaper than gathering the changed ones


class Increases(NamedTuple):
    """Rise of the loss when an input is shuffled.

    `by_repeat` (n_inputs, n_repeats) averages over the rows; `by_class` (n_inputs, n_classes) over the rows of each
    class and the repeats, NaN for a class without rows; `loss` is the mean loss with nothing shuffled. All float64.
    """

    by_repeat: np.ndarray
    by_class: np.ndarray
    loss: float


@torch.inference_mode()
def permutation_importance(
    network: Network,
    x: Tensor | np.ndarray,
    y: Tensor | np.ndarray,
    *,
    n_repeats: int = 5,
    seed: int = 0,
    temperature: float = 1.0,
) -> Increases:
    r"""Measure how much the cross-entropy rises when one input is shuffled, for every input.

    With :math:`H = X W^\top + b` the first layer, shuffling column j by :math:`\pi` gives
    :math:`H' = H + (x_{\pi j} - x_j) w_j^\top`: only the layers after the first are run, and only for rows whose value
    changed. This equals running the whole network on the shuffled column, up to rounding. A network without a
    `first_linear` is run whole. All inputs share one permutation per repeat, drawn from (`seed`, repeat), so the
    result does not depend on the order of the inputs.

    Parameters
    ----------
    network
        The network; it is put into evaluation mode.
    x
        Inputs (n_rows, n_inputs) of the network's type; they are brought to its device.
    y
        Class of each row (n_rows), int64 from 0.
    n_repeats
        Number of permutations.
    seed
        Where the permutations start from; a whole number of 0 or more.
    temperature
        The logits are divided by this number.

    Returns
    -------
    The increases; an input that is constant over the rows, or that has no weight, scores exactly 0.

    Examples
    --------
    >>> import cellclf as cc, torch
    >>> network, x = cc.nn.Linear().build(4, 3), torch.eye(4)
    >>> permutation_importance(network, x, torch.tensor([0, 1, 2, 0])).by_repeat.shape
    (4, 5)
    """
    network.eval()
    device = next(network.parameters(), torch.empty(0)).device
    x, y = torch.as_tensor(x, device=device), torch.as_tensor(y, device=device)
    probe = _Whole(network, x) if network.first_linear is None else _RankOne(network, x, network.first_linear)
    truth = _Truth.of(probe.logits(), y, temperature)
    n_rows, n_inputs = x.shape
    by_repeat, by_class = np.zeros((n_inputs, n_repeats)), np.zeros((n_inputs, truth.members.shape[1]))
    width = max(1, PAIRS // n_rows)
    with tqdm(total=n_inputs * n_repeats, desc="importance", unit="gene", leave=False, delay=1) as bar:
        for repeat in range(n_repeats):
            order = np.random.default_rng([seed, repeat]).permutation(n_rows)
            permutation = torch.from_numpy(order).to(x.device)
            for start in range(0, n_inputs, width):
                block = _Block.shuffle(x, permutation, start, min(start + width, n_inputs))
                sums = (_rise(probe, truth, block) @ truth.members).cpu().numpy()
                by_repeat[start : block.stop, repeat] = sums.sum(axis=1) / n_rows
                by_class[start : block.stop] += sums
                bar.update(block.stop - start)
    sizes = truth.members.sum(dim=0).cpu().numpy()
    by_class /= n_repeats * np.where(sizes > 0, sizes, np.nan)
    return Increases(by_repeat, by_class, float(truth.loss.mean()))


class _Truth(NamedTuple):
    """What is known before anything is shuffled: classes, loss of each row, and which class it is a member of."""

    y: Tensor
    temperature: float
    loss: Tensor  # (n_rows)
    members: Tensor  # (n_rows, n_classes), 0 or 1

    @classmethod
    def of(cls, logits: Tensor, y: Tensor, temperature: float) -> _Truth:
        loss = _cross_entropy(logits, y, temperature)
        return cls(y, temperature, loss, functional.one_hot(y, logits.shape[1]).to(loss.dtype))

    def rise(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Compare the losses of `rows` with what they were."""
        return _cross_entropy(logits, self.y[rows], self.temperature) - self.loss[rows]


class _Block(NamedTuple):
    """Inputs `start` to `stop`, one per line: their shuffled values, and how much each differs from its own."""

    start: int
    stop: int
    shuffled: Tensor  # (n_inputs, n_rows)
    delta: Tensor

    @classmethod
    def shuffle(cls, x: Tensor, permutation: Tensor, start: int, stop: int) -> _Block:
        own = x[:, start:stop].T.contiguous()
        shuffled = own.index_select(1, permutation)
        return cls(start, stop, shuffled, shuffled - own)


class _RankOne:
    """A network whose first layer is kept: shuffling an input adds a multiple of its weights to each row."""

    def __init__(self, network: Network, x: Tensor, first: nn.Linear) -> None:
        self.network, self.hidden = folded(network), first(x)
        self.weight = first.weight.T.contiguous()
        self.heard = (self.weight != 0).any(dim=1, keepdim=True)
        self.n_together = _n_together(self.hidden)
        self.room = torch.empty(2, self.n_together, self.hidden.shape[1], dtype=x.dtype, device=x.device)

    def logits(self) -> Tensor:
        """Run every row as it is."""
        parts = self.hidden.split(self.n_together)
        return torch.cat([self.network.after_first(part.clone()) for part in parts])  # it may work in place

    def pairs(self, block: _Block, genes: Tensor, rows: Tensor) -> Tensor:
        """Run rows, each with one input of the block shuffled, by gathering."""
        hidden, weight = self.room[:, : len(rows)]
        torch.index_select(self.hidden, 0, rows, out=hidden)
        torch.index_select(self.weight, 0, genes + block.start, out=weight)
        return self.network.after_first(hidden.addcmul_(block.delta[genes, rows, None], weight))

    def grid(self, block: _Block, genes: slice, rows: slice) -> Tensor:
        """Run all `rows` for each of `genes`, gene by gene, without gathering."""
        delta = block.delta[genes, rows, None]
        room = self.room[0].flatten()[: delta.numel() * self.weight.shape[1]].view(*delta.shape[:2], -1)
        weight = self.weight[block.start : block.stop][genes]
        torch.addcmul(self.hidden[rows], delta, weight[:, None], out=room)
        return self.network.after_first(room.flatten(0, 1))


class _Whole:
    """A network that can only be run whole."""

    def __init__(self, network: Network, x: Tensor) -> None:
        self.network, self.x, self.n_together = network, x, _n_together(x)
        self.heard = torch.ones(x.shape[1], 1, dtype=torch.bool, device=x.device)

    def logits(self) -> Tensor:
        """Run every row as it is."""
        return torch.cat([self.network(part) for part in self.x.split(self.n_together)])

    def pairs(self, block: _Block, genes: Tensor, rows: Tensor) -> Tensor:
        """Run rows, each with one input of the block shuffled."""
        inputs = self.x[rows]
        inputs[torch.arange(len(rows), device=rows.device), genes + block.start] = block.shuffled[genes, rows]
        return self.network(inputs)


def _rise(probe: _RankOne | _Whole, truth: _Truth, block: _Block) -> Tensor:
    """Return the rise of each row's loss for each input of a block (n_inputs, n_rows); 0 where no value changed."""
    changed = (block.delta != 0) & probe.heard[block.start : block.stop]
    rise = torch.zeros(block.delta.shape, dtype=truth.loss.dtype, device=block.delta.device)
    if isinstance(probe, _RankOne) and changed.mean(dtype=torch.float32) > DENSE:
        n_rows, every = block.delta.shape[1], torch.arange(block.delta.shape[1], device=rise.device)
        for genes in _slices(len(rise), max(1, probe.n_together // n_rows)):
            for rows in _slices(n_rows, probe.n_together):
                part, own = rise[genes, rows], every[rows]
                part[:] = truth.rise(probe.grid(block, genes, rows), own.repeat(len(part))).view(part.shape)
        return rise.masked_fill_(~changed, 0)
    for genes, rows in zip(*(part.split(probe.n_together) for part in changed.nonzero(as_tuple=True)), strict=True):
        rise[genes, rows] = truth.rise(probe.pairs(block, genes, rows), rows)
    return rise


def _cross_entropy(logits: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return the loss of each row, in float64 where the device has it: a sure classifier's losses are tiny."""
    dtype = torch.float32 if logits.device.type == "mps" else torch.float64
    logits = logits.to(dtype) / temperature
    return torch.logsumexp(logits, dim=1) - logits.gather(1, y[:, None])[:, 0]  # half the time of `cross_entropy`


def _n_together(rows: Tensor) -> int:
    """Return how many rows of this width are computed at once."""
    limit = CPU_BYTES if rows.device.type == "cpu" else DEVICE_BYTES
    return max(1, limit // (rows.shape[1] * rows.element_size()))


def _slices(length: int, step: int) -> list[slice]:
    """Cut a range into slices; the last one ends with the range."""
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]
