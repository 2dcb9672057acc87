"""What a network makes of some cells: probabilities, embedding, and how unlike the training cells they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from cellclf import stats
from cellclf.nn._network import mean_of_members

if TYPE_CHECKING:
    from cellclf.nn._network import Network


class Impression(NamedTuple):
    """What a network makes of some cells.

    Probabilities `proba` and `strangeness` for each class (n_cells, n_classes), `embedding` (n_cells, n_embedding), and the
    `spread` of the members (n_cells). Without classes the first two have no columns.
    """

    proba: np.ndarray
    embedding: np.ndarray
    strangeness: np.ndarray
    spread: np.ndarray

    @property
    def novelty(self) -> np.ndarray:
        """How unlike the cells of the most similar class (n_cells); NaN without classes."""
        return self.strangeness.min(axis=1) if self.strangeness.shape[1] else np.full(len(self.strangeness), np.nan)

    @property
    def nonconformity(self) -> np.ndarray:
        """How badly each cell fits each class (n_cells, n_classes)."""
        return stats.nonconformity(self.proba, self.strangeness)


class Block(NamedTuple):
    """Predictions for some cells: what the network makes of them, and probabilities of the linear network."""

    network: Impression
    linear_proba: np.ndarray

    @property
    def proba(self) -> np.ndarray:
        """Probability of each class."""
        return self.network.proba

    @property
    def embedding(self) -> np.ndarray:
        """What the network's last layer sees."""
        return self.network.embedding


@torch.no_grad()
def impression(
    network: Network, novelty: stats.Novelty | None, temperature: float, inputs: np.ndarray, device: torch.device
) -> Impression:
    """Run a network, in evaluation mode, over cells as it reads them (n_cells, n_genes)."""
    x = torch.from_numpy(inputs).to(device)
    embedding = network.embed(x).cpu().numpy()
    members = network.by_member(x)
    proba = torch.softmax(mean_of_members(members) / temperature, dim=1).cpu().numpy()
    if np.isnan(proba).any():
        msg = (
            f"The network gives no probabilities (NaN) for {int(np.isnan(proba).any(axis=1).sum())} cells: its weights are "
            "not finite. Train it again, with a lower learning rate."
        )
        raise ValueError(msg)
    if novelty is None:
        return Impression(proba, embedding, np.zeros((len(x), 0)), np.zeros(len(x), dtype=np.float32))
    each = (members / temperature).cpu()
    strangeness = novelty.by_class(inputs, embedding, each.numpy())
    own = torch.softmax(each, dim=2).numpy()[np.arange(len(x)), :, proba.argmax(axis=1)]
    return Impression(proba, embedding, strangeness, own.std(axis=1))
