"""What a network can listen to: the size of the weights that leave each input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    import numpy as np

    from cellclf.nn._network import Network


@torch.no_grad()
def first_layer_norms(network: Network, kind: Literal["sum", "l2"] = "sum") -> np.ndarray:
    """Measure the weights that leave each input in the first layer, skip and members included.

    Parameters
    ----------
    network
        A network with a `first_linear`.
    kind
        ``"sum"`` adds the absolute weights, ``"l2"`` takes the length of the vector they form.

    Returns
    -------
    One number per input (n_inputs), float64.

    Raises
    ------
    TypeError
        The network has no `first_linear`.
    ValueError
        `kind` is neither ``"sum"`` nor ``"l2"``.

    Examples
    --------
    >>> import cellclf as cc
    >>> first_layer_norms(cc.nn.Linear().build(4, 3))
    array([0., 0., 0., 0.])
    """
    orders = {"sum": 1, "l2": 2}
    if kind not in orders:
        msg = f"kind={kind!r} is not known. Choose 'sum' or 'l2'."
        raise ValueError(msg)
    if network.first_linear is None:
        msg = (
            f"{type(network).__name__} has no first linear layer, so no weight belongs to one gene. "
            "Use method='permutation', or train cc.nn.MLP() or cc.nn.Linear()."
        )
        raise TypeError(msg)
    weight = network.first_linear.weight.cpu().double()
    return torch.linalg.vector_norm(weight, ord=orders[kind], dim=0).numpy()
