"""Attributions by gradients, through captum: how much each input of each row contributes to the score of a class."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from cellclf.nn._generators import borrowed_generators

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from cellclf.nn._network import Network

CPU_BYTES, DEVICE_BYTES = 2**26, 2**29  # inputs expanded together
STEPS = {"integrated_gradients": 50, "deep_lift": 1, "gradient_shap": 50}

GradientMethod = Literal["integrated_gradients", "deep_lift", "gradient_shap"]


class Attributions(NamedTuple):
    """What each input of each row contributes to the score of the row's class.

    `values` (n_rows, n_inputs); they should add up to `change` (n_rows), by how much the score exceeds that of the
    baseline. The score of a class is its logit, divided by the temperature, less the mean over the classes.
    """

    values: np.ndarray
    change: np.ndarray


def attributions(
    network: Network,
    x: Tensor | np.ndarray,
    target: Tensor | np.ndarray,
    baselines: Sequence[np.ndarray],
    *,
    method: GradientMethod = "integrated_gradients",
    n_steps: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
) -> Attributions:
    """Attribute the score of a class to the inputs, in bounded memory.

    Parameters
    ----------
    network
        The network; it is put into evaluation mode.
    x
        Inputs (n_rows, n_inputs) of the network's type; they are brought to its device.
    target
        Class of each row (n_rows) whose score is explained.
    baselines
        For each class what its rows are compared with (n_baselines, n_inputs): their mean, or each in turn for
        ``"gradient_shap"``, which draws from them.
    method
        ``"integrated_gradients"``, ``"deep_lift"`` or ``"gradient_shap"``.
    n_steps
        Points on the way from baseline to row, or random samples of ``"gradient_shap"``; `None`: 50.
    seed
        Where the samples start from.
    temperature
        The logits are divided by this number.

    Returns
    -------
    The attributions, float64.

    Examples
    --------
    >>> import cellclf as cc, numpy as np, torch
    >>> network, x = cc.nn.Linear().build(4, 3), torch.eye(4)
    >>> attributions(network, x, torch.tensor([0, 1, 2, 0]), [np.zeros((1, 4))] * 3).values.shape
    (4, 4)
    """
    score = _Score(network, temperature).eval()
    parameter = next(network.parameters(), torch.empty(0))
    x = torch.as_tensor(x, device=parameter.device)
    target = torch.as_tensor(target, device=parameter.device)
    n_steps = STEPS[method] if n_steps is None else n_steps
    values, change = np.zeros(x.shape), np.zeros(len(x))
    n_together = _n_together(network, x, n_steps)
    with _quiet_and_seeded(seed, x.device):
        each, apart = target.unique(), 1 if method == "gradient_shap" else len(baselines)
        for start in range(0, len(each), apart):
            classes = each[start : start + apart]
            known = [torch.as_tensor(baselines[k], device=x.device).to(x.dtype) for k in classes.tolist()]
            compared = _Compared(score, classes, known, drawn=method == "gradient_shap")
            for rows in torch.isin(target, classes).nonzero()[:, 0].split(n_together):
                found = _attribute(score, x[rows], target[rows], compared, method, n_steps)
                values[rows.cpu().numpy()] = found.detach().cpu().numpy()
                change[rows.cpu().numpy()] = compared.change(x[rows], target[rows]).cpu().numpy()
    return Attributions(values, change)


def _n_together(network: Network, x: Tensor, n_steps: int) -> int:
    """Return how many rows are expanded into their steps at once."""
    first = network.first_linear
    width = x.shape[1] if first is None else max(x.shape[1], first.out_features)
    limit = CPU_BYTES if x.device.type == "cpu" else DEVICE_BYTES
    return max(1, limit // max(1, n_steps * width * x.element_size()))


def _attribute(
    score: _Score, x: Tensor, target: Tensor, compared: _Compared, method: GradientMethod, n_steps: int
) -> Tensor:
    """Call captum; behind a first linear layer where that says the same, so that it is run once instead of for each step."""
    from captum.attr import DeepLift, GradientShap, IntegratedGradients

    first, several = score.network.first_linear, len(compared.baselines[0]) > 1
    place = compared.place(target)
    reference = compared.means[place]
    if method == "deep_lift":
        return DeepLift(score).attribute(x, baselines=reference, target=target)
    way: Any = IntegratedGradients
    options: dict[str, Any] = {"n_steps": n_steps, "additional_forward_args": target}
    if method == "gradient_shap":
        way, options = GradientShap, {"n_samples": n_steps, "stdevs": 0.0, "additional_forward_args": target}
        if first is None or several:
            return way(score.told).attribute(x, baselines=compared.baselines[0], **options)
    elif first is None:
        return way(score.told).attribute(x, baselines=reference, **options)
    with torch.no_grad():
        hidden, start = first(x), first(compared.means)
    start = start if method == "gradient_shap" else start[place]
    slope = way(score.told_behind, multiply_by_inputs=False).attribute(hidden, baselines=start, **options)
    return (slope @ first.weight.detach()) * (x - reference)


class _Compared:
    """What the rows of some classes are compared with: the baselines of each class, and their mean."""

    @torch.no_grad()
    def __init__(self, score: _Score, classes: Tensor, baselines: list[Tensor], *, drawn: bool) -> None:
        self.score, self.classes, self.baselines = score, classes, baselines
        self.means = torch.stack([part.mean(dim=0) for part in baselines])
        levels = baselines if drawn else self.means[:, None]
        self.below = torch.stack([score(level)[:, k].mean() for level, k in zip(levels, classes, strict=True)])

    def place(self, target: Tensor) -> Tensor:
        """Return which of the classes each row has."""
        return torch.searchsorted(self.classes, target)

    @torch.no_grad()
    def change(self, x: Tensor, target: Tensor) -> Tensor:
        """Return by how much the score of its class exceeds that of the baseline in each row."""
        return self.score(x).gather(1, target[:, None])[:, 0] - self.below[self.place(target)]


class _Score(nn.Module):
    """Logits of a network over the temperature, less their mean: a constant added to all classes says nothing."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, x: Tensor) -> Tensor:
        """Map cells to scores (n_cells, n_classes)."""
        return self._centred(self.network(x))

    def told(self, x: Tensor, target: Tensor) -> Tensor:
        """Add up the scores of the cells' own classes (1): cells do not meet, so its slopes are those of each."""
        return self(x).gather(1, target[:, None]).sum(dim=0)

    def told_behind(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Add up the same from what the first linear layer gives."""
        scores = self._centred(self.network.after_first(hidden.clone()))  # it may work in place
        return scores.gather(1, target[:, None]).sum(dim=0)

    def _centred(self, logits: Tensor) -> Tensor:
        logits = logits / self.temperature
        return logits - logits.mean(dim=1, keepdim=True)


@contextmanager
def _quiet_and_seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that captum draws from, and give them back as they were; keep its advice to itself."""
    with borrowed_generators(device), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about hooks, and inputs that it makes differentiable
        legacy = np.random.get_state()  # noqa: NPY002 (captum draws from it)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(legacy)  # noqa: NPY002
