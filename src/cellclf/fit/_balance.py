"""Classes of unequal size: weights in the loss, and batches that hold all classes equally."""

from __future__ import annotations

import numpy as np
import torch


def class_weights(y: np.ndarray, n_classes: int, kind: str | None) -> torch.Tensor:
    """Return the weight of each class in the loss; the mean over the rows is one, and an absent class weighs nothing."""
    sizes = np.bincount(y, minlength=max(n_classes, 1)).astype(np.float64)  # one where there is no label
    power = {None: 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weight = np.divide(1.0, sizes, where=sizes > 0, out=np.zeros(len(sizes))) ** power * (sizes > 0)
    return torch.from_numpy((weight * sizes.sum() / (weight * sizes).sum()).astype(np.float32))


def balanced_order(y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw as many rows as there are, the classes in turn, so that any stretch holds all classes equally to within one row."""
    classes = random.permutation(np.unique(y))
    n_turns = -(-len(y) // len(classes))
    turns = [_again_and_again(np.flatnonzero(y == k), n_turns, random) for k in classes]
    return np.stack(turns, axis=1).ravel()[: len(y)]


def _again_and_again(rows: np.ndarray, length: int, random: np.random.Generator) -> np.ndarray:
    """Shuffle rows, and again, until there are `length` of them."""
    return np.concatenate([random.permutation(rows) for _ in range(-(-length // len(rows)))])[:length]
