"""What a network still knows when inputs are taken away, or given back, in some order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from cellclf.attribution._measures import judge
from cellclf.attribution._probe import n_together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cellclf.nn._network import Network


@torch.inference_mode()
def replacement_curve(
    network: Network,
    x: Tensor | np.ndarray,
    y: Tensor | np.ndarray,
    order: np.ndarray,
    sizes: Sequence[int] | np.ndarray,
    fill: np.ndarray,
    *,
    kind: Literal["deletion", "insertion"],
    temperature: float = 1.0,
) -> np.ndarray:
    """Measure a network while the first inputs of an order are replaced (deletion), or alone are kept (insertion).

    Parameters
    ----------
    network
        The network; it is put into evaluation mode.
    x
        Inputs (n_rows, n_inputs).
    y
        Class of each row (n_rows).
    order
        Columns of the inputs, the first one first.
    sizes
        How many inputs of the order are replaced or kept at each point.
    fill
        What stands in for an input (n_inputs).
    kind
        ``"deletion"`` or ``"insertion"``.
    temperature
        The logits are divided by this number.

    Returns
    -------
    Cross-entropy, accuracy and macro-F1 at each point (n_sizes, 3).

    Examples
    --------
    >>> import cellclf as cc, torch
    >>> network, x, y = cc.nn.Linear().build(4, 2), torch.eye(4), torch.tensor([0, 1, 0, 1])
    >>> replacement_curve(network, x, y, np.arange(4), [0, 4], np.zeros(4), kind="deletion").shape
    (2, 3)
    """
    network.eval()
    device = next(network.parameters(), torch.empty(0)).device
    x, y = torch.as_tensor(x, device=device), torch.as_tensor(y, device=device)
    substitute = torch.as_tensor(fill, device=device).to(x.dtype)
    curve = np.empty((len(sizes), 3))
    for point, size in enumerate(sizes):
        replaced = torch.zeros(x.shape[1], dtype=torch.bool, device=device)
        replaced[torch.as_tensor(np.asarray(order[:size]), device=device)] = True
        replaced = ~replaced if kind == "insertion" else replaced
        parts = [network(torch.where(replaced, substitute, part)) for part in x.split(n_together(x))]
        logits = torch.cat(parts)
        curve[point] = [judge(logits, y, temperature, m).baseline for m in ("loss", "accuracy", "macro_f1")]
    return curve
