"""From a loss to changed weights."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import chain
from typing import TYPE_CHECKING

import torch

from cellclf.fit._pair import parts
from cellclf.fit._penalty import MOMENTUM, Penalty

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from torch import Tensor

    from cellclf.fit._hardware import Hardware
    from cellclf.fit._options import Fit
    from cellclf.nn._network import Network

BETAS = (0.9, 0.99)  # of AdamW: few steps, so the squares may not remember a thousand


class Optimiser:
    """The steps of a training: gradient, scaled where half precision needs it, clipped, a step, and the shrinking of genes."""

    def __init__(self, network: Network, options: Fit, hardware: Hardware) -> None:
        self.rule = rule_of(network.parameters(), options)
        self.penalty = Penalty(parts(network)[0], options)
        self._weights = [list(part.parameters()) for part in parts(network)]
        self._clip_norm, self._members = options.clip_norm, options.members
        self._dtype = None if options.precision == "float32" else getattr(torch, options.precision)
        self._hardware = hardware
        # in float16 small gradients would vanish: the loss is multiplied, and the gradients divided again
        self.scaler = torch.amp.GradScaler(hardware.device.type) if options.precision == "float16" else None

    def autocast(self) -> AbstractContextManager[object]:
        """Compute in half precision within, where that is asked for."""
        return nullcontext() if self._dtype is None else torch.autocast(self._hardware.device.type, self._dtype)

    def step(self, loss: Tensor, rate: float) -> None:
        """Change the weights by the gradient of a loss."""
        for group in self.rule.param_groups:
            group["lr"] = rate
        for weight in chain(*self._weights):
            weight.grad = None  # all that `zero_grad` does, but that takes a fiftieth of the step
        self._hardware.backward(loss if self.scaler is None else self.scaler.scale(loss))
        if self._members > 1:  # the loss is the mean of theirs, but each is to learn as if it were alone
            torch._foreach_mul_([weight.grad for weight in self._weights[0] if weight.grad is not None], self._members)
        if self._clip_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(self.rule)
            for weights, members in zip(self._weights, (self._members, 1), strict=False):
                torch.nn.utils.clip_grad_norm_(weights, self._clip_norm * members**0.5)
        if self.scaler is None:
            self.rule.step()
        else:
            self.scaler.step(self.rule)
            self.scaler.update()
        self.penalty.shrink(rate, self.rule)

    def state(self) -> dict[str, Tensor]:
        """Return everything the next step depends on besides the weights, by name."""
        slots = self.rule.state_dict()["state"]
        tensors = {
            f"{i}.{name}": value for i, slot in slots.items() for name, value in slot.items() if value is not None
        }
        if self.scaler is not None:
            tensors |= {f"scaler.{name}": torch.tensor(value) for name, value in self.scaler.state_dict().items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up the state that `state` gave."""
        slots: dict[int, dict[str, Tensor]] = {}
        scale: dict[str, float | int] = {}
        for name, value in tensors.items():
            part, _, key = name.partition(".")
            if part == "scaler":
                scale[key] = value.item()
            else:
                slots.setdefault(int(part), {})[key] = value
        self.rule.load_state_dict({"state": slots, "param_groups": self.rule.state_dict()["param_groups"]})
        if self.scaler is not None:
            self.scaler.load_state_dict(scale)


def rule_of(weights: Iterable[Tensor], options: Fit) -> torch.optim.Optimizer:
    """Make torch's optimiser."""
    decay = options.weight_decay
    if options.optimiser == "sgd":
        return torch.optim.SGD(weights, lr=options.learning_rate, momentum=MOMENTUM, weight_decay=decay, fused=True)
    if options.optimiser == "adam":
        return torch.optim.Adam(weights, weight_decay=decay, fused=True)
    return torch.optim.AdamW(weights, betas=BETAS, weight_decay=decay, fused=True)
