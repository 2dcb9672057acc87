"""How far a training has come: all that its next step depends on, and that its result is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cellclf.fit._history import History
from cellclf.fit._judge import no_worse

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from cellclf.fit._judge import Judgement
    from cellclf.nn._network import Network

TOLERANCE = 2.0  # standard errors by which a later epoch may seem worse and still be kept


@dataclass
class Progress:
    """A training so far. `epoch` is the one under way, `losses` those of its steps that are done."""

    epoch: int = 1
    losses: list[Tensor] = field(default_factory=list)
    counts: Tensor | None = None  # of the rows of these steps that were told right, see `_tally`
    seconds: float = 0.0  # spent on the epoch under way before the run was taken up again
    history: History = field(default_factory=History)
    lowest: np.ndarray | None = None  # losses of the validation rows in the best epoch
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    finished: bool = False

    def keep(self, network: Network, judged: Judgement | None) -> None:
        """Keep the weights, if no held-out row says that they are clearly worse than the best."""
        if judged is not None:
            losses = judged.row_losses
            self.lowest = losses if self.lowest is None or losses.mean() < self.lowest.mean() else self.lowest
        if judged is None or self.lowest is None or no_worse(judged.row_losses, self.lowest, errors=TOLERANCE):
            self.best_epoch = self.epoch
            self.best = {name: weight.detach().clone() for name, weight in network.state_dict().items()}

    def turn(self, epochs: int, patience: int | None) -> None:
        """Go on to the next epoch, if there is to be one."""
        tired = patience is not None and self.epoch - self.best_epoch >= patience
        self.finished = tired or self.epoch >= epochs
        self.epoch, self.losses, self.counts, self.seconds = self.epoch + 1, [], None, 0.0
