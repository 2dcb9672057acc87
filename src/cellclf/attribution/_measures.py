"""What is measured when an input is shuffled: a number for each row, and how the numbers of all rows become a rise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import torch
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Measure = Literal["loss", "accuracy", "macro_f1"]


class Rise(NamedTuple):
    """How much worse things get: for each input, over all rows (n_inputs) and for each class (n_inputs, n_classes)."""

    total: Tensor
    by_class: Tensor


class Mean:
    """A mean over rows, of the cross-entropy or of the errors."""

    def __init__(self, logits: Tensor, y: Tensor, temperature: float, measure: Measure) -> None:
        self.y, self.temperature, self.errors = y, temperature, measure == "accuracy"
        self.rows = self.value(logits, torch.arange(len(y), device=y.device))
        members = functional.one_hot(y, logits.shape[1]).to(self.rows.dtype)
        sizes = members.sum(dim=0)
        self.members, self.sizes = members, sizes.where(sizes > 0, torch.nan)  # a class without rows gets NaN
        mean = float(self.rows.mean())
        self.baseline = 1 - mean if self.errors else mean

    def value(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Judge some rows by their logits."""
        if self.errors:
            return (logits.argmax(dim=1) != self.y[rows]).to(_precise(logits))
        return _cross_entropy(logits, self.y[rows], self.temperature)

    def rise(self, after: Tensor) -> Rise:
        """Compare rows after shuffling (n_inputs, n_rows) with what they were."""
        sums = (after - self.rows) @ self.members
        return Rise(sums.sum(dim=1) / len(self.y), sums / self.sizes)


class MacroF1:
    """The mean F1 over the classes that occur in truth or prediction."""

    def __init__(self, logits: Tensor, y: Tensor) -> None:
        self.y, self.n_classes = y, logits.shape[1]
        self.rows = logits.argmax(dim=1).to(_precise(logits))
        self.before, mean = self._scores(self.rows[None])
        self.baseline = float(mean[0])
        self.absent = torch.bincount(y, minlength=self.n_classes) == 0

    def value(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Name the class that some rows are given."""
        return logits.argmax(dim=1).to(self.rows.dtype)

    def rise(self, after: Tensor) -> Rise:
        """Compare the classes that rows are given after shuffling (n_inputs, n_rows) with what they were given."""
        each, mean = self._scores(after)
        return Rise(self.baseline - mean, (self.before - each).masked_fill(self.absent, torch.nan))

    def _scores(self, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Return F1 of each class (n_inputs, n_classes), and the means (n_inputs)."""
        k, n = self.n_classes, len(predicted)
        field = (torch.arange(n, device=self.y.device)[:, None] * k + self.y) * k + predicted.long()
        table = torch.bincount(field.flatten(), minlength=n * k * k).view(n, k, k)
        hits, due = table.diagonal(dim1=1, dim2=2), table.sum(dim=1) + table.sum(dim=2)
        f1 = 2 * hits.to(predicted.dtype) / due.clamp(min=1)
        return f1, f1.sum(dim=1) / (due > 0).sum(dim=1)


def judge(logits: Tensor, y: Tensor, temperature: float, measure: Measure) -> Mean | MacroF1:
    """Prepare what is measured, from the logits with nothing shuffled."""
    if measure not in get_args(Measure):
        msg = f"measure={measure!r} is not known. Choose one of {', '.join(map(repr, get_args(Measure)))}."
        raise ValueError(msg)
    return MacroF1(logits, y) if measure == "macro_f1" else Mean(logits, y, temperature, measure)


class Rises(NamedTuple):
    """How much worse one set of predictions is than another: over all rows, for each class (n_classes), and from what."""

    total: float
    by_class: np.ndarray
    baseline: float


def rise_between(before: np.ndarray, after: np.ndarray, y: np.ndarray, measure: Measure = "loss") -> Rises:
    """Compare what two networks say of the same rows.

    Parameters
    ----------
    before
        Logits of the one (n_rows, n_classes).
    after
        Logits of the other.
    y
        Class of each row (n_rows), int64 from 0.
    measure
        ``"loss"``, ``"accuracy"`` or ``"macro_f1"``.

    Returns
    -------
    The rise of the loss, or the fall of accuracy or macro-F1.

    Examples
    --------
    >>> import numpy as np
    >>> rise_between(np.eye(2), np.zeros((2, 2)), np.array([0, 1]), "accuracy").total
    0.5
    """
    classes = torch.from_numpy(y)
    judged = judge(torch.from_numpy(before), classes, 1.0, measure)
    rise = judged.rise(judged.value(torch.from_numpy(after), torch.arange(len(y)))[None])
    return Rises(float(rise.total[0]), rise.by_class[0].numpy(), judged.baseline)


def _precise(logits: Tensor) -> torch.dtype:
    """Return float64 where the device has it: a sure classifier's losses are tiny."""
    return torch.float32 if logits.device.type == "mps" else torch.float64


def _cross_entropy(logits: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return the loss of each row."""
    logits = logits.to(_precise(logits)) / temperature
    return torch.logsumexp(logits, dim=1) - logits.gather(1, y[:, None])[:, 0]  # half the time of `cross_entropy`
