"""Run a network over many rows, a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from cellclf.fit._cells import Cells
    from cellclf.nn._network import Network

BLOCK = 4096


def logits(network: Network, x: np.ndarray | Cells, device: torch.device) -> np.ndarray:
    """Return the logits of rows `x` (n_cells, n_genes), float64 so that calibration is exact."""
    return apply(network, network, x, device).astype(np.float64)


def embedding(network: Network, x: np.ndarray | Cells, device: torch.device) -> np.ndarray:
    """Return what the network's last layer sees of rows `x` (n_cells, n_genes)."""
    return apply(network, network.embed, x, device)


def by_member(network: Network, x: np.ndarray | Cells, device: torch.device) -> np.ndarray:
    """Return the logits of each member for rows `x` (n_cells, n_members, n_classes)."""
    return apply(network, network.by_member, x, device)


@torch.no_grad()
def apply(
    network: Network, function: Callable[[Tensor], Tensor], x: np.ndarray | Cells, device: torch.device
) -> np.ndarray:
    """Apply a function of the network, in evaluation mode, on a device."""
    network.to(device).eval()
    return apply_there(function, x, device)


@torch.no_grad()
def apply_there(function: Callable[[Tensor], Tensor], x: np.ndarray | Cells, device: torch.device) -> np.ndarray:
    """Apply a function of a network that lies on the device already, in evaluation mode."""
    parts = [function(torch.from_numpy(x[i : i + BLOCK]).to(device)).cpu() for i in range(0, len(x), BLOCK)]
    return torch.cat(parts).numpy()
