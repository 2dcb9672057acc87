"""How a network learns: one frozen record of settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Schedule = Literal["one_cycle", "constant"]
ClassWeight = Literal["sqrt", "balanced"]
Counts = Literal["auto", "counts", "none"]
Scale = Literal["zscore", "minmax", "maxabs", "none"]


@dataclass(frozen=True)
class Fit:
    """How a network learns.

    The defaults are one recipe for all data sets, from a few hundred cells to many thousands.

    Parameters
    ----------
    epochs
        Passes over the training rows. `None`: 8 passes, and as many more as 120 steps take.
    batch_size
        Rows per step; the batches of an epoch differ by one row at most. `None`: all rows in one step.
    learning_rate
        Step size of AdamW, the peak of the schedule.
    schedule
        ``"one_cycle"`` rises over the first fifth of the steps and falls to zero along a cosine;
        ``"constant"`` stays.
    weight_decay
        Decoupled decay of AdamW.
    label_smoothing
        Share of each target spread evenly over the classes, 0 ≤ label_smoothing < 1.
    input_dropout
        Share of the inputs set to zero (their mean) in each training step, 0 ≤ input_dropout < 1.
    class_weight
        Weight of a class of size n in the loss: ``"balanced"`` 1/n, ``"sqrt"`` 1/√n, or equal (`None`).
    patience
        Stop after so many epochs of which none could be kept. `None`: run all epochs. Kept is, either way, the last
        epoch whose validation loss is no more than two standard errors above the lowest.
    members
        Networks trained side by side; their probabilities are averaged.
    refit
        Where the validation rows had to be taken out of the training rows: once the number of epochs and the
        temperature are chosen, train again on both together.
    valid_fraction
        Share of the training rows of each class taken out for validation where none are marked.
    preprocess
        ``"counts"`` divides each row by its total, multiplies by 10 000 and takes log1p; ``"none"`` takes values
        as they are; ``"auto"`` does the first where the training rows hold non-negative whole numbers above 1.
    scale
        Then each gene is brought to mean 0 and standard deviation 1 (``"zscore"``, clipped to ±10), to [0, 1]
        (``"minmax"``), to [-1, 1] (``"maxabs"``), by what the training rows show, or left (``"none"``).
    information_power
        Last, each gene is multiplied by this power of its mutual information with the label on the training rows,
        corrected for chance and divided by the geometric mean of the entropies of gene and label; 0 leaves all equal.
    device
        ``"auto"`` (CUDA, else Apple's MPS, else the CPU) or a torch device such as ``"cuda:1"``.

    Raises
    ------
    ValueError
        A setting outside its range.

    Examples
    --------
    >>> import cellclf as cc
    >>> cc.Fit(epochs=20, batch_size=64).epochs
    20
    """

    epochs: int | None = None
    batch_size: int | None = 128
    learning_rate: float = 2e-3
    schedule: Schedule = "one_cycle"
    weight_decay: float = 0.01
    label_smoothing: float = 0.05
    input_dropout: float = 0.2
    class_weight: ClassWeight | None = "sqrt"
    patience: int | None = None
    members: int = 1
    refit: bool = True
    valid_fraction: float = 0.1
    preprocess: Counts = "auto"
    scale: Scale = "zscore"
    information_power: float = 0.75
    device: str = "auto"

    def __post_init__(self) -> None:
        """Check every setting."""
        for name in ("epochs", "batch_size", "patience", "members"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                _refuse(name, value, "a whole number of 1 or more")
        for name in ("label_smoothing", "input_dropout"):
            if not 0 <= getattr(self, name) < 1:
                _refuse(name, getattr(self, name), "a share, 0 ≤ share < 1")
        if not 0 < self.valid_fraction < 1:
            _refuse("valid_fraction", self.valid_fraction, "a share, 0 < share < 1")
        if not 0 < self.learning_rate < float("inf"):
            _refuse("learning_rate", self.learning_rate, "a positive number")
        for name in ("weight_decay", "information_power"):
            if not 0 <= getattr(self, name) < float("inf"):
                _refuse(name, getattr(self, name), "0 or a positive number")
        choices = {"schedule": Schedule, "class_weight": ClassWeight, "preprocess": Counts, "scale": Scale}
        for name, kind in choices.items():
            known = get_args(kind) + ((None,) if name == "class_weight" else ())
            if getattr(self, name) not in known:
                _refuse(name, getattr(self, name), " or ".join(map(repr, known)))


def _refuse(name: str, value: object, due: str) -> None:
    """Say what a setting must be."""
    msg = f"Fit({name}={value!r}) is out of range. Give {due}."
    raise ValueError(msg)
