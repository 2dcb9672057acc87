"""Dropout of inputs: at thousands of genes, drawing the mask with torch on a CPU costs as much as the step itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 2**16  # a share is kept to one part in so many


def drop_inputs(inputs: Tensor, share: float, generator: np.random.Generator) -> Tensor:
    """Set a share of the inputs (n_cells, n_genes) to zero and scale up the others; `inputs` may be overwritten."""
    if share == 0 or inputs.device.type != "cpu":
        return torch.nn.functional.dropout(inputs, share)
    least = round(share * LEVELS)
    bits = generator.integers(2**64 - 1, size=-(-inputs.numel() // 4), dtype=np.uint64, endpoint=True)
    random = bits.view(np.uint16)[: inputs.numel()]
    values = inputs.numpy()  # a view; by truth values NumPy multiplies several times as fast as torch
    with np.errstate(invalid="ignore"):  # inputs gone astray show in the loss
        np.multiply(values, (random >= least).reshape(values.shape), out=values)
    return inputs.mul_(LEVELS / (LEVELS - least))
