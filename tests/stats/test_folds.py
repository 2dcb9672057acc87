from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from cellclf import stats


def folds_of(codes, n_folds, seed=0, groups=None):
    groups = None if groups is None else np.asarray(groups)
    return stats.stratified_folds(np.asarray(codes), n_folds, np.random.default_rng(seed), groups)


def sizes(folds, n_folds):
    return np.bincount(folds[folds >= 0], minlength=n_folds)


@given(st.lists(st.integers(-1, 4), min_size=12, max_size=60), st.integers(2, 6), st.integers(0, 5))
def test_every_class_and_every_fold_is_as_even_as_numbers_allow(codes, n_folds, seed):
    codes = np.array([*codes, *[0] * n_folds])
    folds = folds_of(codes, n_folds, seed)
    np.testing.assert_array_equal(folds < 0, codes < 0)
    assert np.ptp(sizes(folds, n_folds)) <= 1
    for k in np.unique(codes[codes >= 0]):
        assert np.ptp(sizes(folds[codes == k], n_folds)) <= 1


def test_rows_are_shuffled_and_the_same_seed_gives_the_same_folds():
    codes = np.repeat([0, 1, 2], 40)
    first = folds_of(codes, 5)
    np.testing.assert_array_equal(first, folds_of(codes, 5))
    assert (first != folds_of(codes, 5, seed=1)).any()
    apart = np.mean([[folds_of(codes, 5, seed)[i] for i in range(3)] for seed in range(600)], axis=0)
    np.testing.assert_allclose(apart, 2.0, atol=0.25)  # any row falls into any fold; four standard errors


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 9)), min_size=20, max_size=80), st.integers(2, 4))
def test_groups_stay_together_and_no_fold_is_empty(rows, n_folds):
    codes, groups = np.array([*rows, *[(0, i) for i in range(4)]]).T
    folds = folds_of(codes, n_folds, groups=groups)
    np.testing.assert_array_equal(folds < 0, codes < 0)
    for group in np.unique(groups[codes >= 0]):
        assert len(set(folds[(groups == group) & (codes >= 0)])) == 1
    assert (sizes(folds, n_folds) > 0).all()


def test_groups_are_dealt_about_as_evenly_as_by_scikit_learn():
    rng, ours, theirs = np.random.default_rng(3), [], []
    for seed in range(20):
        groups = rng.integers(0, 30, 600)
        codes = (groups % 3 + (rng.random(600) < 0.3)) % 3
        peer = np.empty(600, int)
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for number, (_, test) in enumerate(splitter.split(codes, codes, groups)):
            peer[test] = number
        for found, folds in ((ours, folds_of(codes, 5, seed, groups)), (theirs, peer)):
            table = np.array([np.bincount(folds[codes == k], minlength=5) for k in range(3)])
            found.append((table / table.sum(axis=1, keepdims=True)).std(axis=1).mean())
    assert np.mean(ours) < 1.1 * np.mean(theirs)


@pytest.mark.parametrize("n_folds", [1, 0, 2.0, True, "5"])
def test_numbers_without_meaning_are_refused(n_folds):
    with pytest.raises(ValueError, match="n_folds="):
        folds_of([0, 1, 0, 1], n_folds)


def test_too_few_rows_or_groups_are_refused():
    with pytest.raises(ValueError, match=r"only 3 rows with a class\. Give n_folds=3"):
        folds_of([0, 1, 1, -1], 4)
    with pytest.raises(ValueError, match=r"only 2 groups\. Give n_folds=2"):
        folds_of([0, 1, 1, 0], 3, groups=[0, 0, 1, 1])
    with pytest.raises(ValueError, match="only 1 groups, which cannot be parted"):
        folds_of([0, 1, 1, 0], 2, groups=[0, 0, 0, 0])
