from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import accuracy_score, f1_score, log_loss

from cellclf.attribution import rise_between

N_CLASSES = 4


@pytest.mark.parametrize("measure", ["loss", "accuracy", "macro_f1"])
def test_equals_the_difference_of_what_scikit_learn_gives(measure: str) -> None:
    generator = np.random.default_rng(0)
    before, after = generator.normal(size=(2, 61, N_CLASSES))
    y = generator.integers(0, N_CLASSES - 1, 61)  # the last class has no rows
    before[np.arange(61), y] += 2

    def worse(logits: np.ndarray, rows: np.ndarray, k: int | None = None) -> float:
        truth, guess = y[rows], logits[rows].argmax(axis=1)
        if measure == "loss":
            return log_loss(truth, softmax(logits[rows], axis=1), labels=np.arange(N_CLASSES))
        if measure == "accuracy":
            return -accuracy_score(truth, guess)
        each = f1_score(truth, guess, average=None, labels=None if k is None else [k])
        return -float(each.mean())

    every = np.ones(61, dtype=bool)
    found = rise_between(before, after, y, measure)
    assert found.total == pytest.approx(worse(after, every) - worse(before, every), abs=1e-12)
    assert found.baseline == pytest.approx(abs(worse(before, every)), abs=1e-12)
    for k in range(N_CLASSES - 1):
        rows = every if measure == "macro_f1" else y == k
        assert found.by_class[k] == pytest.approx(worse(after, rows, k) - worse(before, rows, k), abs=1e-12)
    assert np.isnan(found.by_class[-1])
