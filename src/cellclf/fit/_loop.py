"""The training loop, on one page, in the order things happen."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import torch

from cellclf.fit._balance import class_weights
from cellclf.fit._batches import batches, n_batches
from cellclf.fit._chance import Chance
from cellclf.fit._dropout import drop_inputs
from cellclf.fit._judge import judge
from cellclf.fit._optimiser import Optimiser
from cellclf.fit._progress import Progress
from cellclf.fit._schedule import learning_rate
from cellclf.fit._tally import measures, tally
from cellclf.fit._task import Trained
from cellclf.nn._generators import borrowed_generators

if TYPE_CHECKING:
    from torch import Tensor

    from cellclf.fit._checkpoint import Checkpoint
    from cellclf.fit._hardware import Hardware
    from cellclf.fit._judge import Judgement
    from cellclf.fit._options import Fit
    from cellclf.fit._rows import Rows
    from cellclf.fit._task import Task
    from cellclf.nn._network import Network

MINIMUM_EPOCHS, MINIMUM_STEPS = 6, 100


def run(task: Task, hardware: Hardware, checkpoint: Checkpoint | None) -> Trained:
    """Train a network, or go on where a checkpoint left it."""
    options, device, n_rows = task.options, hardware.device, len(task.rows.y)
    epochs = task.epochs or default_epochs(n_rows, options)
    steps = n_batches(n_rows, options.batch_size)  # in an epoch
    with borrowed_generators(device):
        chance = Chance(task.seed, hardware)
        network = task.build().to(device)
        _check_batches(network, n_rows, options.batch_size)
        x, y = hardware.place(task.rows.x), hardware.place(task.rows.y)
        balanced = task.rows.y if options.sampling == "balanced" else None
        weight = class_weights(task.rows.y, task.n_classes, None if balanced is not None else options.class_weight)
        importance, weight = weight.numpy()[task.rows.y], weight.to(device)
        joined = hardware.join(network)
        optimiser, progress, interrupted = Optimiser(network, options, hardware), Progress(), False
        if checkpoint is not None:
            checkpoint.restore(progress, network, optimiser, chance)
        bar = hardware.bar(task.title, done=progress.epoch - 1, epochs=epochs)
        try:
            while not progress.finished:
                epoch, start = progress.epoch, time.perf_counter() - progress.seconds
                if not progress.losses:
                    chance.begin_epoch(epoch)
                network.train()
                cut = batches(n_rows, options.batch_size, seed=task.seed, epoch=epoch, balanced=balanced)
                for index in cut[len(progress.losses) :]:
                    rate = learning_rate(options, (epoch - 1) * steps + len(progress.losses), epochs * steps)
                    mine = hardware.share(index)
                    cells, classes = hardware.cut(x, mine), hardware.cut(y, mine)
                    clean = {"target": cells.clone()} if network.reconstructs else {}
                    inputs = drop_inputs(cells, options.input_dropout, chance.masks)
                    with optimiser.autocast():
                        loss = joined.loss(
                            inputs, classes, weight=weight, label_smoothing=options.label_smoothing, **clean
                        )
                    loss = optimiser.penalty.add(hardware.weigh(loss, importance, mine, index))
                    optimiser.step(loss, rate)
                    progress.losses.append(loss.detach())
                    progress.counts = tally(network.batch_logits, classes, progress.counts)
                    if checkpoint is not None and checkpoint.due():
                        progress.seconds = time.perf_counter() - start
                        checkpoint.save(progress, network, optimiser, chance, batch_size=options.batch_size)
                losses = hardware.mean(torch.stack(progress.losses))
                _check_losses(losses, epoch, epochs, options)
                seconds = time.perf_counter() - start
                judged = None if task.valid is None else _judged(network, task.valid, hardware, options, epoch, rate)
                progress.history.add(
                    epoch=epoch,
                    train_loss=float(losses.mean()),
                    learning_rate=rate,
                    seconds=seconds,
                    cells_per_second=n_rows / seconds,
                    **measures(progress.counts, hardware),
                    **optimiser.penalty.genes_left(),
                    **(judged.history if judged else {}),
                )
                progress.keep(network, judged)
                progress.turn(epochs, options.patience)
                if checkpoint is not None:
                    checkpoint.save(progress, network, optimiser, chance, batch_size=options.batch_size)
                bar.update(1)
        except KeyboardInterrupt:
            interrupted = True  # what was learnt so far is returned, and said to be unfinished
        finally:
            bar.close()
        if progress.best is not None:
            network.load_state_dict(progress.best)
        check_weights(network, options)
    return Trained.of(network, progress.history.arrays(), progress.best_epoch, interrupted, options.batch_size)


def default_epochs(n_rows: int, options: Fit) -> int:
    """Return the passes over the rows: as told, or 6 and at least 100 steps."""
    if options.epochs is not None:
        return options.epochs
    return max(MINIMUM_EPOCHS, math.ceil(MINIMUM_STEPS / n_batches(n_rows, options.batch_size)))


def _check_batches(network: Network, n_rows: int, batch_size: int | None) -> None:
    """Refuse batches of one row where the network normalises over the batch."""
    if min(n_rows, batch_size or n_rows) == 1 and any(isinstance(m, torch.nn.BatchNorm1d) for m in network.modules()):
        one, remedy = ("batches of one are asked for", "Give Fit(batch_size=…) of 2 or more")
        if n_rows == 1:
            one, remedy = ("there is one row to train on", "Take more training rows")
        msg = f"Batch normalisation needs two rows per batch, but {one}. {remedy}, or a network without it (batch_norm=None)."
        raise ValueError(msg)


def _judged(network: Network, valid: Rows, hardware: Hardware, options: Fit, epoch: int, rate: float) -> Judgement:
    """Measure the network on the validation rows, or stop where learning went astray in the last step."""
    try:
        return judge(network, valid, hardware)
    except FloatingPointError as error:
        msg = f"After epoch {epoch} (learning rate {rate:.2g}), {error}. {_remedy(options)}"
        raise FloatingPointError(msg) from None


def _check_losses(losses: Tensor, epoch: int, epochs: int, options: Fit) -> None:
    """Stop where learning went astray."""
    if bool(torch.isfinite(losses).all()):
        return
    step = int((~torch.isfinite(losses)).nonzero()[0])
    rate = learning_rate(options, (epoch - 1) * len(losses) + step, epochs * len(losses))
    msg = f"The loss is not finite at step {step + 1} of epoch {epoch} (learning rate {rate:.2g}). {_remedy(options)}"
    raise FloatingPointError(msg)


def check_weights(network: Network, options: Fit) -> None:
    """Refuse weights that the very last step spoiled."""
    if not all(bool(torch.isfinite(weight).all()) for weight in network.parameters()):
        msg = f"The weights are not finite after the last step. {_remedy(options)}"
        raise FloatingPointError(msg)


def _remedy(options: Fit) -> str:
    """Say what to do about numbers that are not finite."""
    precision = ", compute in Fit(precision='float32')" if options.precision != "float32" else ""
    return (
        f"Lower the learning rate, e.g. Fit(learning_rate=1e-4){precision}, or scale the input (Fit(scale='zscore'))."
    )
