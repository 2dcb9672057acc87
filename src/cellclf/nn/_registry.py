"""Names to descriptions: a network is rebuilt from JSON by name, never by an import path read from a file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from cellclf.nn._linear import Linear
from cellclf.nn._mlp import MLP

if TYPE_CHECKING:
    from cellclf.nn._network import Network


class Description(Protocol):
    """A frozen dataclass that builds a network."""

    def build(self, n_genes: int, n_classes: int, *, members: int = 1) -> Network:
        """Make the module with fresh weights."""


_DESCRIPTIONS: dict[str, type] = {"Linear": Linear, "MLP": MLP}


def to_header(description: Description) -> dict[str, Any]:
    """Write a description as JSON can hold it."""
    name = type(description).__name__
    if _DESCRIPTIONS.get(name) is not type(description):
        msg = f"{name} is no known network. Give one of {', '.join(f'cc.nn.{known}()' for known in _DESCRIPTIONS)}."
        raise TypeError(msg)
    fields = {field.name: getattr(description, field.name) for field in dataclasses.fields(description)}  # type: ignore[arg-type]
    return {"name": name} | fields


def from_header(header: dict[str, Any]) -> Description:
    """Read a description back."""
    fields = dict(header)
    name = fields.pop("name")
    if name not in _DESCRIPTIONS:
        msg = f"The model was made with the network {name!r}, which is not known here. Register it before loading."
        raise ValueError(msg)
    return _DESCRIPTIONS[name](**fields)
