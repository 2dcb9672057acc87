"""The training loop, on one page, in the order things happen."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from scipy.special import logsumexp
from tqdm.auto import tqdm

from cellclf import stats
from cellclf.fit._apply import logits
from cellclf.fit._batches import batches, n_batches
from cellclf.fit._dropout import drop_inputs
from cellclf.fit._hardware import device_of
from cellclf.fit._history import History

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from cellclf.fit._options import Fit
    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description

MINIMUM_EPOCHS, MINIMUM_STEPS = 8, 120
TOLERANCE = 2.0  # standard errors by which a later epoch may seem worse and still be kept


class Rows(NamedTuple):
    """Preprocessed cells: `x` (n_cells, n_genes) float32 and their classes `y` (n_cells)."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A trained network on the CPU, and how it came to be."""

    network: Network
    history: dict[str, np.ndarray]
    best_epoch: int  # counted from 1
    interrupted: bool


def train(
    description: Description,
    rows: Rows,
    valid: Rows | None,
    options: Fit,
    *,
    n_classes: int,
    seed: int,
    epochs: int | None = None,
    initial: Mapping[str, Tensor] | None = None,
    title: str = "train",
) -> Trained:
    """Train a network, from fresh weights or `initial`.

    With validation rows the weights are those of the last epoch that was no worse than the best, by two standard errors
    of the loss: a few rows cannot tell good epochs apart, and the end of the schedule is the better guess. Without any,
    they are those of the last epoch.
    """
    device = device_of(options.device)
    epochs = epochs or default_epochs(len(rows.y), options)
    steps = epochs * n_batches(len(rows.y), options.batch_size)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(_seed(seed, 0))
        network = description.build(rows.x.shape[1], n_classes, members=options.members).to(device)
        _check_batches(network, len(rows.y), options.batch_size)
        if initial is not None:
            network.load_state_dict(initial)
        x, y = torch.from_numpy(rows.x).to(device), torch.from_numpy(rows.y).to(device)
        weight = class_weights(rows.y, n_classes, options.class_weight).to(device)
        optimizer = torch.optim.AdamW(
            network.parameters(), betas=(0.9, 0.99), weight_decay=options.weight_decay, fused=True
        )
        history, best, best_epoch, interrupted = History(), None, 0, False
        lowest = np.full(1 if valid is None else len(valid.y), math.inf)  # row losses of the best epoch
        bar = tqdm(range(1, epochs + 1), desc=title, unit="epoch", leave=False, delay=1)
        try:
            for epoch in bar:
                losses: list[Tensor] = []
                start = time.perf_counter()
                torch.manual_seed(_seed(seed, epoch))
                masks = np.random.default_rng([seed, epoch, 2])
                network.train()
                for index in batches(len(rows.y), options.batch_size, seed=seed, epoch=epoch):
                    rate = learning_rate(options, len(losses) + (epoch - 1) * (steps // epochs), steps)
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    picked = torch.from_numpy(index).to(device)
                    inputs = drop_inputs(x[picked], options.input_dropout, masks)
                    loss = network.loss(inputs, y[picked], weight=weight, label_smoothing=options.label_smoothing)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.detach())
                train_loss = _finite_mean(torch.stack(losses), epoch, rate)
                seconds = time.perf_counter() - start
                judged = None if valid is None else judge(network, valid, device)
                history.add(
                    epoch=epoch,
                    train_loss=train_loss,
                    learning_rate=rate,
                    seconds=seconds,
                    cells_per_second=len(rows.y) / seconds,
                    **(judged.history if judged else {}),
                )
                if judged and judged.row_losses.mean() < lowest.mean():
                    lowest = judged.row_losses
                if judged is None or no_worse(judged.row_losses, lowest, errors=TOLERANCE):
                    best_epoch, best = epoch, {name: w.detach().clone() for name, w in network.state_dict().items()}
                elif options.patience is not None and epoch - best_epoch >= options.patience:
                    break
        except KeyboardInterrupt:
            interrupted = True  # what was learnt so far is returned, and said to be unfinished
        if best is not None:
            network.load_state_dict(best)
    return Trained(network.cpu().eval(), history.arrays(), best_epoch, interrupted)


def _check_batches(network: Network, n_rows: int, batch_size: int | None) -> None:
    """Refuse batches of one row where the network normalises over the batch."""
    if min(n_rows, batch_size or n_rows) == 1 and any(isinstance(m, torch.nn.BatchNorm1d) for m in network.modules()):
        msg = (
            "Batch normalisation needs two rows per batch, but batches of one are asked for. "
            "Give Fit(batch_size=…) of 2 or more, or a network without it (batch_norm=None)."
        )
        raise ValueError(msg)


def default_epochs(n_rows: int, options: Fit) -> int:
    """Return the passes over the rows: as told, or 8 and at least 120 steps."""
    if options.epochs is not None:
        return options.epochs
    return max(MINIMUM_EPOCHS, math.ceil(MINIMUM_STEPS / n_batches(n_rows, options.batch_size)))


def learning_rate(options: Fit, step: int, steps: int) -> float:
    """Return the learning rate of a step (counted from 0)."""
    if options.schedule == "constant":
        return options.learning_rate
    progress = (step + 0.5) / steps
    if progress < 0.2:
        return options.learning_rate * progress / 0.2
    return options.learning_rate * 0.5 * (1 + math.cos(math.pi * (progress - 0.2) / 0.8))


def class_weights(y: np.ndarray, n_classes: int, kind: str | None) -> Tensor:
    """Return the weight of each class in the loss; the mean over the rows is one."""
    sizes = np.bincount(y, minlength=n_classes).astype(np.float64)
    power = {None: 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    weight = np.divide(1.0, sizes, where=sizes > 0, out=np.zeros(n_classes)) ** power * (sizes > 0)
    return torch.from_numpy((weight * sizes.sum() / (weight * sizes).sum()).astype(np.float32))


class Judgement(NamedTuple):
    """What held-out rows say of an epoch: the loss of each row, and the row's worth of history."""

    row_losses: np.ndarray
    history: dict[str, float]


def judge(network: Network, rows: Rows, device: torch.device) -> Judgement:
    """Measure a network on held-out rows: log loss at the best temperature (which it will be given), accuracy, macro-F1."""
    scores = logits(network, rows.x, device)
    scores /= stats.fit_temperature(scores, rows.y)
    losses = logsumexp(scores, axis=1) - scores[np.arange(len(rows.y)), rows.y]
    table = stats.confusion(rows.y, scores.argmax(axis=1), scores.shape[1])
    measures = {"loss": losses.mean(), "accuracy": stats.accuracy(table), "macro_f1": stats.macro_f1(table)}
    return Judgement(losses, {f"valid_{name}": float(value) for name, value in measures.items()})


def no_worse(losses: np.ndarray, best: np.ndarray, *, errors: float) -> bool:
    """Tell whether losses exceed the best ones by no more than some standard errors of the paired difference."""
    difference = losses - best
    return difference.mean() <= errors * difference.std() / math.sqrt(len(difference))


def _seed(seed: int, counter: int) -> int:
    """Derive torch's seed of an epoch (0: the first weights) from the run's seed."""
    return int(np.random.SeedSequence([seed, counter, 1]).generate_state(1, np.uint64)[0] >> 1)


def _finite_mean(losses: Tensor, epoch: int, rate: float) -> float:
    """Average the losses of an epoch, or stop where learning went astray."""
    if not bool(torch.isfinite(losses).all()):
        step = int((~torch.isfinite(losses)).nonzero()[0]) + 1
        msg = (
            f"The loss is not finite at step {step} of epoch {epoch} (learning rate {rate:.2g}). "
            "Lower the learning rate, e.g. Fit(learning_rate=1e-4), or scale the input (Fit(scale='zscore'))."
        )
        raise FloatingPointError(msg)
    return float(losses.mean())
