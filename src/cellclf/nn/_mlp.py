"""The multi-layer perceptron, with an optional linear skip from the genes to the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from torch import nn

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
    from torch import Tensor


@dataclass(frozen=True)
class MLP:
    """A multi-layer perceptron.

    Parameters
    ----------
    hidden
        Width of each hidden layer, from the genes to the classes.
    activation
        Function applied in each hidden layer.
    dropout
        Share of hidden units switched off in each training step, 0 ≤ dropout < 1; one number, or one per hidden layer.
    batch_norm
        Where a hidden layer is normalised over the batch: ``"before"`` or ``"after"`` its activation, or not (`None`);
        one choice, or one per hidden layer.
    skip
        Add a linear map from the genes to the classes. It starts at zero, and lets the hidden layers learn only
        what a linear network cannot: a help on small data.
    initialisation
        How weights are drawn: ``"default"`` as :class:`torch.nn.Linear` does; otherwise by the named rule of
        :mod:`torch.nn.init`, with biases at zero.

    Raises
    ------
    ValueError
        A width below 1, a dropout outside [0, 1), an unknown name, or a list that has not one entry per hidden layer.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.nn.MLP(hidden=(512, 128), dropout=(0.5, 0.2)).hidden
    (512, 128)
    """

    hidden: Sequence[int] = (256,)
    activation: Activation = "relu"
    dropout: float | Sequence[float] = 0.6
    batch_norm: Norm | Sequence[Norm | None] | None = "before"
    skip: bool = True
    initialisation: Initialisation = "default"

    def __post_init__(self) -> None:
        """Check the values; lists (as read from JSON) become tuples."""
        hidden = _settings.widths("hidden", self.hidden)
        object.__setattr__(self, "hidden", hidden)
        object.__setattr__(self, "dropout", _settings.shares("dropout", self.dropout, len(hidden)))
        object.__setattr__(self, "batch_norm", _settings.choices("batch_norm", self.batch_norm, NORMS, len(hidden)))
        _settings.choice("activation", self.activation, ACTIVATIONS)
        _settings.choice("initialisation", self.initialisation, INITIALISATIONS)

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
        """
        return MLPNetwork(self, n_genes, n_classes, members)


@final
class MLPNetwork(Network):
    """The module behind :class:`MLP`; members lie side by side in each layer."""

    first_linear: nn.Linear

    def __init__(self, description: MLP, n_genes: int, n_classes: int, members: int) -> None:
        super().__init__()
        widths = description.hidden
        self.members, self.n_classes, self.width = members, n_classes, widths[0]
        self.n_skip = n_skip = members * n_classes if description.skip else 0
        self.first_linear = nn.Linear(n_genes, members * widths[0] + n_skip)
        if n_skip:
            nn.init.zeros_(self.first_linear.weight[-n_skip:])
            nn.init.zeros_(self.first_linear.bias[-n_skip:])
        dropouts = _settings.spread(description.dropout, len(widths))
        norms = _settings.spread(description.batch_norm, len(widths))
        self.n_normalised = members * widths[0] if norms[0] == "before" else 0
        self.activations = nn.ModuleList(
            between(description.activation, norm, dropout, members * width)
            for norm, dropout, width in zip(norms, dropouts, widths, strict=True)
        )
        self.linears = nn.ModuleList(
            MemberLinear(members, before, after) for before, after in zip(widths, [*widths[1:], n_classes], strict=True)
        )
        initialise(description.initialisation, self, members=members, n_skip=n_skip)

    def _split(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Part what enters the hidden layers from the linear skip."""
        n_hidden = self.members * self.width
        units, skip = hidden.split([n_hidden, hidden.shape[1] - n_hidden], dim=1)
        return units.contiguous(), skip  # a batch is normalised several times as fast where its rows follow each other

    def _last_hidden(self, hidden: Tensor) -> Tensor:
        """Run the hidden layers, (n_cells, members × width) → (n_cells, members × last width)."""
        hidden = self.activations[0](hidden)
        for linear, activation in zip(self.linears[:-1], self.activations[1:], strict=True):
            hidden = activation(linear(hidden.unflatten(1, (self.members, -1))).flatten(1))
        return hidden

    def member_logits(self, hidden: Tensor) -> Tensor:
        """Map what `first_linear` gives to each member's logits, (n_cells, members, n_classes)."""
        hidden, skip = self._split(hidden)
        logits = self.linears[-1](self._last_hidden(hidden).unflatten(1, (self.members, -1)))
        return logits + skip.view(logits.shape) if skip.shape[1] else logits

    def after_first(self, hidden: Tensor) -> Tensor:
        """Average the members' probabilities."""
        return mean_of_members(self.member_logits(hidden))

    def by_member(self, x: Tensor) -> Tensor:
        """Map cells to each member's logits, (n_cells, members, n_classes)."""
        return self.member_logits(self.first_linear(x))

    def embed(self, x: Tensor) -> Tensor:
        """Return the last hidden layer, members side by side."""
        return self._last_hidden(self._split(self.first_linear(x))[0])

    def loss(self, x: Tensor, y: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Average the members' cross-entropies."""
        logits = self.by_member(x)
        return self._loss_of_members(logits, y, weight=weight, label_smoothing=label_smoothing)
