"""Attributions by gradients, through captum: how much each input of each row contributes to the score of a class."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

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
    limit = CPU_BYTES if x.device.type == "cpu" else DEVICE_BYTES
    n_together = max(1, limit // max(1, n_steps * x.shape[1] * x.element_size()))
    with _quiet_and_seeded(seed, x.device):
        for k in target.unique().tolist():
            baseline = torch.as_tensor(baselines[k], device=x.device).to(x.dtype)
            for rows in (target == k).nonzero()[:, 0].split(n_together):
                found = _attribute(score, x[rows], baseline, int(k), method, n_steps)
                with torch.no_grad():
                    below = score(baseline if method == "gradient_shap" else baseline.mean(dim=0, keepdim=True))
                    above = score(x[rows])[:, k] - below[:, k].mean()
                values[rows.cpu().numpy()] = found.detach().cpu().numpy()
                change[rows.cpu().numpy()] = above.cpu().numpy()
    return Attributions(values, change)


def _attribute(score: _Score, x: Tensor, baseline: Tensor, k: int, method: str, n_steps: int) -> Tensor:
    """Call captum for rows of one class."""
    from captum.attr import DeepLift, GradientShap, IntegratedGradients

    if method == "gradient_shap":
        return GradientShap(score).attribute(x, baselines=baseline, n_samples=n_steps, stdevs=0.0, target=k)
    reference = baseline.mean(dim=0, keepdim=True)
    if method == "deep_lift":
        return DeepLift(score).attribute(x, baselines=reference, target=k)
    return IntegratedGradients(score).attribute(x, baselines=reference, target=k, n_steps=n_steps)


class _Score(nn.Module):
    """Logits of a network over the temperature, less their mean: a constant added to all classes says nothing."""

    def __init__(self, network: Network, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, x: Tensor) -> Tensor:
        """Map cells to scores (n_cells, n_classes)."""
        logits = self.network(x) / self.temperature
        return logits - logits.mean(dim=1, keepdim=True)


@contextmanager
def _quiet_and_seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that captum draws from, and give them back as they were; keep its advice to itself."""
    legacy = np.random.get_state()  # noqa: NPY002 (captum draws from it)
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about hooks, and inputs that it makes differentiable
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(legacy)  # noqa: NPY002
