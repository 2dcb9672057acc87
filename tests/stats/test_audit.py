from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellclf import stats


def slow_audit(proba, labels):
    """Say the same in loops, one row at a time."""
    n, n_classes = proba.shape
    mean = {k: np.mean([proba[i, k] for i in range(n) if labels[i] == k]) for k in set(labels)}
    counts = np.zeros((n_classes, n_classes))
    for i in range(n):
        sure = [k for k in mean if proba[i, k] >= mean[k]]
        if sure:
            counts[labels[i], max(sure, key=lambda k: (proba[i, k], -k))] += 1
    flagged = set()
    for s in mean:
        counts[s, s] = max(counts[s, s], 1)
        counts[s] *= sum(labels == s) / counts[s].sum()
        mine = [i for i in range(n) if labels[i] == s and max(range(n_classes), key=lambda k: (proba[i, k], -k)) != s]
        for t in range(n_classes):
            if t != s:
                mine.sort(key=lambda i: proba[i, s] - proba[i, t])
                flagged |= set(mine[: int(np.rint(counts[s, t]))])
    quality = [(1 + proba[i, labels[i]] - max(np.delete(proba[i], labels[i]))) / 2 for i in range(n)]
    return counts, flagged, quality


@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(5, 40))
def test_it_is_what_the_loops_say(seed, n_classes, n_rows):
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(2), rng.integers(0, n_classes, n_rows))
    proba = rng.dirichlet(np.full(n_classes, 0.4), len(labels))
    found = stats.audit(proba, labels)
    counts, flagged, quality = slow_audit(proba, labels)
    np.testing.assert_allclose(found.joint, counts)
    assert set(np.flatnonzero(found.issue)) == flagged
    np.testing.assert_allclose(found.quality, quality)
    np.testing.assert_array_equal(found.predicted, proba.argmax(axis=1))


def test_planted_mistakes_are_found_and_counted():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 3000)
    proba = 0.04 + 0.88 * np.eye(3)[truth] + rng.uniform(-0.03, 0.03, (3000, 3))
    wrong = rng.random(3000) < 0.1
    labels = np.where(wrong, (truth + 1) % 3, truth)
    found = stats.audit(proba / proba.sum(axis=1, keepdims=True), labels)
    assert (found.issue & wrong).sum() / found.issue.sum() > 0.97
    assert (found.issue & wrong).sum() / wrong.sum() > 0.9
    expected = np.array([[np.sum((labels == s) & (truth == t)) for t in range(3)] for s in range(3)])
    np.testing.assert_allclose(found.joint, expected, rtol=0.25, atol=12)
    assert found.joint.sum() == pytest.approx(3000)


def test_clean_labels_are_left_alone():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, 400)
    found = stats.audit(0.02 + 0.92 * np.eye(4)[labels] + rng.uniform(0, 0.01, (400, 4)), labels)
    assert not found.issue.any()
    assert (found.quality > 0.9).all()


def test_a_class_that_no_row_has_is_never_suspected():
    found = stats.audit(np.array([[0.5, 0.1, 0.4], [0.2, 0.4, 0.4]]), np.array([0, 1]))
    assert found.thresholds[2] == np.inf
    np.testing.assert_array_equal(found.joint, np.diag([1.0, 1.0, 0.0]))
