from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellclf.attribution import shadow_qvalues

numbers = st.lists(st.integers(-3, 6).map(float), max_size=12)


def slow(scores: list[float], shadows: list[float], own: list[float]) -> list[float]:
    """Read the definition: the smallest q of all thresholds that the gene's own score reaches."""

    def q(t: float) -> float:
        return min(1.0, (1 + sum(s >= t for s in shadows)) / max(1, sum(g >= t for g in scores)))

    return [1.0 if mine <= 0 else min(q(t) for t in scores if t <= mine) for mine in own]


@given(scores=numbers.filter(bool), shadows=numbers)
def test_equals_the_definition(scores: list[float], shadows: list[float]) -> None:
    found = shadow_qvalues(np.array(scores), np.array(shadows))
    np.testing.assert_allclose(found, slow(scores, shadows, scores), rtol=1e-15)


@given(data=st.data(), n_networks=st.integers(1, 4), n_genes=st.integers(1, 6), shadows=numbers)
def test_several_networks_are_pooled(data: st.DataObject, n_networks: int, n_genes: int, shadows: list[float]) -> None:
    lines = st.lists(st.integers(-3, 6).map(float), min_size=n_genes, max_size=n_genes)
    scores = np.array(data.draw(st.lists(lines, min_size=n_networks, max_size=n_networks)))
    found = shadow_qvalues(scores, np.array(shadows))
    np.testing.assert_allclose(found, slow(scores.ravel().tolist(), shadows, scores.mean(axis=0).tolist()), rtol=1e-15)


def test_without_shadows_the_first_genes_share_the_one() -> None:
    assert (shadow_qvalues(np.arange(1.0, 41.0), np.empty(0)) == 1 / 40).all()


def test_the_level_holds_where_genes_and_shadows_are_alike() -> None:
    generator = np.random.default_rng(0)
    passing = [(shadow_qvalues(*generator.normal(size=(2, 500))) <= 0.05).sum() for _ in range(200)]
    assert np.mean(np.array(passing) > 0) <= 0.05
