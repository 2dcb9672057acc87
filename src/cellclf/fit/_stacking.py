"""Linear models that speak through the linear skip of a trained network, as loud as the validation rows want them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from cellclf import stats
from cellclf.fit._apply import logits
from cellclf.fit._logistic import logistic

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cellclf.fit._options import Fit
    from cellclf.fit._rows import Rows
    from cellclf.nn._network import Network

N_JUDGED = 8192  # validation rows that are asked
MODELS = {"discriminant": stats.discriminant, "logistic": logistic}


class LinearModel(NamedTuple):
    """Weights (n_genes, n_classes) and biases (n_classes) of logits."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        """Return the logits of cells (n_cells, n_genes)."""
        return cells @ self.weight + self.bias


def has_room(network: Network, options: Fit) -> bool:
    """Tell whether linear models may speak: only through a linear skip whose weights no penalty rules."""
    return bool(options.stacking and network.n_skip and not (options.l1 or options.l2 or options.group_l1))


def linear_models(rows: Rows, n_classes: int, names: Collection[str] = tuple(MODELS)) -> dict[str, LinearModel]:
    """Learn those of these names from some of the training rows, in the principal axes."""
    if not names:
        return {}
    chosen = stats.evenly(rows.y, stats.N_LEARNT)
    cells, y, sizes = np.asarray(rows.x[chosen]), rows.y[chosen], np.bincount(rows.y, minlength=n_classes)
    axes = stats.with_class_means(rows.axes(stats.N_AXES), cells, y)
    return {name: LinearModel(*learn(cells, y, sizes, axes)) for name, learn in MODELS.items() if name in names}


def loudness(
    network: Network, models: Mapping[str, LinearModel], valid: Rows, device: torch.device
) -> dict[str, float]:
    """Find the weight of each model's logits beside the network's that validation rows want."""
    asked = np.unique(np.linspace(0, len(valid.y) - 1, min(len(valid.y), N_JUDGED)).astype(int))
    cells = np.asarray(valid.x[asked])
    said = [logits(network, cells, device), *(model(cells) for model in models.values())]
    return dict(zip(models, stats.stacking_weights(said, valid.y[asked])[1:].tolist(), strict=True))


@torch.no_grad()
def speak(network: Network, models: Mapping[str, LinearModel], loud: Mapping[str, float]) -> None:
    """Add the models to the linear skip of every member."""
    first, n_skip = network.first_linear, network.n_skip
    if first is None:
        return
    for name in heard(loud):
        model = models[name]
        members = n_skip // len(model.bias)
        first.weight[-n_skip:] += torch.from_numpy(loud[name] * model.weight.T).to(first.weight).repeat(members, 1)
        first.bias[-n_skip:] += torch.from_numpy(loud[name] * model.bias).to(first.bias).repeat(members)


def heard(loud: Mapping[str, float]) -> list[str]:
    """Return the names of the models that speak at all."""
    return [name for name, weight in loud.items() if weight]
