"""How well the batches of an epoch were told apart, counted as they pass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from cellclf.fit._hardware import Hardware


def tally(logits: Tensor | None, y: Tensor, before: Tensor | None) -> Tensor | None:
    """Add a batch to the counts of rows by class and call (n_classes × n_classes, as one row); no logits, no counts."""
    if logits is None or logits.shape[1] == 0:
        return None
    n_classes = logits.shape[1]
    counts = torch.bincount(y * n_classes + logits.argmax(dim=1), minlength=n_classes**2)  # few operations: each costs
    return counts if before is None else before.add_(counts)


def measures(counts: Tensor | None, hardware: Hardware) -> dict[str, float]:
    """Return accuracy and macro-F1 of what was counted, on all devices together; nothing where nothing was."""
    if counts is None:
        return {}
    table = hardware.mean(counts.float()).cpu().double()
    table = table.view(math.isqrt(len(table)), -1)
    right, taken, there = table.diagonal(), table.sum(dim=0), table.sum(dim=1)
    present = taken + there > 0
    f1 = 2 * right[present] / (taken + there)[present]
    return {"train_accuracy": float(right.sum() / there.sum()), "train_macro_f1": float(f1.mean())}
