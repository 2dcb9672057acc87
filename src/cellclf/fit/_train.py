"""Train a network on the hardware that is asked for."""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cellclf.fit._checkpoint import Checkpoint, digest
from cellclf.fit._hardware import Hardware, device_of, out_of_memory
from cellclf.fit._loop import run
from cellclf.fit._task import Initial, Task, Trained
from cellclf.nn._registry import to_header

if TYPE_CHECKING:
    from cellclf.fit._options import Fit
    from cellclf.fit._rows import Rows
    from cellclf.nn._registry import Description


def train(
    description: Description,
    rows: Rows,
    valid: Rows | None,
    options: Fit,
    *,
    n_classes: int,
    seed: int,
    epochs: int | None = None,
    initial: Initial = None,
    title: str = "train",
    beside: Description | None = None,
    initial_beside: Initial = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train a network, from fresh weights or `initial` ones, keeping a file from which to go on.

    With validation rows the weights are those of the last epoch that was no worse than the best, by two standard errors
    of the loss: a few rows cannot tell good epochs apart, and the end of the schedule is the better guess. Without any,
    they are those of the last epoch. A network `beside` it learns from the same batches for the same epochs, with the same
    options but for members and penalties; the weights of the one have no influence on the other.
    """
    task = Task(
        description,
        rows,
        valid,
        options,
        n_classes,
        seed,
        epochs,
        initial,
        title,
        beside,
        initial_beside,
        initial is None,
    )
    file = None if checkpoint is None else _checkpoint(task, checkpoint)
    if file is not None:
        task = replace(task, options=replace(options, batch_size=file.batch_size(options.batch_size)))
    while True:
        try:
            return _run(task, file)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            task = replace(task, options=_smaller(task, error))
            if file is not None:
                file.discard()


def _run(task: Task, checkpoint: Checkpoint | None) -> Trained:
    """Train on one device, or on several."""
    if task.options.devices > 1:
        from cellclf.fit._together import run_together

        return run_together(task, checkpoint)
    return run(task, Hardware(device_of(task.options.device)), checkpoint)


def _smaller(task: Task, error: RuntimeError) -> Fit:
    """Halve the batch, and say so."""
    n_rows = len(task.rows.y)
    size = min(task.options.batch_size or n_rows, n_rows)
    if size <= 2:
        msg = f"Two rows of {task.rows.x.shape[1]} genes do not fit the memory of the device. Use fewer genes, a smaller network or device='cpu'."
        raise RuntimeError(msg) from error
    half = size // 2
    warnings.warn(
        f"A batch of {size} rows does not fit the memory of the device; training starts again with batches of {half}. "
        f"Give Fit(batch_size={half}) to do so at once.",
        stacklevel=2,
    )
    return replace(task.options, batch_size=half)


def _checkpoint(task: Task, path: Path) -> Checkpoint:
    """Name the file, and what must be the same for the training to go on from it."""
    given = task.initial is not None or task.initial_beside is not None
    first = task.first_weights() if given else {}
    return Checkpoint(
        path,
        {
            **{f"Fit({name}=…)": _plain(value) for name, value in asdict(task.options).items()},
            "network": _plain(to_header(task.description)),
            "the network beside it": task.beside and _plain(to_header(task.beside)),
            "rng": task.seed,
            "epochs": task.epochs,
            "the training rows": digest(*task.rows.arrays),
            "the validation rows": digest(*(task.valid.arrays if task.valid else ())),
            "the number of classes": task.n_classes,
            "the first weights": digest(*(weight.numpy() for weight in first.values())),
        },
    )


def _plain(value: object) -> object:
    """Write a setting as JSON gives it back."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
