"""A linear discriminant that speaks through the linear skip of a trained network, as loud as the validation rows want it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from cellclf import stats
from cellclf.fit._apply import logits

if TYPE_CHECKING:
    from cellclf.fit._options import Fit
    from cellclf.fit._rows import Rows
    from cellclf.nn._network import Network

N_JUDGED = 8192  # validation rows that are asked


class Discriminant(NamedTuple):
    """Weights (n_genes, n_classes) and biases (n_classes) of logits."""

    weight: np.ndarray
    bias: np.ndarray


def has_room(network: Network, options: Fit) -> bool:
    """Tell whether a discriminant may speak: only through a linear skip whose weights no penalty rules."""
    return bool(options.discriminant and network.n_skip and not (options.l1 or options.l2 or options.group_l1))


def learn_discriminant(rows: Rows, n_classes: int) -> Discriminant:
    """Learn it from some of the training rows."""
    chosen = stats.evenly(rows.y, stats.N_LEARNT)
    sizes = np.bincount(rows.y, minlength=n_classes)
    return Discriminant(*stats.discriminant(np.asarray(rows.x[chosen]), rows.y[chosen], sizes, rows.axes(stats.N_AXES)))


def loudness(network: Network, found: Discriminant, valid: Rows, device: torch.device) -> float:
    """Find the weight of the discriminant's logits beside the network's that validation rows want."""
    asked = np.unique(np.linspace(0, len(valid.y) - 1, min(len(valid.y), N_JUDGED)).astype(int))
    cells = np.asarray(valid.x[asked])
    return stats.best_weight(logits(network, cells, device), cells @ found.weight + found.bias, valid.y[asked])


@torch.no_grad()
def speak(network: Network, found: Discriminant, loud: float) -> None:
    """Add the discriminant to the linear skip of every member."""
    first, n_skip = network.first_linear, network.n_skip
    if first is None or not loud:
        return
    members = n_skip // len(found.bias)
    first.weight[-n_skip:] += torch.from_numpy(loud * found.weight.T).to(first.weight).repeat(members, 1)
    first.bias[-n_skip:] += torch.from_numpy(loud * found.bias).to(first.bias).repeat(members)
