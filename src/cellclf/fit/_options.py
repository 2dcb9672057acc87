"""How a network learns: one frozen record of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, NoReturn, get_args

Optimiser = Literal["adamw", "adam", "sgd"]
Schedule = Literal["one_cycle", "cosine", "constant"]
Sampling = Literal["shuffle", "balanced"]
ClassWeight = Literal["sqrt", "balanced"]
Precision = Literal["float32", "bfloat16", "float16"]
Counts = Literal["auto", "counts", "none"]
Scale = Literal["zscore", "minmax", "maxabs", "none"]

CHOICES = {
    "optimiser": get_args(Optimiser),
    "schedule": get_args(Schedule),
    "sampling": get_args(Sampling),
    "class_weight": (*get_args(ClassWeight), None),
    "precision": get_args(Precision),
    "preprocess": get_args(Counts),
    "scale": get_args(Scale),
}


@dataclass(frozen=True)
class Fit:
    """How a network learns.

    The defaults are one recipe for all data sets, from a few hundred cells to many thousands.

    Parameters
    ----------
    epochs
        Passes over the training rows. `None`: 6 passes, and as many more as 100 steps take.
    batch_size
        Rows per step; the batches of an epoch differ by one row at most. `None`: all rows in one step. Where a batch is
        too large for the device, half of it is tried, with a warning.
    optimiser
        ``"adamw"`` :cite:p:`Loshchilov2019`, ``"adam"`` :cite:p:`Kingma2015`, or ``"sgd"``: gradient descent with
        momentum 0.9.
    learning_rate
        Step size of the optimiser, the peak of the schedule.
    schedule
        ``"one_cycle"`` rises over the first fifth of the steps and falls to zero along a cosine;
        ``"cosine"`` falls from the first step on; ``"constant"`` stays.
    weight_decay
        Decoupled decay of AdamW; with the other optimisers, half the strength of a squared penalty on all parameters.
    l2
        Strength of a squared penalty for each layer named, such as ``{"first_linear": 1e-3}``: that number times the sum
        of the squared weights of the layer (without biases), per member, is added to the loss. Names are those of
        ``clf.network.named_modules()``.
    l1
        Strength of an absolute penalty: this number times the mean of the absolute weights, over all
        that are not biases, is added to the loss. It makes weights small; none becomes exactly zero.
    group_l1
        Strength of the group lasso :cite:p:`Yuan2006` on the first layer: this number times √(number of weights of a gene)
        times the length of these weights, over all hidden units and the linear skip, is added to the loss for each gene.
        It is minimised by proximal steps, so that genes leave the network exactly; the history has a column `genes_left`.
    label_smoothing
        Share of each target spread evenly over the classes, 0 ≤ label_smoothing < 1.
    input_dropout
        Share of the inputs set to zero (their mean) in each training step, 0 ≤ input_dropout < 1.
    sampling
        ``"shuffle"``: every row once an epoch. ``"balanced"``: as many rows an epoch, but equally many of each class in
        every batch (to within one row), so that rows of small classes come several times.
    class_weight
        Weight of a class of size n in the loss: ``"balanced"`` 1/n, ``"sqrt"`` 1/√n, or equal (`None`). With
        ``sampling="balanced"`` all classes come equally often, so they weigh the same.
    clip_norm
        Largest length of the gradient of all weights together; a longer one is scaled down. `None`: any.
    patience
        Stop after so many epochs of which none could be kept. `None`: run all epochs. Kept is, either way, the last
        epoch whose validation loss is no more than two standard errors above the lowest.
    members
        Networks trained side by side; their probabilities are averaged, and how far they differ goes with each prediction.
    refit
        Where the validation rows had to be taken out of the training rows: once the number of epochs and the
        temperature are chosen, train again on both together.
    conformal_folds
        Number of folds of the training rows, each left out in turn of a further training, so that :func:`cellclf.tl.predict` can
        tell unknown cells at a stated error rate; 5 is usual. 0: none. Every fold costs another training.
    valid_fraction
        Share of the training rows of each class taken out for validation where none are marked.
    preprocess
        ``"counts"`` divides each row by its total, multiplies by 10 000 and takes log1p; ``"none"`` takes values
        as they are; ``"auto"`` does the first where the training rows hold non-negative whole numbers above 1.
    scale
        Then each gene is brought to mean 0 and standard deviation 1 (``"zscore"``, clipped to ±10), to [0, 1]
        (``"minmax"``), to [-1, 1] (``"maxabs"``), by what the training rows show, or left (``"none"``).
    information_power
        Last, each gene is multiplied by this power of its mutual information on the training rows with the label, or with one class
        against the rest if that is more; less what chance tells, and divided by the geometric mean of the two entropies. 0 leaves all equal.
    axes
        While it learns, let half of the units of the first hidden layer read the genes through so many principal axes of the
        training cells, and the linear skip read genes and axes. Afterwards every gene has weights of its own, as without. 0: read
        each gene for itself, as is always done by networks without hidden layers and skip, with `l1`, `l2` or `group_l1`, and
        where training goes on from given weights.
    stacking
        Once the network is trained, let a linear discriminant and a logistic regression in up to 256 principal axes of the training
        cells speak through its linear skip, as loud as makes the loss of the validation rows least: a help where cells are few.
        Not where there is no linear skip or are no validation rows, with `l1`, `l2` or `group_l1`, or where training goes on from
        given weights.
    precision
        ``"float32"``, or mixed precision: products in ``"bfloat16"`` or ``"float16"`` while training, weights in float32.
    device
        ``"auto"`` (CUDA, else Apple's MPS, else the CPU) or a torch device such as ``"cuda:1"``.
    devices
        Number of devices of that kind, each driven by a process of its own; on a CPU, the number of processes. More than one
        needs the extra ``cellclf[devices]``.

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
    optimiser: Optimiser = "adamw"
    learning_rate: float = 2e-3
    schedule: Schedule = "one_cycle"
    weight_decay: float = 0.01
    l2: Mapping[str, float] | Sequence[tuple[str, float]] = ()
    l1: float = 0.0
    group_l1: float = 0.0
    label_smoothing: float = 0.02
    input_dropout: float = 0.2
    sampling: Sampling = "shuffle"
    class_weight: ClassWeight | None = "sqrt"
    clip_norm: float | None = None
    patience: int | None = None
    members: int = 1
    refit: bool = True
    conformal_folds: int = 0
    valid_fraction: float = 0.1
    preprocess: Counts = "auto"
    scale: Scale = "zscore"
    information_power: float = 0.75
    axes: int = 128
    stacking: bool = True
    precision: Precision = "float32"
    device: str = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        """Check every setting; the layers of `l2` become pairs, so that the record stays hashable."""
        object.__setattr__(self, "l2", _pairs(self.l2))
        for name in ("epochs", "batch_size", "patience", "members", "devices"):
            value = getattr(self, name)
            optional = name not in {"members", "devices"}
            if not (value is None and optional) and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                _refuse(name, value, "a whole number of 1 or more")
        folds = self.conformal_folds
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 0 or folds == 1:
            _refuse("conformal_folds", folds, "0 for none, or a whole number of 2 or more")
        if isinstance(self.axes, bool) or not isinstance(self.axes, int) or self.axes < 0:
            _refuse("axes", self.axes, "0 for none, or a whole number")
        for name in ("refit", "stacking"):
            if not isinstance(getattr(self, name), bool):
                _refuse(name, getattr(self, name), "True or False")
        for name in ("label_smoothing", "input_dropout"):
            self._check_number(name, lambda value: 0 <= value < 1, "a share, 0 ≤ share < 1")
        self._check_number("valid_fraction", lambda value: 0 < value < 1, "a share, 0 < share < 1")
        for name in ("learning_rate", "clip_norm"):
            if not (self.clip_norm is None and name == "clip_norm"):
                self._check_number(name, lambda value: 0 < value < float("inf"), "a positive number")
        for name in ("weight_decay", "information_power", "l1", "group_l1"):
            self._check_number(name, lambda value: 0 <= value < float("inf"), "0 or a positive number")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                _refuse(name, getattr(self, name), " or ".join(map(repr, known)))
        if self.devices > 1 and ":" in self.device:
            _refuse("devices", self.devices, f"devices=1, or device={self.device.partition(':')[0]!r} without a number")

    def _check_number(self, name: str, fits: Callable[[float], bool], due: str) -> None:
        """Refuse what is no number, or one out of range."""
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, Real) or not fits(float(value)):
            _refuse(name, value, due)


def _pairs(l2: Mapping[str, float] | Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Bring the layers of `l2` (a mapping, or the pairs that a file holds) into one form."""
    try:
        pairs = tuple((name, float(strength)) for name, strength in dict(l2).items())
    except (TypeError, ValueError):
        _refuse("l2", l2, "a mapping of layers to strengths, such as {'first_linear': 1e-3}")
    if not all(isinstance(name, str) and 0 <= strength < float("inf") for name, strength in pairs):
        _refuse("l2", l2, "names of layers, each with 0 or a positive number")
    return pairs


def _refuse(name: str, value: object, due: str) -> NoReturn:
    """Say what a setting must be."""
    msg = f"Fit({name}={value!r}) is out of range. Give {due}."
    raise ValueError(msg)
