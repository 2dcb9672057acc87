"""How large a network is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cellclf.nn._generators import borrowed_generators
from cellclf.nn._registry import build

if TYPE_CHECKING:
    from cellclf.nn._registry import Description


def n_parameters(description: Description, n_genes: int, n_classes: int, *, members: int = 1) -> int:
    """Count the parameters that training would change, without allocating any.

    Parameters
    ----------
    description
        A network's description, such as :class:`cellclf.nn.MLP`.
    n_genes
        Number of inputs.
    n_classes
        Number of outputs.
    members
        Number of networks side by side.

    Returns
    -------
    The number of weights and biases; 4 bytes each.

    Raises
    ------
    ValueError
        The network cannot be built for so many genes.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.nn.n_parameters(cc.nn.named("tumours"), 20531, 5)
    107774365
    """
    with torch.device("meta"), borrowed_generators():
        network = build(description, n_genes, n_classes, members)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
