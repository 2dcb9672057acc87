"""What keeps weights small, or genes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from cellclf.fit._options import Fit
    from cellclf.nn._network import Network

MOMENTUM = 0.9  # of gradient descent


class Penalty:
    """The penalties of a training: `l1` and `l2` are added to the loss, `group_l1` shrinks the first layer after a step."""

    def __init__(self, network: Network, options: Fit) -> None:
        named = {name: weight for name, weight in network.named_parameters() if "bias" not in name}
        self._weights = list(named.values()) if options.l1 else []
        self._n_weights = sum(weight.numel() for weight in self._weights)
        self._layers = [(strength, _layer(named, name)) for name, strength in dict(options.l2).items() if strength]
        self._options = options
        self._first = _first_layer(network) if options.group_l1 else None
        self._n_normalised = network.n_normalised

    def add(self, loss: Tensor) -> Tensor:
        """Add the penalties to a loss."""
        if self._weights:
            size = torch.stack([weight.abs().sum() for weight in self._weights]).sum()
            loss = loss + self._options.l1 * size / self._n_weights
        for strength, weights in self._layers:
            size = torch.stack([weight.square().sum() for weight in weights]).sum()
            loss = loss + strength / self._options.members * size
        return loss

    @torch.no_grad()
    def shrink(self, rate: float, rule: torch.optim.Optimizer) -> None:
        """Take the proximal step of the group lasso after a step of the optimiser.

        The step of weight w was rate / d times a gradient, and so is the pull of the penalty: a gene goes where its pull is
        the stronger, and the solution is that of the penalised loss, whichever optimiser finds it.
        """
        divisor = _divisor(self._first, rule)
        if self._first is None or divisor is None:
            return
        pull = rate * self._options.group_l1 * self._options.members * self._first.shape[0] ** 0.5
        rows = self._first[: self._n_normalised]
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        norms = torch.linalg.vector_norm(self._first, dim=0)
        resists = torch.linalg.vector_norm(self._first * divisor, dim=0)
        remains = norms * (1 - pull / resists)  # the length after the step, exact where the divisor is one number
        self._first.mul_(torch.where(resists > pull, 1 / (1 + pull / (divisor * remains)), 0.0))
        # batch normalisation undoes the scale of a unit: shrinking it would only make its gradients grow without end
        left = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        rows.mul_(torch.where(left > 0, lengths / left, 1.0))

    def genes_left(self) -> dict[str, int]:
        """Count the genes with any weight, for the history; nothing where none can leave."""
        if self._first is None:
            return {}
        return {"genes_left": int(self._first.detach().any(dim=0).sum())}


def _divisor(weight: Tensor | None, rule: torch.optim.Optimizer) -> Tensor | None:
    """Return what the optimiser divides gradients by; nothing before its first step."""
    state = {} if weight is None else rule.state[weight]
    if weight is None or not state:
        return None
    if "exp_avg_sq" not in state:  # the steps of momentum add up
        return weight.new_tensor(1 - MOMENTUM)
    settings = rule.param_groups[0]
    return (state["exp_avg_sq"] / (1 - settings["betas"][1] ** state["step"])).sqrt() + settings["eps"]


def _layer(named: dict[str, torch.nn.Parameter], name: str) -> list[torch.nn.Parameter]:
    """Return the weights of a layer named by `l2`."""
    found = [weight for key, weight in named.items() if f"{key}.".startswith(f"{name}.")]
    if not found:
        layers = ", ".join(repr(key.removesuffix(".weight")) for key in named)
        msg = f"Fit(l2=…) names the layer {name!r}, which the network does not have. Its layers are {layers}."
        raise ValueError(msg)
    return found


def _first_layer(network: Network) -> Tensor:
    """Return the weights of the genes in the first layer."""
    if network.first_linear is None:
        msg = (
            f"Fit(group_l1=…) takes genes out of a first linear layer, which {type(network).__name__} does not have. "
            "Use cc.nn.MLP() or cc.nn.Linear(), or leave group_l1 out."
        )
        raise TypeError(msg)
    return network.first_linear.weight
