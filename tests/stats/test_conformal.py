from __future__ import annotations

import numpy as np
import pytest

from cellclf import stats
from cellclf.stats import Conformal


@pytest.fixture
def known() -> Conformal:
    """Thirty cells of class 0, twelve of class 1, none of class 2, with ties."""
    rng = np.random.default_rng(0)
    scores, novelty = np.round(rng.normal(size=(2, 42)), 1).astype(np.float32)
    return Conformal(scores, novelty, np.repeat([0, 1], [30, 12]).astype(np.int32), 3)


@pytest.mark.parametrize(("rate", "alone"), [(0.1, [True, True, False]), (0.05, [True, False, False])])
def test_pvalues_equal_a_loop(known, rate, alone):
    rng = np.random.default_rng(1)
    scores, novelty = np.round(rng.normal(size=(50, 3)), 1), np.round(rng.normal(size=50), 1).astype(np.float32)
    found, any_class = known.of_classes(scores, rate), known.of_any(novelty, rate)
    assert list(known.judged_alone(rate)) == alone
    for i in range(50):
        assert any_class[i] == pytest.approx((1 + sum(other >= novelty[i] for other in known.novelty)) / 43)
        for k in range(3):
            others = [s for s, c in zip(known.scores, known.classes, strict=True) if c == k or not alone[k]]
            as_bad = sum(other >= np.float32(scores[i, k]) for other in others)
            assert found[i, k] == pytest.approx((1 + as_bad) / (1 + len(others)))


def test_chance_counts_for_the_rank_of_the_cell_and_of_its_equals(known):
    rng = np.random.default_rng(2)
    scores, chance = np.round(rng.normal(size=(50, 3)), 1), rng.random(50)
    found = known.of_classes(scores, 0.1, chance)
    for i in range(50):
        for k in range(3):
            own = known.scores[known.classes == k] if k < 2 else known.scores
            above, equal = (own > np.float32(scores[i, k])).sum(), (own == np.float32(scores[i, k])).sum()
            assert found[i, k] == pytest.approx((above + chance[i] * (1 + equal)) / (1 + len(own)))
    whole = known.of_classes(scores, 0.1, np.ones(50))
    np.testing.assert_array_equal(whole, known.of_classes(scores, 0.1))


@pytest.mark.parametrize("tied", [False, True])
def test_with_chance_the_share_is_met_exactly_by_few_cells(tied):
    """Thirteen cells of a class, whose ranks are multiples of 1/14: 0.1 lies between two."""
    rng, missed = np.random.default_rng(0), np.zeros((3000, 2))
    for repeat in range(3000):
        drawn = rng.normal(size=33)
        drawn = np.round(drawn) if tied else drawn
        known = Conformal(drawn[:13], drawn[:13], np.zeros(13, dtype=np.int32), 1)
        for i, chance in enumerate((None, rng.random(20))):
            missed[repeat, i] = (known.of_classes(drawn[13:, None], 0.1, chance) <= 0.1).mean()
    mean, error = missed.mean(axis=0), missed.std(axis=0) / np.sqrt(3000)
    assert mean[1] == pytest.approx(0.1, abs=4 * error[1])
    assert mean[0] <= 1 / 14 + 4 * error[0]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_classes_need_one_over_the_rate_less_one(rate):
    needed = round(1 / rate - 1 + 0.499)
    sizes = [needed - 1, needed]
    known = Conformal(*np.zeros((2, sum(sizes))), np.repeat([0, 1], sizes).astype(np.int32), 2)
    assert list(known.judged_alone(rate)) == [False, True]


def test_sets_miss_the_class_as_often_as_stated():
    """Calibration and new cells drawn alike: over many draws, each class is missed in the stated share of cases, or fewer."""
    rng, missed = np.random.default_rng(0), np.zeros((400, 3))
    for repeat in range(400):
        classes = np.repeat([0, 1], [40, 60]).astype(np.int32)
        known = Conformal(rng.normal(classes, 1 + classes), rng.normal(classes), classes, 2)
        for k in range(2):
            scores = np.repeat(rng.normal(k, 1 + k, size=(50, 1)), 2, axis=1)
            missed[repeat, k] = (known.of_classes(scores, 0.1)[:, k] <= 0.1).mean()
        missed[repeat, 2] = (known.of_any(rng.normal(np.repeat([0, 1], [20, 30])), 0.1) <= 0.1).mean()
    mean, error = missed.mean(axis=0), missed.std(axis=0) / 20
    assert (mean <= 0.1 + 3 * error).all()
    assert (mean >= 0.1 - 1 / 41 - 3 * error).all()


def test_a_cell_unlike_any_has_the_smallest_pvalue(known):
    assert known.of_classes(np.full((1, 3), 99.0), 0.1)[0] == pytest.approx([1 / 31, 1 / 13, 1 / 43])
    assert known.of_any(np.full(1, 99.0), 0.1) == pytest.approx([1 / 43])


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, "0.05", True, None, np.nan])
def test_what_is_no_rate_is_refused(known, rate):
    with pytest.raises(ValueError, match=r"has no meaning\. Give a share between 0 and 1"):
        known.of_classes(np.zeros((1, 3)), rate)


def test_too_few_cells_and_missing_scores_are_refused(known):
    with pytest.raises(ValueError, match=r"42 calibration cells are too few for an error rate of 0\.01"):
        known.of_any(np.zeros(1), 0.01)
    with pytest.raises(ValueError, match="2 cells have no score"):
        known.of_classes(np.array([[0, np.nan, 0], [0, 0, 0], [np.nan] * 3]), 0.1)
    with pytest.raises(ValueError, match="1 cells have no score"):
        known.of_any(np.array([0, np.nan]), 0.1)


def test_nonconformity():
    proba, strangeness = np.array([[0.5, 0.5, 0.0]]), np.array([[0.0, 2.0, np.inf]])
    found = stats.nonconformity(proba, strangeness)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[np.log(2), np.log(2) + 4, np.inf]], rtol=1e-6)
