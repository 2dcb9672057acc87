"""The settings to be chosen: their names, all points of a grid, and a study with those of a trial."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from cellclf import _slots
from cellclf.nn import MLP
from cellclf.tl._space import Choice, Integers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cellclf.nn._registry import Description
    from cellclf.tl._space import Distribution, Space
    from cellclf.tl._study import Study

HIDDEN = Choice([(64,), (128,), (256,), (128, 64)])


def settings_of(space: Space, network: Description) -> dict[str, Distribution]:
    """Name the settings to be chosen, of training and network."""
    own = space.network
    if own is None:
        own = {"hidden": HIDDEN} if isinstance(network, MLP) else {}
    known = [entry.name for entry in fields(network)]  # type: ignore[arg-type]
    for name in dict(own):
        if name not in known:
            msg = f"{type(network).__name__} has no setting {name!r}. It has: {_slots.listing(known)}."
            raise ValueError(msg)
    found = {f"fit.{name}": value for name, value in dict(space.fit).items()}
    found |= {f"network.{name}": value for name, value in dict(own).items()}
    if not found:
        msg = "space names no setting, so there is nothing to search. Give a distribution for one at least."
        raise ValueError(msg)
    return dict(sorted(found.items()))


def grid_points(settings: Mapping[str, Distribution]) -> list[dict[str, Any]]:
    """List all points of a grid."""
    axes: list[list[Any]] = []
    for name, distribution in settings.items():
        if isinstance(distribution, Choice):
            axes.append([repr(option) for option in distribution.options])
        elif isinstance(distribution, Integers):
            axes.append(list(range(distribution.low, distribution.high + 1)))
        else:
            msg = f"sampler='grid' cannot list all values of {name} in {distribution}. Give a Choice of some."
            raise ValueError(msg)
    return [dict(zip(settings, point, strict=True)) for point in product(*axes)]


def with_settings(study: Study, settings: Mapping[str, Distribution], values: Mapping[str, Any]) -> Study:
    """Put the values of a trial into training and network."""
    own: dict[str, dict[str, Any]] = {"fit": {}, "network": {}}
    for name, distribution in settings.items():
        value = values[name]
        if isinstance(distribution, Choice):
            value = next(option for option in distribution.options if repr(option) == value)
        where, _, setting = name.partition(".")
        own[where][setting] = int(value) if isinstance(distribution, Integers) else value
    fit = replace(study.fit, **own["fit"])
    return replace(study, fit=fit, network=replace(study.network, **own["network"]))  # type: ignore[type-var]


def as_json(values: Mapping[str, Any], settings: Mapping[str, Distribution]) -> str:
    """Write the chosen settings."""
    return json.dumps(
        {name: getattr(values[name], "item", lambda v=values[name]: v)() for name in settings}, sort_keys=True
    )
