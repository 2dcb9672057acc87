"""Going on from a classifier: which settings, preprocessing and weights are taken over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cellclf import _slots, stats
from cellclf._classifier import Classifier
from cellclf._preprocessing import ARRAYS, Preprocessing
from cellclf.fit import Fit
from cellclf.fit._transfer import Shape, transfer

if TYPE_CHECKING:
    from cellclf._types import Matrix
    from cellclf.fit._task import Initial
    from cellclf.nn._registry import Description

INHERITED = ("members", "preprocess", "scale", "information_power")


def settings(fit: Fit | None, start: Classifier | None = None) -> Fit:
    """Return how to train: as given, or by the defaults, with what belongs to the start's network and its inputs."""
    if fit is not None and not isinstance(fit, Fit):
        msg = f"fit={fit!r} is no Fit. Give one, such as cc.Fit(epochs=20), or None for the defaults."
        raise TypeError(msg)
    if start is not None and not isinstance(start, Classifier):
        msg = f"start is a {type(start).__name__}. Give a Classifier; of a file: cc.Classifier.load(path)."
        raise TypeError(msg)
    if fit is not None or start is None:
        return fit or Fit()
    return Fit(**{name: getattr(start.options, name) for name in INHERITED})


def check(start: Classifier, network: Description, genes: np.ndarray, fit: Fit) -> None:
    """Refuse a start that cannot be gone on from."""
    for name in ("members", "scale"):
        here, there = getattr(fit, name), getattr(start.options, name)
        if here != there:
            msg = f"start was trained with Fit({name}={there!r}); asked for is {here!r}. Give Fit({name}={there!r})."
            raise ValueError(msg)
    if fit.preprocess != "auto" and (fit.preprocess == "counts") != start.preprocessing.counts:
        there = "counts" if start.preprocessing.counts else "none"
        msg = f"start was trained on values of the kind {there!r}; asked for is {fit.preprocess!r}. Give Fit(preprocess={there!r})."
        raise ValueError(msg)
    shared = np.isin(genes.astype(str), start.genes.astype(str))
    if not shared.any():
        msg = (
            f"start knows none of the {len(genes)} genes (it knows, for example: {_slots.listing(start.genes[:3])}; "
            f"here are {_slots.listing(genes[:3])}). Check the names, or train without start."
        )
        raise ValueError(msg)
    if getattr(network, "ordered", False) and list(genes) != list(start.genes):
        msg = (
            f"{type(network).__name__} reads genes in their order, so it cannot go on with other genes than those of start. "
            "Leave genes out."
        )
        raise ValueError(msg)


def counts(start: Classifier, x: Matrix, rows: np.ndarray, fit: Fit) -> bool:
    """Return whether the start was trained on counts, refusing some rows (mask) with values of another kind."""
    kind = start.preprocessing.counts
    if fit.preprocess == "auto" and stats.holds_counts(x, rows) != kind:
        others = "decimal, negative or missing numbers, or none above 1"
        there, here = ("counts", others) if kind else ("other values than counts", "counts")
        msg = (
            f"start was trained on {there}, but the training rows hold {here}. Name the layer with values like those of start "
            f"by `layer=`, or give Fit(preprocess={'counts' if kind else 'none'!r}) if these are meant."
        )
        raise ValueError(msg)
    return kind


def preprocessing(start: Classifier, learnt: Preprocessing, genes: np.ndarray) -> Preprocessing:
    """Keep what the start's weights expect of its genes; what was learnt here serves the genes it does not know."""
    position = {str(name): i for i, name in enumerate(start.genes)}
    there = np.array([position.get(str(name), -1) for name in genes])
    known = there >= 0
    arrays = {name: getattr(learnt, name).copy() for name in ARRAYS}
    for name, array in arrays.items():
        array[known] = getattr(start.preprocessing, name)[there[known]]
    return replace(start.preprocessing, **arrays)


def weights(start: Classifier, name: str, description: Description, genes: np.ndarray, classes: np.ndarray) -> Initial:
    """Return what gives a fresh network the weights of the start's network, or of its linear one."""
    module = getattr(start, name)
    if module is None:  # a start without classes has no linear network
        return None
    old = start.description if name == "network" else description
    members = start.options.members if name == "network" else 1
    return transfer(
        module.state_dict(),
        Shape(old, start.genes, start.classes, members),
        Shape(description, genes, classes, members),
    )
