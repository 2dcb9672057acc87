"""What a network can listen to: the size of the weights that leave each input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import torch

from cellclf.nn._linear import LinearNetwork
from cellclf.nn._mlp import MLPNetwork

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from cellclf.nn._network import MemberLinear, Network


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


@torch.no_grad()
def path_weights(network: Network) -> np.ndarray:
    """Add up, for each input and class, the products of the weights along all paths that join them.

    It is what the network would be if its activation function were the identity: exact for a linear network, a summary
    for one hidden layer. Batch normalisation counts with its scale, members are averaged, and the mean over the classes
    is taken away, since a constant added to all classes changes nothing.

    Parameters
    ----------
    network
        A linear network, or an MLP with one hidden layer.

    Returns
    -------
    Signed weights (n_inputs, n_classes), float64.

    Raises
    ------
    TypeError
        The network is deeper, or of another kind.

    Examples
    --------
    >>> import cellclf as cc
    >>> path_weights(cc.nn.Linear().build(4, 3)).shape
    (4, 3)
    """
    if isinstance(network, LinearNetwork):
        members, n_classes = network.shape
        paths = network.first_linear.weight.cpu().double().view(members, n_classes, -1)
    elif isinstance(network, MLPNetwork) and len(network.linears) == 1:
        paths = _through_hidden(network)
    else:
        msg = (
            f"Paths from gene to class are added up for cc.nn.Linear() and for MLPs with one hidden layer, not for this "
            f"{type(network).__name__}. Use norm='sum', or method='integrated_gradients', which follows every layer."
        )
        raise TypeError(msg)
    mean = paths.mean(dim=0)
    return (mean - mean.mean(dim=0)).T.numpy()


def _through_hidden(network: MLPNetwork) -> Tensor:
    """Return the paths of each member of a network with one hidden layer (n_members, n_classes, n_inputs)."""
    weight = network.first_linear.weight.cpu().double()
    n_hidden = network.members * network.width
    hidden = weight[:n_hidden].view(network.members, network.width, -1)
    for module in network.activations[0].modules():
        if isinstance(module, torch.nn.BatchNorm1d) and module.running_var is not None:
            scale = module.weight.cpu().double() / torch.sqrt(module.running_var.cpu().double() + module.eps)
            hidden = hidden * scale.view(network.members, network.width, 1)
    paths = cast("MemberLinear", network.linears[0]).weight.cpu().double() @ hidden
    skip = weight[n_hidden:].view(network.members, -1, weight.shape[1])
    return paths + skip if skip.shape[1] else paths
