"""The interface of every network: where the genes enter, and what comes after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class Network(nn.Module, ABC):
    """The base of every network: a map from cells (n_cells × n_genes) to logits (n_cells × n_classes).

    The networks of this package are final: nobody inherits from the module behind :class:`cellclf.nn.MLP`. Your own
    module inherits from this class and defines `embed`, and one of two:

    - `first_linear`, a :class:`torch.nn.Linear` that is the only map of the genes (the rows of a linear skip stacked
      below), and `after_first`, everything behind it. Importances are then fast, and weights can be read.
    - `forward`, for a network that does not begin with a linear layer. `first_linear` stays `None`.

    A `loss` of your own may leave in `batch_logits` what it computed for each cell; the history of the training then also
    shows accuracy and macro-F1 on the training rows.

    See Also
    --------
    cellclf.nn.register : make a description known, so that models can be saved and loaded.

    Examples
    --------
    >>> import cellclf as cc
    >>> isinstance(cc.nn.MLP().build(10, 3), cc.nn.Network)
    True
    """

    first_linear: nn.Linear | None
    n_normalised: int = 0  # first rows of `first_linear` that enter a batch normalisation: their length means nothing
    n_skip: int = 0  # last rows of `first_linear` that lead past the hidden layers
    reconstructs: bool = False  # whether `loss` also takes `target`, the inputs before any of them was dropped
    batch_logits: Tensor | None = None  # logits of the rows of the last `loss` (n_cells, n_classes), for the history

    def __init__(self) -> None:
        super().__init__()
        self.first_linear = None

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Map cells to what the last layer sees, (n_cells, n_embedding)."""

    def after_first(self, hidden: Tensor) -> Tensor:
        """Map what `first_linear` gives, (n_cells, n_hidden), to logits (n_cells, n_classes)."""
        msg = f"{type(self).__name__} has no layers after a first linear one. Call the network itself."
        raise TypeError(msg)

    def forward(self, x: Tensor) -> Tensor:
        """Map cells to logits (n_cells, n_classes)."""
        if self.first_linear is None:
            msg = f"{type(self).__name__} has no `first_linear`; it must define `forward` itself."
            raise TypeError(msg)
        return self.after_first(self.first_linear(x))

    def loss(self, x: Tensor, y: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0) -> Tensor:
        """Return the cross-entropy of cells `x` with classes `y`, weighted by class."""
        logits = self(x)
        self.batch_logits = logits.detach()
        return cross_entropy(logits, y, weight=weight, label_smoothing=label_smoothing)

    def by_member(self, x: Tensor) -> Tensor:
        """Map cells to each member's logits, (n_cells, n_members, n_classes); a network of one piece is its only member."""
        return self(x)[:, None]

    def _loss_of_members(self, logits: Tensor, y: Tensor, *, weight: Tensor | None, label_smoothing: float) -> Tensor:
        """Average the members' own losses, from logits (n_cells, n_members, n_classes): each learns as if it were alone."""
        n_cells, n_members, n_classes = logits.shape
        self.batch_logits = mean_of_members(logits.detach())
        flat = logits.reshape(n_cells * n_members, n_classes)
        of_members = y[:, None].expand(-1, n_members).flatten()
        return cross_entropy(flat, of_members, weight=weight, label_smoothing=label_smoothing)

    def row_losses(self, x: Tensor) -> Tensor:
        """Return the loss of each cell (n_cells) by which a network without classes is judged."""
        msg = f"{type(self).__name__} is trained without a label, but defines no `row_losses` to judge it by."
        raise TypeError(msg)


def cross_entropy(logits: Tensor, y: Tensor, *, weight: Tensor | None, label_smoothing: float) -> Tensor:
    """Return the cross-entropy of logits (n_cells, n_classes) with classes, a share of each target spread evenly over all.

    A cell weighs as its class does, with all of its target. (In torch's own, the share that is spread weighs by the classes on
    which it falls: where large classes weigh little, that draws their cells towards the small ones.)
    """
    scores = functional.log_softmax(logits, dim=1)
    told = scores.gather(1, y[:, None])[:, 0]
    losses = -torch.lerp(told, scores.mean(dim=1), label_smoothing) if label_smoothing else -told
    if weight is None:
        return losses.mean()
    weights = weight[y]
    return (losses * weights).sum() / weights.sum()


def mean_of_members(logits: Tensor) -> Tensor:
    """Average the probabilities of members, (n_cells, n_members, n_classes) → logarithms (n_cells, n_classes)."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    return torch.logsumexp(torch.log_softmax(logits, dim=-1), dim=1) - torch.log(torch.tensor(float(logits.shape[1])))


class MemberLinear(nn.Module):
    """A linear layer for each of several members: (n_cells, n_members, n_in) → (n_cells, n_members, n_out)."""

    def __init__(self, n_members: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_members, n_out))
        bound = n_in**-0.5  # the range of torch.nn.Linear
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Apply each member's own weights to its own inputs."""
        return torch.baddbmm(self.bias[:, None], x.transpose(0, 1), self.weight.mT).transpose(0, 1)
