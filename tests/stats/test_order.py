from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cellclf import stats

SCORES = hnp.arrays(np.float64, st.integers(0, 12), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, np.nan]))


@given(SCORES, st.booleans())
def test_the_order_is_that_of_a_stable_sort(score, ascending):
    known = [gene for gene in range(len(score)) if not np.isnan(score[gene])]
    expected = sorted(known, key=lambda gene: score[gene] if ascending else -score[gene])
    assert stats.by_score(score, ascending=ascending).tolist() == expected


@given(SCORES, st.floats(0.01, 1))
def test_the_share_is_held_by_as_few_genes_as_possible(score, share):
    marked = stats.holding(score, share)
    positive = np.sort(score[score > 0])[::-1]
    n = int(marked.sum())
    assert np.array_equal(np.sort(score[marked])[::-1], positive[:n])
    if positive.size:
        assert positive[:n].sum() >= share * positive.sum() * (1 - 1e-9)
        assert positive[: n - 1].sum() < share * positive.sum()
    else:
        assert n == 0


def test_a_whole_share_is_all_positive_genes():
    score = np.random.default_rng(0).normal(size=1000)
    assert np.array_equal(stats.holding(score, 1.0), score > 0)


def test_equal_scores_at_the_end_of_a_share_keep_their_order():
    assert stats.holding(np.ones(4), 0.5).tolist() == [True, True, False, False]


def slow_in_turn(scores: np.ndarray, order: list[int], quota: int) -> list[int]:
    """Take turns with loops."""
    lists = []
    for code in range(scores.shape[1]):
        best = sorted((gene for gene in order if scores[gene, code] > 0), key=lambda gene: -scores[gene, code])
        lists.append(best[:quota])
    taken: list[int] = []
    for turn in range(quota):
        taken += [best[turn] for best in lists if turn < len(best)]
    return list(dict.fromkeys(taken))


@given(
    hnp.arrays(np.float64, (8, 3), elements=st.sampled_from([0.0, 0.1, 0.2, 0.3])),
    st.permutations(list(range(8))),
    st.integers(1, 4),
)
def test_taking_turns_equals_loops(scores, order, quota):
    order = order[:6]
    found = stats.in_turn(scores, np.array(order), quota)
    assert found.tolist() == slow_in_turn(scores, order, quota)


@pytest.mark.parametrize("quota", [1, 3], ids=str)
def test_no_gene_no_turn(quota):
    assert stats.in_turn(np.zeros((0, 2)), np.zeros(0, np.int64), quota).size == 0
    assert stats.in_turn(np.full((2, 2), np.nan), np.arange(2), quota).size == 0
