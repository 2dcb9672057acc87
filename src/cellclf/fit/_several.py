"""Train several networks of one kind side by side: each from first weights, rows and batches of its own, as if alone."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.func import functional_call, stack_module_state, vmap

from cellclf.fit._axes import read_genes
from cellclf.fit._balance import class_weights
from cellclf.fit._batches import batches, n_batches
from cellclf.fit._chance import seed_of
from cellclf.fit._dropout import drop_inputs
from cellclf.fit._hardware import Hardware, device_of
from cellclf.fit._loop import check_weights, default_epochs
from cellclf.fit._optimiser import rule_of
from cellclf.fit._schedule import learning_rate
from cellclf.fit._task import Task
from cellclf.nn import MLP, Linear, n_parameters
from cellclf.nn._generators import borrowed_generators
from cellclf.nn._network import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cellclf.fit._options import Fit
    from cellclf.fit._rows import Rows
    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description

CPU_WEIGHTS = 2**19  # of one network above which a CPU is busy with it alone
ALL_WEIGHTS, ALL_BYTES = 2**26, 2**30  # weights, and bytes of inputs, that are held together


class Several(NamedTuple):
    """Networks trained side by side, on the CPU; those of an `interrupted` training are as far as they came."""

    networks: list[Network]
    interrupted: bool


def n_side_by_side(description: Description, options: Fit, *, n_rows: int, n_inputs: int, n_classes: int) -> int:
    """Return how many networks are best trained at once: one where something would couple them, or nothing is gained."""
    coupled = options.clip_norm or options.l1 or options.l2 or options.group_l1
    plain = options.devices == 1 and options.precision == "float32"
    if coupled or not plain or not isinstance(description, MLP | Linear):
        return 1
    n_weights = n_parameters(description, n_inputs, n_classes, members=options.members)
    if device_of(options.device).type == "cpu" and n_weights > CPU_WEIGHTS:
        return 1
    return max(1, min(ALL_WEIGHTS // n_weights, ALL_BYTES // (4 * n_rows * n_inputs)))


def train_several(
    description: Description,
    rows: Sequence[Rows],
    options: Fit,
    *,
    n_classes: int,
    seeds: Sequence[int],
    epochs: int | None,
    title: str,
) -> Several:
    """Train a network on each of `rows`, all of the same length, from the first weights and in the order of its seed.

    Without dropout each comes out as :func:`cellclf.fit.train` would bring it, up to rounding; dropout is drawn for all.
    """
    device, n_rows = device_of(options.device), len(rows[0].y)
    hardware, epochs = Hardware(device), epochs or default_epochs(n_rows, options)
    steps, interrupted = n_batches(n_rows, options.batch_size), False
    with borrowed_generators(device):
        networks = [_first(description, part, n_classes, options, seed) for part, seed in zip(rows, seeds, strict=True)]
        together = _Together([network.to(device) for network in networks])
        rule = rule_of(together.weights.values(), options)
        x, y = [hardware.place(part.x) for part in rows], [hardware.place(part.y) for part in rows]
        balanced = [part.y if options.sampling == "balanced" else None for part in rows]
        kind = None if options.sampling == "balanced" else options.class_weight
        weight = [class_weights(part.y, n_classes, kind).to(device) for part in rows]
        bar = hardware.bar(title, done=0, epochs=epochs)
        try:
            for epoch in range(1, epochs + 1):
                torch.manual_seed(seed_of(seeds[0], epoch))
                masks = np.random.default_rng([seeds[0], epoch, 2])
                cuts = [
                    batches(n_rows, options.batch_size, seed=seed, epoch=epoch, balanced=classes)
                    for seed, classes in zip(seeds, balanced, strict=True)
                ]
                for step, cut in enumerate(zip(*cuts, strict=True)):
                    cells = torch.stack([hardware.cut(own, index) for own, index in zip(x, cut, strict=True)])
                    classes = [hardware.cut(own, index) for own, index in zip(y, cut, strict=True)]
                    logits = together.logits(drop_inputs(cells, options.input_dropout, masks))
                    loss = options.members * _loss(logits, classes, weight, options.label_smoothing)
                    for group in rule.param_groups:
                        group["lr"] = learning_rate(options, (epoch - 1) * steps + step, epochs * steps)
                    rule.zero_grad(set_to_none=True)
                    loss.backward()
                    rule.step()
                bar.update(1)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            bar.close()
        together.give_back(networks)
    for network in networks:
        check_weights(network, options)
    return Several([read_genes(network.cpu().eval()) for network in networks], interrupted)


class _Together:
    """Networks of one kind as one: their weights stacked, run on inputs of their own."""

    def __init__(self, networks: list[Network]) -> None:
        self.weights, self.buffers = stack_module_state(networks)
        skeleton = _ByMember(deepcopy(networks[0]).to("meta").train())

        def run(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
            state = {f"network.{name}": tensor for name, tensor in (weights | buffers).items()}
            return functional_call(skeleton, state, (x,))

        self._run = vmap(run, randomness="different")

    def logits(self, x: Tensor) -> Tensor:
        """Run each network on its own cells, (n_networks, n_cells, n_genes) → (n_networks, n_cells, n_members, n_classes)."""
        return self._run(self.weights, self.buffers, x)

    def give_back(self, networks: list[Network]) -> None:
        """Put what was learnt into the networks."""
        for number, network in enumerate(networks):
            network.load_state_dict({n: t[number].detach() for n, t in (self.weights | self.buffers).items()})


class _ByMember(torch.nn.Module):
    """A network whose call gives the logits of each member."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Map cells to each member's logits, (n_cells, n_members, n_classes)."""
        return self.network.by_member(x)


def _first(description: Description, rows: Rows, n_classes: int, options: Fit, seed: int) -> Network:
    """Build a network with the first weights that a training with this seed draws."""
    return Task(description, rows, None, options, n_classes, seed, None, None, "").first()


def _loss(logits: Tensor, y: list[Tensor], weight: list[Tensor], label_smoothing: float) -> Tensor:
    """Add up the losses of the networks: no weight is part of two, so each learns from its own."""
    losses = [
        cross_entropy(
            own.flatten(0, 1), classes.repeat_interleave(own.shape[1]), weight=by_class, label_smoothing=label_smoothing
        )
        for own, classes, by_class in zip(logits, y, weight, strict=True)
    ]
    return torch.stack(losses).sum()
