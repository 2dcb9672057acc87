"""A training to be done, and one that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cellclf.fit._axes import n_axes, read_genes, read_through_axes
from cellclf.fit._chance import seed_of
from cellclf.fit._pair import Pair, parts
from cellclf.nn._generators import borrowed_generators
from cellclf.nn._registry import build

if TYPE_CHECKING:
    from cellclf.fit._options import Fit
    from cellclf.fit._rows import Rows
    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description

Initial = Mapping[str, Tensor] | Callable[["Network"], Mapping[str, Tensor]] | None


@dataclass(frozen=True)
class Task:
    """What is to be learnt from which rows, and how; `beside` it, a network that the user's penalties spare."""

    description: Description
    rows: Rows
    valid: Rows | None
    options: Fit
    n_classes: int
    seed: int
    epochs: int | None
    initial: Initial
    title: str
    beside: Description | None = None
    initial_beside: Initial = None
    axes: bool = True  # whether hidden layers may read through axes: not where weights of genes are given

    def build(self) -> Network:
        """Make the network with its first weights: fresh ones, or given (made of the fresh ones, where a function is)."""
        network = self._made(self.description, self.options.members, self.initial, axes=self.axes)
        return network if self.beside is None else Pair(network, self._made(self.beside, 1, self.initial_beside))

    def _made(self, description: Description, members: int, initial: Initial, *, axes: bool = False) -> Network:
        """Make one of the networks."""
        network = build(description, self.rows.x.shape[1], self.n_classes, members)
        n = n_axes(network, self.rows, self.options) if axes else 0
        if n:
            read_through_axes(network, self.rows, n, members=members)
        if initial is not None:
            network.load_state_dict(initial(network) if callable(initial) else initial)
        return network

    def first_weights(self) -> dict[str, Tensor]:
        """Return the first weights, as the training will draw them."""
        return self.first().state_dict()

    def first(self) -> Network:
        """Make the network as the training will begin with it."""
        with borrowed_generators():
            torch.manual_seed(seed_of(self.seed, 0))
            return self.build()


@dataclass(frozen=True)
class Trained:
    """A trained network on the CPU, the one trained `beside` it, and how they came to be."""

    network: Network
    history: dict[str, np.ndarray]
    best_epoch: int  # counted from 1
    interrupted: bool
    batch_size: int | None
    beside: Network | None = None

    @classmethod
    def of(cls, network: Network, *how: Any) -> Trained:
        """Bring what was trained to the CPU, ready for use."""
        main, *beside = parts(network.cpu().eval())
        main.batch_logits = None
        read_genes(main)
        return cls(main, *how, *beside)
