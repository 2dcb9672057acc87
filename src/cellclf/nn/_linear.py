"""The linear network: logistic regression over the genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from torch import nn

from cellclf.nn._network import Network, mean_of_members

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Linear:
    """A linear network: one weight per gene and class (multinomial logistic regression).

    It is the bar that every other network is held against (:func:`cellclf.tl.evaluate`).

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.nn.Linear()
    Linear()
    """

    def build(self, n_genes: int, n_classes: int, *, members: int = 1) -> Network:
        """Make the module with weights at zero.

        Parameters
        ----------
        n_genes
            Number of inputs.
        n_classes
            Number of outputs.
        members
            Number of networks trained side by side.

        Returns
        -------
        The module.
        """
        return LinearNetwork(n_genes, n_classes, members)


@final
class LinearNetwork(Network):
    """The module behind :class:`Linear`."""

    first_linear: nn.Linear

    def __init__(self, n_genes: int, n_classes: int, members: int) -> None:
        super().__init__()
        self.shape = (members, n_classes)
        self.first_linear = nn.Linear(n_genes, members * n_classes)
        nn.init.zeros_(self.first_linear.weight)  # convex: zero is the best start and leaves no chance in the result
        nn.init.zeros_(self.first_linear.bias)

    def after_first(self, hidden: Tensor) -> Tensor:
        """Average the members."""
        return mean_of_members(hidden.view(-1, *self.shape))

    def by_member(self, x: Tensor) -> Tensor:
        """Map cells to each member's logits, (n_cells, members, n_classes)."""
        return self.first_linear(x).view(-1, *self.shape)

    def embed(self, x: Tensor) -> Tensor:
        """Return the logits: a linear network has no hidden layer."""
        return self.first_linear(x)

    def loss(self, x: Tensor, y: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Average the members' cross-entropies."""
        logits = self.by_member(x)
        return self._loss_of_members(logits, y, weight=weight, label_smoothing=label_smoothing)
