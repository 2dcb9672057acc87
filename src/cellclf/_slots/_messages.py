"""Words for messages: what there is instead, and a warning at the user's own line."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def member(slot: Mapping[str, Any], key: str, argument: str, name: str) -> Any:
    """Return `slot[key]`, or say what there is instead."""
    try:
        there = key in slot
    except TypeError:  # a column itself, or several names
        msg = f"{argument} is a {type(key).__name__}. Give a name in {name}, which holds: {listing(slot)}."
        raise TypeError(msg) from None
    if not there:
        msg = f"{argument}={key!r} is not in {name}. It holds: {listing(slot)}."
        raise KeyError(msg)
    return slot[key]


def listing(names: Iterable[Any], limit: int = 10) -> str:
    """Write names for a message, the first few of a long list."""
    names = [repr(str(name)) for name in names]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "nothing"


def warn(message: str) -> None:
    """Warn at the user's own line, past the frames of cellclf."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("cellclf."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
