from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellclf.attribution import shadow_qvalues

numbers = st.lists(st.integers(-3, 6).map(float), max_size=12)


def slow(scores: list[float], shadows: list[float]) -> list[float]:
    """Read the definition: the smallest q of all thresholds that the gene reaches."""

    def q(t: float) -> float:
        return min(1.0, (1 + sum(s >= t for s in shadows)) / max(1, sum(g >= t for g in scores)))

    return [1.0 if own <= 0 else min(q(t) for t in scores if t <= own) for own in scores]


@given(scores=numbers, shadows=numbers)
def test_equals_the_definition(scores: list[float], shadows: list[float]) -> None:
    found = shadow_qvalues(np.array(scores), np.array(shadows))
    np.testing.assert_allclose(found, slow(scores, shadows), rtol=1e-15)


def test_without_shadows_the_first_genes_share_the_one() -> None:
    assert (shadow_qvalues(np.arange(1.0, 41.0), np.empty(0)) == 1 / 40).all()


def test_the_level_holds_where_genes_and_shadows_are_alike() -> None:
    generator = np.random.default_rng(0)
    passing = [(shadow_qvalues(*generator.normal(size=(2, 500))) <= 0.05).sum() for _ in range(200)]
    assert np.mean(np.array(passing) > 0) <= 0.05
