from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from cellclf import stats

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(PAIRS)
@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_all_are_those_of_scikit_learn(pairs):
    truth, predicted = np.array(pairs).T
    table = stats.confusion(truth, predicted, 4)
    np.testing.assert_array_equal(table, metrics.confusion_matrix(truth, predicted, labels=range(4)))
    assert stats.accuracy(table) == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert stats.balanced_accuracy(table) == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert stats.macro_f1(table) == pytest.approx(metrics.f1_score(truth, predicted, average="macro", zero_division=0))
    expected = metrics.precision_recall_fscore_support(truth, predicted, labels=range(4), zero_division=0)
    found = stats.classification_report(table)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(found[name], values)


def test_rows_without_a_class_are_passed_over():
    assert stats.confusion(np.array([-1, 0, 1]), np.array([1, 0, 0]), 2).tolist() == [[1, 0], [1, 0]]


def test_an_empty_table_has_no_score():
    table = stats.confusion(np.array([], int), np.array([], int), 3)
    assert np.isnan([stats.accuracy(table), stats.balanced_accuracy(table), stats.macro_f1(table)]).all()


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 1], [0], "same length"),
        ([0, 2], [0, 1], "truth reaches from 0 to 2"),
        ([0, 1], [0, -1], "predicted reaches from -1 to 0"),
    ],
)
def test_what_does_not_fit_is_refused(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        stats.confusion(np.array(truth), np.array(predicted), 2)
