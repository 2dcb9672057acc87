"""A classifier as named arrays with a JSON header, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellclf import stats
from cellclf._preprocessing import Preprocessing
from cellclf.fit import Fit
from cellclf.nn import Linear
from cellclf.nn._generators import borrowed_generators
from cellclf.nn._registry import build, from_header, to_header

if TYPE_CHECKING:
    from cellclf._classifier._classifier import Classifier
    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description

FORMAT = 2


def arrays(classifier: Classifier) -> dict[str, np.ndarray]:
    """Name all that is an array, in groups."""
    groups = {
        "network": _state(classifier.network),
        "linear": _state(classifier.linear) if classifier.linear else {},
        "preprocessing": classifier.preprocessing.tensors(),
        "novelty": classifier.novelty.tensors() if classifier.novelty else {},
        "conformal": classifier.conformal.tensors() if classifier.conformal else {},
        "history": classifier.epochs,
    }
    grouped = {f"{group}.{name}": array for group, own in groups.items() for name, array in own.items()}
    return {"prior": classifier.prior, "gene_norms": classifier.gene_norms} | grouped


def header(classifier: Classifier) -> dict[str, Any]:
    """Say all else in what JSON knows."""
    return {
        "format": FORMAT,
        "network": to_header(classifier.description),
        "genes": [str(name) for name in classifier.genes],
        "classes": [str(name) for name in classifier.classes],
        "preprocessing": classifier.preprocessing.header(),
        "temperature": classifier.temperature,
        "linear_temperature": classifier.linear_temperature,
        "options": asdict(classifier.options),
        "facts": classifier.facts,
    }


def fields(tensors: dict[str, np.ndarray], header: dict[str, Any], *, source: str) -> dict[str, Any]:
    """Rebuild the fields of a classifier; `source` says in messages where they come from."""
    if header.get("format") != FORMAT:
        msg = (
            f"{source} has model format {header.get('format')!r}; this version of cellclf reads {FORMAT}. "
            "Update cellclf if the number is higher, else train the classifier again."
        )
        raise ValueError(msg)
    options, description = Fit(**header["options"]), from_header(header["network"])
    shape = len(header["genes"]), len(header["classes"])
    network, linear = _networks(tensors, description, shape, options.members, source)
    return {
        "description": description,
        "network": network,
        "linear": linear,
        "genes": np.array(header["genes"], dtype=object),
        "classes": np.array(header["classes"], dtype=object),
        "preprocessing": Preprocessing.restore(header["preprocessing"], _group(tensors, "preprocessing")),
        "novelty": stats.Novelty.restore(_group(tensors, "novelty")) if shape[1] else None,
        "temperature": header["temperature"],
        "linear_temperature": header["linear_temperature"],
        "prior": tensors["prior"],
        "gene_norms": tensors["gene_norms"],
        "options": options,
        "epochs": _group(tensors, "history"),
        "facts": header["facts"],
        "conformal": stats.Conformal.restore(_group(tensors, "conformal"), shape[1]),
    }


def _networks(
    tensors: dict[str, np.ndarray], description: Description, shape: tuple[int, int], members: int, source: str
) -> tuple[Network, Network | None]:
    """Build network and linear network for so many genes and classes, and fill them from the tensors."""
    with borrowed_generators():  # building draws weights that are overwritten at once
        network = build(description, *shape, members)
        linear = build(Linear(), *shape) if shape[1] else None
    try:
        network.load_state_dict(_tensor_group(tensors, "network"), strict=True)
        if linear:
            linear.load_state_dict(_tensor_group(tensors, "linear"), strict=True)
    except RuntimeError as error:
        msg = f"The weights in {source} do not fit its network: {error} The file is damaged; save the model again."
        raise ValueError(msg) from error
    return network.eval(), linear and linear.eval()


def _state(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """Return a module's weights as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def _group(tensors: dict[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    """Return the arrays whose name starts with `group.`."""
    return {name.removeprefix(f"{group}."): array for name, array in tensors.items() if name.startswith(f"{group}.")}


def _tensor_group(tensors: dict[str, np.ndarray], group: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose name starts with `group.`."""
    return {name: torch.from_numpy(np.array(array)) for name, array in _group(tensors, group).items()}
