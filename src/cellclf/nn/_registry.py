"""Names to descriptions: a network is rebuilt from JSON by name, never by an import path read from a file."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from cellclf.nn._autoencoder import Autoencoder
from cellclf.nn._cnn1d import CNN1d
from cellclf.nn._linear import Linear
from cellclf.nn._mlp import MLP
from cellclf.nn._network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping


class Description(Protocol):
    """A frozen dataclass that builds a network; `members` may be left out by one that trains a single network."""

    def build(self, n_genes: int, n_classes: int, *, members: int = 1) -> Network:
        """Make the module with fresh weights."""


T = TypeVar("T", bound=type)

_OWN: dict[str, type] = {"Autoencoder": Autoencoder, "CNN1d": CNN1d, "Linear": Linear, "MLP": MLP}
_DESCRIPTIONS: dict[str, type] = dict(_OWN)


def register(description: T) -> T:
    """Make a description of your own known by its name, so that models with its network can be saved and loaded.

    A model's file holds the name and the fields of the description, never code: register it again, by running or
    importing the code that defines it, before you load the model elsewhere.

    Parameters
    ----------
    description
        A frozen dataclass whose fields JSON can hold (numbers, strings, booleans, `None`, tuples of these), with a
        method ``build(n_genes, n_classes)`` that returns a :class:`cellclf.nn.Network`. If `build` also takes
        `members`, several networks can be trained side by side (:class:`cellclf.Fit`).

    Returns
    -------
    The class itself, so that this serves as a decorator.

    Raises
    ------
    TypeError
        It is no frozen dataclass, or has no method `build`.
    ValueError
        The name is that of a network of cellclf, or of another module's.

    Examples
    --------
    >>> import cellclf as cc
    >>> from dataclasses import dataclass
    >>> @cc.nn.register
    ... @dataclass(frozen=True)
    ... class TwoLayers:
    ...     width: int = 16
    ...
    ...     def build(self, n_genes, n_classes):
    ...         return cc.nn.MLP(hidden=(self.width, self.width)).build(n_genes, n_classes)
    >>> cc.nn.n_parameters(TwoLayers(), 10, 2)
    568
    """
    name = getattr(description, "__name__", repr(description))
    parameters = getattr(description, "__dataclass_params__", None)
    if not isinstance(description, type) or parameters is None or not parameters.frozen:
        msg = f"{name} is no frozen dataclass. Write @dataclass(frozen=True) under @cc.nn.register."
        raise TypeError(msg)
    if not callable(getattr(description, "build", None)):
        msg = f"{name} has no method `build`. Give it build(self, n_genes, n_classes), which returns a cc.nn.Network."
        raise TypeError(msg)
    known = _DESCRIPTIONS.get(name)
    if known is not None and (name in _OWN or known.__module__ != description.__module__):
        msg = f"A network {name!r} is known already (from {known.__module__}). Choose another name for the class."
        raise ValueError(msg)
    _DESCRIPTIONS[name] = description
    return description


def build(description: Description, n_genes: int, n_classes: int, members: int = 1) -> Network:
    """Make the module of any description, and check that it is what the rest of the package relies on."""
    name = type(description).__name__
    if "members" in inspect.signature(description.build).parameters:
        network = description.build(n_genes, n_classes, members=members)
    elif members == 1:
        network = description.build(n_genes, n_classes)
    else:
        msg = (
            f"{name} trains one network at a time. Leave Fit(members={members}) out, or let its `build` take `members`."
        )
        raise ValueError(msg)
    if not isinstance(network, Network):
        msg = f"{name}.build returned a {type(network).__name__}. Return a module that inherits from cc.nn.Network."
        raise TypeError(msg)
    first = network.first_linear
    if first is not None and first.in_features != n_genes:
        msg = f"The first_linear of {name} takes {first.in_features} inputs; there are {n_genes} genes. Use n_genes."
        raise ValueError(msg)
    _try(network, name, n_genes, n_classes if getattr(description, "needs_label", True) else 0)
    return network


@torch.no_grad()
def _try(network: Network, name: str, n_genes: int, n_classes: int) -> None:
    """Run two rows through a network, whose input and output must fit the genes and classes."""
    advice = "Let `build` make it for n_genes and n_classes."
    try:
        logits = network.eval()(torch.zeros(2, n_genes))
    except RuntimeError as error:
        msg = f"The network of {name} cannot read rows of {n_genes} genes ({str(error).splitlines()[0]}). {advice}"
        raise ValueError(msg) from error
    network.train()
    if logits.shape != (2, n_classes):
        found = tuple(logits.shape)
        msg = f"The network of {name} gives values of shape {found} for 2 rows and {n_classes} classes. {advice}"
        raise ValueError(msg)


def to_header(description: Description) -> dict[str, Any]:
    """Write a description as JSON can hold it."""
    name = type(description).__name__
    if _DESCRIPTIONS.get(name) is not type(description):
        if isinstance(description, type) and description in _DESCRIPTIONS.values():
            msg = f"network is the class {description.__name__}. Give an instance: {description.__name__}()."
            raise TypeError(msg)
        known = ", ".join(f"cc.nn.{own}()" for own in _OWN)
        msg = f"{name} is no known network. Give one of {known}, or register it: @cc.nn.register above its class."
        raise TypeError(msg)
    fields = {field.name: getattr(description, field.name) for field in dataclasses.fields(description)}  # type: ignore[arg-type]
    header = {"name": name} | fields
    try:
        same = from_header(json.loads(json.dumps(header))) == description
    except (TypeError, ValueError) as error:
        msg = f"{name} does not survive JSON ({error}). Let its fields be numbers, strings, None or tuples of these."
        raise TypeError(msg) from error
    if not same:
        msg = f"{description} comes back from JSON as another. Let its fields be numbers, strings, None or tuples of these."
        raise TypeError(msg)
    return header


def from_header(header: Mapping[str, Any]) -> Description:
    """Read a description back."""
    fields = dict(header)
    name = fields.pop("name")
    if name not in _DESCRIPTIONS:
        msg = (
            f"The model was made with the network {name!r}, which is not known here. Register it before loading: run or "
            f"import the code that defines the class {name} under @cc.nn.register."
        )
        raise ValueError(msg)
    return _DESCRIPTIONS[name](**{field: _tuples(value) for field, value in fields.items()})


def _tuples(value: Any) -> Any:
    """Turn lists, as JSON gives them, into tuples."""
    return tuple(_tuples(entry) for entry in value) if isinstance(value, list) else value
