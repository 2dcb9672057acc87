"""Check the settings of a description, and spread those given once over its layers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """Return a whole number of at least `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        msg = f"{name}={value!r} is no whole number of {least} or more. Give one."
        raise ValueError(msg)
    return int(value)


def widths(name: str, value: Any, *, least: int = 1) -> tuple[int, ...]:
    """Return the units or channels of each layer as a tuple; there must be `least` layers or more."""
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        msg = f"{name}={value!r} is no list of layers. Give one number per layer, such as {name}=(256,)."
        raise ValueError(msg)
    found = tuple(value)
    if len(found) < least:
        msg = f"{name}={found}: give at least one layer, each with one unit or more."
        raise ValueError(msg)
    for entry in found:
        if isinstance(entry, bool) or not hasattr(entry, "__index__") or entry < 1:
            msg = f"{name}={found}: give at least one layer, each a whole number of 1 or more."
            raise ValueError(msg)
    return tuple(int(entry) for entry in found)


def wholes(name: str, value: Any, n_layers: int) -> int | tuple[int, ...]:
    """Return a whole number, or one per layer."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return whole(name, value)
    return per_layer(name, tuple(whole(name, entry) for entry in value), n_layers)


def shares(name: str, value: Any, n_layers: int) -> float | tuple[float, ...]:
    """Return a share, 0 ≤ share < 1, or one per layer."""
    listed = isinstance(value, Sequence) and not isinstance(value, str)
    for entry in value if listed else [value]:
        if isinstance(entry, bool | str) or not 0 <= entry < 1:
            msg = f"{name}={value} is not a share. Give 0 ≤ {name} < 1."
            raise ValueError(msg)
    return per_layer(name, tuple(value), n_layers) if listed else value


def choice(name: str, value: Any, known: Collection[Any]) -> None:
    """Refuse a value that is none of the known ones."""
    if not isinstance(value, str | None) or value not in known:
        msg = f"{name}={value!r} is not known. Choose one of {', '.join(map(repr, known))}."
        raise ValueError(msg)


def choices(name: str, value: Any, known: Collection[Any], n_layers: int) -> Any:
    """Return one of the known values, or one of them per layer."""
    if isinstance(value, str | None):
        choice(name, value, known)
        return value
    for entry in value:
        choice(name, entry, known)
    return per_layer(name, tuple(value), n_layers)


def per_layer(name: str, value: tuple[Any, ...], n_layers: int) -> Any:
    """Refuse a list that is not as long as there are layers."""
    if len(value) != n_layers:
        msg = f"{name}={value} has {len(value)} entries for {n_layers} layers. Give one per layer, or one for all."
        raise ValueError(msg)
    return value


def spread(value: Any, n_layers: int) -> tuple[Any, ...]:
    """Repeat what was given once for every layer."""
    return value if isinstance(value, tuple) else (value,) * n_layers
