"""The convolutional network over genes or motifs in an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, final

import torch
from torch import nn
from torch.nn import functional

from cellclf.nn import _settings
from cellclf.nn._layers import (
    ACTIVATIONS,
    INITIALISATIONS,
    NORMS,
    Activation,
    Initialisation,
    Norm,
    between,
    initialise,
)
from cellclf.nn._network import MemberLinear, Network, mean_of_members

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

Padding = Literal["same", "valid"]
CPU_VALUES, DEVICE_VALUES = (
    2**20,
    2**27,
)  # activations held at once in evaluation: what a cache holds, what fits a device


@dataclass(frozen=True)
class CNN1d:
    """A convolutional network that slides along the genes (or motifs) in their order.

    Each block convolves, applies the activation and takes the maximum over neighbours; what is left feeds a dense head.
    The order of the genes is part of the model: train with ``genes="all"`` for the order of `adata.var`, or with a
    list in the order that means something, such as that along the chromosomes. At prediction genes are put into that
    order by name, and one that is missing keeps its place and takes its training mean.

    Parameters
    ----------
    channels
        Number of channels of each block.
    kernels
        Number of neighbours that a convolution sees; one number, or one per block.
    padding
        ``"same"`` pads with zeros so that the length stays, an even kernel by one more at the end;
        ``"valid"`` does not pad. One choice, or one per block.
    pools
        Number of neighbours of which the largest is kept; a rest at the end is left out. One number, or one per block.
    hidden
        Width of each dense layer after the blocks; at least one, which is the embedding.
    activation
        Function applied in each block and dense layer.
    dropout
        Share of units of the dense layers switched off in each training step; one number, or one per dense layer.
    batch_norm
        Where each block and each dense layer is normalised over the batch: ``"before"`` or ``"after"`` its activation,
        or not (`None`).
    initialisation
        How weights are drawn: ``"default"`` as torch does; otherwise by the named rule of :mod:`torch.nn.init`, with
        biases at zero.

    Raises
    ------
    ValueError
        A number below 1, a dropout outside [0, 1), an unknown name, or a list that has not one entry per layer.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.nn.CNN1d(channels=(8, 16), kernels=(9, 5)).lengths(1000)
    (250, 62)
    """

    channels: Sequence[int] = (16, 32)
    kernels: int | Sequence[int] = 9
    padding: Padding | Sequence[Padding] = "same"
    pools: int | Sequence[int] = 4
    hidden: Sequence[int] = (128,)
    activation: Activation = "relu"
    dropout: float | Sequence[float] = 0.5
    batch_norm: Norm | None = "before"
    initialisation: Initialisation = "default"

    ordered: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the values; lists (as read from JSON) become tuples."""
        channels, hidden = _settings.widths("channels", self.channels), _settings.widths("hidden", self.hidden)
        n_blocks, known = len(channels), ("same", "valid")
        checked = {
            "channels": channels,
            "hidden": hidden,
            "kernels": _settings.wholes("kernels", self.kernels, n_blocks),
            "pools": _settings.wholes("pools", self.pools, n_blocks),
            "padding": _settings.choices("padding", self.padding, known, n_blocks),
            "dropout": _settings.shares("dropout", self.dropout, len(hidden)),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        _settings.choice("activation", self.activation, ACTIVATIONS)
        _settings.choice("batch_norm", self.batch_norm, NORMS)
        _settings.choice("initialisation", self.initialisation, INITIALISATIONS)

    def blocks(self) -> list[tuple[int, int, str, int]]:
        """Return channels, kernel, padding and pool of each block.

        Returns
        -------
        One tuple per block.
        """
        spread = [_settings.spread(value, len(self.channels)) for value in (self.kernels, self.padding, self.pools)]
        return list(zip(self.channels, *spread, strict=True))

    def lengths(self, n_genes: int) -> tuple[int, ...]:
        """Return how long the row of genes is after each block.

        Parameters
        ----------
        n_genes
            Number of inputs.

        Returns
        -------
        One length per block.

        Raises
        ------
        ValueError
            Nothing is left after some block.
        """
        lengths = [n_genes]
        for number, (_, kernel, padding, pool) in enumerate(self.blocks(), start=1):
            convolved = lengths[-1] if padding == "same" else lengths[-1] - kernel + 1
            if convolved < pool:
                msg = (
                    f"{n_genes} genes are too few for this CNN1d: {lengths[-1]} values reach block {number}, whose kernel "
                    f"({kernel}) and pool ({pool}) leave none. Give more genes, fewer blocks or smaller pools."
                )
                raise ValueError(msg)
            lengths.append(convolved // pool)
        return tuple(lengths[1:])

    def build(self, n_genes: int, n_classes: int, *, members: int = 1) -> Network:
        """Make the module with random weights, drawn from torch's current generator.

        Parameters
        ----------
        n_genes
            Number of inputs.
        n_classes
            Number of outputs.
        members
            Number of networks trained side by side; their probabilities are averaged.

        Returns
        -------
        The module.

        Raises
        ------
        ValueError
            There are too few genes for the blocks.
        """
        return CNN1dNetwork(self, n_genes, n_classes, members)


@final
class CNN1dNetwork(Network):
    """The module behind :class:`CNN1d`; members are groups of channels."""

    first_linear: None

    def __init__(self, description: CNN1d, n_genes: int, n_classes: int, members: int) -> None:
        super().__init__()
        lengths = description.lengths(n_genes)
        self.members = members
        widest = max(n * length for n, length in zip(description.channels, (n_genes, *lengths), strict=False))
        self.values_per_cell = members * widest
        self.blocks, n_in, groups = nn.ModuleList(), 1, 1  # all members read the same genes
        for channels, kernel, padding, pool in description.blocks():
            step = between(description.activation, description.batch_norm, 0.0, members * channels)
            self.blocks.append(_Block(n_in, members * channels, kernel, padding, pool, groups, step))
            n_in, groups = members * channels, members
        widths = [description.channels[-1] * lengths[-1], *description.hidden]
        self.activations = nn.ModuleList(
            between(description.activation, description.batch_norm, dropout, members * width)
            for dropout, width in zip(
                _settings.spread(description.dropout, len(description.hidden)), description.hidden, strict=True
            )
        )
        self.linears = nn.ModuleList(
            MemberLinear(members, n_in, n_out) for n_in, n_out in zip(widths, [*widths[1:], n_classes], strict=True)
        )
        initialise(description.initialisation, self, members=members)

    def _last_hidden(self, x: Tensor) -> Tensor:
        """Run blocks and dense layers, (n_cells, n_genes) → (n_cells, members × last width)."""
        hidden = x[:, None]
        for block in self.blocks:
            hidden = block(hidden)
        hidden = hidden.flatten(1)  # channels stand member by member, so the members stay side by side
        for linear, activation in zip(self.linears[:-1], self.activations, strict=True):
            hidden = activation(linear(hidden.unflatten(1, (self.members, -1))).flatten(1))
        return hidden

    def _member_logits(self, x: Tensor) -> Tensor:
        """Map cells to each member's logits, (n_cells, members, n_classes)."""
        return self.linears[-1](self._last_hidden(x).unflatten(1, (self.members, -1)))

    def by_member(self, x: Tensor) -> Tensor:
        """Map cells to each member's logits, (n_cells, members, n_classes), a few cells at a time."""
        return self._in_pieces(self._member_logits, x)

    def forward(self, x: Tensor) -> Tensor:
        """Average the members' probabilities."""
        return self._in_pieces(lambda part: mean_of_members(self._member_logits(part)), x)

    def embed(self, x: Tensor) -> Tensor:
        """Return the last dense layer, members side by side."""
        return self._in_pieces(self._last_hidden, x)

    def loss(self, x: Tensor, y: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Average the members' cross-entropies."""
        return self._loss_of_members(self._member_logits(x), y, weight=weight, label_smoothing=label_smoothing)

    def _in_pieces(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Apply a function to a few cells at a time where only values are asked for: each gene becomes many numbers."""
        limit = CPU_VALUES if x.device.type == "cpu" else DEVICE_VALUES
        at_once = max(1, limit // self.values_per_cell)
        if self.training or torch.is_grad_enabled() or len(x) <= at_once:
            return function(x)
        return torch.cat([function(part) for part in x.split(at_once)])


class _Block(nn.Module):
    """A convolution, what follows it, and a maximum over neighbours."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, padding: str, pool: int, groups: int, step: nn.Sequential
    ) -> None:
        super().__init__()
        total = kernel - 1 if padding == "same" else 0
        self.pad = (total // 2, total - total // 2)  # by hand: torch warns of even kernels
        self.convolution = nn.Conv1d(n_in, n_out, kernel, groups=groups)
        self.step, self.pool = step, pool

    def forward(self, x: Tensor) -> Tensor:
        """Map (n_cells, n_in, length) to (n_cells, n_out, shorter length)."""
        hidden = self.step(self.convolution(functional.pad(x, self.pad)))
        return functional.max_pool1d(hidden, self.pool) if self.pool > 1 else hidden
