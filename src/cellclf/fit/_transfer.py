"""Carry weights over from one network to another with other genes and classes, by the places that each has in a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from cellclf.nn._registry import build

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description


class Shape(NamedTuple):
    """All that the sizes of a network's tensors follow from; `genes` and `classes` are names."""

    description: Description
    genes: np.ndarray
    classes: np.ndarray
    members: int


class Axis(NamedTuple):
    """An axis of a tensor: `fixed` entries, then `repeats` times all genes, or all classes (`of`), or neither."""

    fixed: int
    repeats: int
    of: str


def transfer(weights: Mapping[str, Tensor], old: Shape, new: Shape) -> Callable[[Network], dict[str, Tensor]]:
    """Return what overwrites, in a fresh network, all weights of shared genes and classes by those of the old one."""
    places = {"genes": _shared(old.genes, new.genes), "classes": _shared(old.classes, new.classes), "": (None, None)}
    before, after = _axes(old), _axes(new)
    common = [name for name in after if name in before and _alike(before[name], after[name])]
    if not any(name.endswith("weight") for name in common):
        msg = (
            f"start has the network {old.description}; asked for is {new.description}. They share no layer. "
            "Leave network= out."
        )
        raise ValueError(msg)

    def carry_over(fresh: Network) -> dict[str, Tensor]:
        """Fill the weights of a fresh network."""
        state = {name: weight.clone() for name, weight in fresh.state_dict().items()}
        for name in common:
            pairs = [_entries(a, b, old, new, places[a.of]) for a, b in zip(before[name], after[name], strict=True)]
            if not pairs:
                state[name] = weights[name].clone()
                continue
            there, here = (np.ix_(*side) for side in zip(*pairs, strict=True))
            values = state[name].numpy()
            values[here] = weights[name].cpu().numpy()[there]
        return state

    return carry_over


def _shared(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of shared names in the old and the new order."""
    position = {str(name): i for i, name in enumerate(old)}
    here = np.array([i for i, name in enumerate(new) if str(name) in position], dtype=np.intp)
    return np.array([position[str(new[i])] for i in here], dtype=np.intp), here


def _axes(shape: Shape) -> dict[str, list[Axis]]:
    """Find out which axes grow with genes and with classes, and how, by building larger networks without memory."""
    n_genes, n_classes = len(shape.genes), len(shape.classes)
    sizes, more_genes, more_classes = (
        _sizes(shape, *counts) for counts in ((n_genes, n_classes), (n_genes + 1, n_classes), (n_genes, n_classes + 1))
    )
    axes = {}
    for name, size in sizes.items():
        grown = zip(size, more_genes[name], more_classes[name], strict=True)
        axes[name] = [_axis(n, n_g - n, n_c - n, n_genes, n_classes) for n, n_g, n_c in grown]
    return axes


def _sizes(shape: Shape, n_genes: int, n_classes: int) -> dict[str, tuple[int, ...]]:
    """Return the sizes of a network's tensors."""
    with torch.device("meta"):
        network = build(shape.description, n_genes, n_classes, shape.members)
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


def _axis(size: int, by_gene: int, by_class: int, n_genes: int, n_classes: int) -> Axis:
    """Describe an axis by what one more gene, and one more class, add to its size."""
    if by_class:
        return Axis(size - by_class * n_classes, by_class, "classes")
    if by_gene and size >= by_gene * n_genes:
        return Axis(size - by_gene * n_genes, by_gene, "genes")
    return Axis(size, 0, "")  # or it grows by steps, as where neighbours are pooled


def _alike(old: list[Axis], new: list[Axis]) -> bool:
    """Tell whether a tensor means the same in both networks."""
    return old == new and all(axis.fixed >= 0 for axis in old)


def _entries(
    a: Axis, b: Axis, old: Shape, new: Shape, shared: tuple[np.ndarray | None, np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places on an axis, in the old and the new tensor, of what both have."""
    sides = []
    for axis, shape, places in ((a, old, shared[0]), (b, new, shared[1])):
        fixed = np.arange(axis.fixed)
        if places is None:
            sides.append(fixed)
            continue
        length = len(shape.genes if axis.of == "genes" else shape.classes)
        groups = [axis.fixed + group * length + places for group in range(axis.repeats)]
        sides.append(np.concatenate([fixed, *groups]).astype(np.intp))
    return sides[0], sides[1]
