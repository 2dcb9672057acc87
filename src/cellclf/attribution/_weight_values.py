"""All weights of a network, in one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import nn

if TYPE_CHECKING:
    from cellclf.nn._network import Network

SCALES = (nn.BatchNorm1d, nn.LayerNorm, nn.GroupNorm)


def weight_values(network: Network) -> np.ndarray:
    """Collect the weights of all layers; biases and the scales of normalisations are left out.

    Parameters
    ----------
    network
        Any network.

    Returns
    -------
    The weights, layer after layer (n_weights), float32.

    Examples
    --------
    >>> import cellclf as cc
    >>> weight_values(cc.nn.Linear().build(2, 3))
    array([0., 0., 0., 0., 0., 0.], dtype=float32)
    """
    layers = [
        weight.detach().cpu().float().numpy().ravel()
        for module in network.modules()
        if not isinstance(module, SCALES)
        for name, weight in module.named_parameters(recurse=False)
        if "bias" not in name
    ]
    return np.concatenate(layers)
