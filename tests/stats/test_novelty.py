from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from cellclf import stats
from cellclf.stats import Novelty
from cellclf.stats._novelty import Spread


def cells(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = rng.normal(size=(n, 4)) @ np.diag([1, 2, 0.5, 1])
    x[:, 0] += 6 * y
    return x.astype(np.float32), y


def logits_of(x, n_members=1):
    """Give logits that know the classes of `cells` by their place on the first axis."""
    distances = (x[:, :1] - 6 * np.arange(3)) ** 2 / 8
    return np.repeat(-distances[:, None], n_members, axis=1)


def learnt(n=300, seed=0):
    x, y = cells(n, seed)
    return Novelty.learn(x, x[:, :2], logits_of(x), y, 3)


def test_distances_against_scipy():
    x, y = cells()
    query = cells(seed=1)[0]
    spread = Spread.learn(x, y, 3)

    def shrunk(centred):
        covariance = np.cov(centred.T, bias=True)
        return 0.9 * covariance + 0.1 * np.trace(covariance) / 4 * np.eye(4)

    x = x.astype(np.float64)
    means = np.stack([x[y == k].mean(axis=0) for k in range(3)])
    within = cdist(query, means, "mahalanobis", VI=np.linalg.inv(shrunk(x - means[y]))) ** 2
    overall = cdist(query, x.mean(axis=0)[None], "mahalanobis", VI=np.linalg.inv(shrunk(x - x.mean(axis=0)))) ** 2
    np.testing.assert_allclose(spread.distances(query), (within - overall) / 4, rtol=1e-4, atol=1e-4)


def test_a_class_without_cells_is_infinitely_far():
    x, y = cells()
    distances = Spread.learn(x[y != 1], y[y != 1], 3).distances(x)
    assert np.isinf(distances[:, 1]).all()
    assert np.isfinite(distances[:, [0, 2]]).all()


def test_left_out_is_what_the_others_say():
    """Each cell against mean and scatter of the others, shrunk towards the same sphere by the same divisor."""
    x, y = cells(60)
    x, y = np.vstack([x, x[:1] + 1]).astype(np.float64), np.append(y, 3)  # the last is the only one of its class
    spread, rows = Spread.learn(x, y, 4), np.arange(61)

    def squared(differences, others, centred):
        sphere = np.trace(centred.T @ centred) / 61 / 4
        covariance = 0.9 * others.T @ others / 61 + 0.1 * sphere * np.eye(4)
        return differences @ np.linalg.solve(covariance, differences)

    centred = x - np.stack([x[y == k].mean(axis=0) for k in y])
    for i in range(60):
        other = rows != i
        within = x[other] - np.stack([x[other & (y == k)].mean(axis=0) for k in y[other]])
        own = squared(x[i] - x[other & (y == y[i])].mean(axis=0), within, centred)
        background = squared(x[i] - x[other].mean(axis=0), x[other] - x[other].mean(axis=0), x - x.mean(axis=0))
        assert spread.left_out(x, y)[i] == pytest.approx((own - background) / 4, rel=1e-4, abs=1e-4)
    assert np.isnan(spread.left_out(x, y)[60])


@pytest.mark.parametrize("n_axes", [4, 256])
def test_new_cells_are_as_strange_as_those_left_out(n_axes):
    """Also where units are many and cells few, and what was learnt on cells fits them far better than others."""
    rng = np.random.default_rng(0)
    train, new = rng.normal(size=(90, n_axes)), rng.normal(size=(2000, n_axes))
    y = np.arange(90) % 3
    spread = Spread.learn(train, y, 3)
    left_out, fresh = spread.left_out(train, y), spread.distances(new)[np.arange(2000), np.arange(2000) % 3]
    assert left_out.mean() == pytest.approx(fresh.mean(), abs=4 * left_out.std() / np.sqrt(90))
    assert left_out.std() == pytest.approx(fresh.std(), rel=0.35)


def test_by_hand():
    """Four measures, each standardised by what cells left out have for their own class; none below -0.5; their mean."""
    x, y = cells()
    query, _ = cells(80, seed=3)
    found = learnt().by_class(query, query[:, :2], logits_of(query))
    mean = x.mean(axis=0)
    _, _, turned = np.linalg.svd((x - mean).astype(np.float64), full_matrices=False)
    train, new = (x - mean) @ turned.T, (query - mean) @ turned.T
    between = cdist(train, train)
    np.fill_diagonal(between, np.inf)
    near = np.argsort(between, axis=1)[:, :10]
    reach = np.take_along_axis(between, near, axis=1)[:, -1]
    floor = 1e-3 * reach.mean()
    to_train = cdist(new, train)
    closest = np.argsort(to_train, axis=1)[:, :10]
    sparse = (np.sort(to_train, axis=1)[:, 9] + floor) / (reach[closest].mean(axis=1) + floor)
    sparse_train = (reach + floor) / (reach[near].mean(axis=1) + floor)
    parts = []
    for a, b in ((train, new), (x[:, :2], query[:, :2])):
        spread = Spread.learn(a, y, 3)
        own = spread.left_out(a, y)
        parts.append((spread.distances(b) - own.mean()) / own.std())
    energy, own = -logsumexp(logits_of(query)[:, 0], axis=1), -logsumexp(logits_of(x)[:, 0], axis=1)
    parts.append(((sparse - sparse_train.mean()) / sparse_train.std())[:, None])
    parts.append(((energy - own.mean()) / own.std())[:, None])
    expected = np.mean(np.maximum(np.broadcast_arrays(*parts), -0.5), axis=0)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_emphasis_is_as_if_the_genes_had_been_multiplied_by_it():
    x, y = cells()
    query, _ = cells(80, seed=3)
    by = np.array([0.5, 3, 0, 1], np.float32)
    emphasised = Novelty.learn(x, x[:, :2], logits_of(x), y, 3, emphasis=by)
    found = emphasised.by_class(query, query[:, :2], logits_of(query))
    multiplied = Novelty.learn(x * by, x[:, :2], logits_of(x), y, 3)
    expected = multiplied.by_class(query * by, query[:, :2], logits_of(query))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert np.abs(found - learnt().by_class(query, query[:, :2], logits_of(query))).max() > 0.1


def test_a_class_never_seen_scores_higher():
    x, y = cells()
    known = y != 1
    x[:, 3] += 8 * (y == 1)
    logits = logits_of(x)[:, :, ::2]
    novelty = Novelty.learn(x[known], x[known], logits[known], y[known] // 2, 2)
    fresh, truth = cells(seed=2)
    fresh[:, 3] += 8 * (truth == 1)
    scores = novelty.by_class(fresh, fresh, logits_of(fresh)[:, :, ::2]).min(axis=1)
    assert scores[truth == 1].min() > np.quantile(scores[truth != 1], 0.95)


def test_what_is_not_strange_does_not_make_up_for_what_is():
    """Cells whose logits leave no doubt: less than usual counts by half a standard deviation at most, of four measures."""
    x, y = cells()
    far = x + np.array([0, 0, 8, 0], dtype=np.float32)
    novelty = Novelty.learn(x, x, logits_of(x), y, 3)
    level, sure, surer = (
        novelty.by_class(far, far, np.full((300, 1, 3), high)) for high in (-novelty.levels[3] - np.log(3), 50, 500)
    )
    np.testing.assert_allclose(level - sure, 0.5 / 4, rtol=1e-6)
    np.testing.assert_array_equal(sure, surer)


def test_the_energy_is_judged_by_cells_that_trained_nothing():
    """A network is too sure of its own cells, so that all others would look strange."""
    x, y = cells()
    sure, usual = 20 * logits_of(x) + 200, logits_of(x)
    overfit, mended = (Novelty.learn(x, x, sure, y, 3, unseen=unseen) for unseen in (None, usual))
    query = cells(seed=1)[0]
    assert overfit.by_class(query, query, logits_of(query)).min(axis=1).mean() > 4
    assert mended.by_class(query, query, logits_of(query)).min(axis=1).mean() < 0.5
    few = Novelty.learn(x, x, sure, y, 3, unseen=usual[:4])  # too few to tell a standard deviation
    assert few.levels.tobytes() == overfit.levels.tobytes()


def test_what_is_like_another_has_its_scales_and_needs_no_logits():
    (x, y), first = cells(seed=1), learnt()
    alone = Novelty.learn(x, x[:, :2], logits_of(x), y, 3)
    found = Novelty.learn(x, x[:, :2], None, y, 3, like=first)
    for name, array in found.tensors().items():
        of = first if name in {"levels", "widths"} else alone
        np.testing.assert_array_equal(array, of.tensors()[name], err_msg=name)
    with pytest.raises(ValueError, match="Give logits"):
        Novelty.learn(x, x[:, :2], None, y, 3, unseen=logits_of(x)[:4])


def test_energy_is_averaged_over_members():
    x, y = cells()
    one = Novelty.learn(x, x, logits_of(x), y, 3).by_class(x, x, logits_of(x))
    three = Novelty.learn(x, x, logits_of(x, 3), y, 3).by_class(x, x, logits_of(x, 3))
    np.testing.assert_allclose(one, three, rtol=1e-9)


def test_blocks_do_not_matter():
    novelty, (query, _) = learnt(), cells(1200, seed=5)
    whole = novelty.by_class(query, query[:, :2], logits_of(query))
    parts = [
        novelty.by_class(query[i : i + 500], query[i : i + 500, :2], logits_of(query[i : i + 500]))
        for i in (0, 500, 1000)
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-4, atol=1e-5)


def test_arrays_bring_it_back():
    novelty, (query, _) = learnt(), cells(seed=4)
    again = Novelty.restore(novelty.tensors())
    one, other = (n.by_class(query, query[:, :2], logits_of(query)) for n in (novelty, again))
    assert one.tobytes() == other.tobytes()


def test_arrays_of_before_score_as_they_did():
    """Then a measure below its mean made up for another above."""
    x, y = cells()
    novelty = Novelty.learn(x, x, logits_of(x), y, 3)
    before = novelty.tensors()
    del before["lowest"]
    energy = -logsumexp(logits_of(x)[:, 0], axis=1)[:, None]
    one, other = (Novelty.restore(before).by_class(x, x, logits_of(x) + more) for more in (0, 10))
    np.testing.assert_allclose(one - other, np.full((300, 3), 10 / energy.std() / 4), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2], ids=["one cell", "two cells"])
def test_few_cells_and_no_spread_stay_finite(n):
    x, logits = np.ones((n, 4), dtype=np.float32), np.zeros((n, 1, n))
    novelty = Novelty.learn(x, x, logits, np.arange(n), n)
    assert np.isfinite(novelty.by_class(x, x, logits)).all()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(5, 60))
def test_rows_are_spread_evenly(sizes, n_rows):
    y = np.repeat(np.arange(len(sizes)), sizes)
    if not len(y):
        return
    chosen = stats.evenly(y, n_rows)
    assert len(chosen) <= max(n_rows, 0) or len(y) <= n_rows
    assert (np.diff(chosen) > 0).all()
    kept = np.bincount(y[chosen], minlength=len(sizes))
    if len(y) <= n_rows:
        assert len(chosen) == len(y)
    else:
        quota = kept.max()
        assert all(k in (s, quota) and k <= quota for k, s in zip(kept, sizes, strict=True))
        assert np.minimum(sizes, quota + 1).sum() > n_rows
