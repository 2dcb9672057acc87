from __future__ import annotations

from functools import cache
from itertools import product
from math import comb, log, log1p, prod
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln

from cellclf import stats
from cellclf.stats import _null

if TYPE_CHECKING:
    from collections.abc import Iterator


def table_with(class_sizes: list[int], gene: list[int]) -> stats.ContingencyTable:
    """Make a table with these sums: the first cells go to the first class and to the first bin."""
    counts = np.zeros((len(class_sizes), len(gene)), np.int64)
    classes, bins = np.array([0, *np.cumsum(class_sizes)]), np.array([0, *np.cumsum(gene)])
    for code, column in np.ndindex(counts.shape):
        counts[code, column] = max(0, min(classes[code + 1], bins[column + 1]) - max(classes[code], bins[column]))
    assert counts.sum(axis=1).tolist() == class_sizes
    assert counts.sum(axis=0).tolist() == gene
    return stats.ContingencyTable(counts, np.array([0, len(gene)]))


def moments(class_sizes: list[int], gene: list[int]) -> tuple[float, float]:
    """Return mean and variance of G as the package finds them."""
    law = stats.independence(table_with(class_sizes, gene))
    return float(law.mean[0]), float(law.variance[0])


def n_log_n(n: np.ndarray) -> np.ndarray:
    return n * np.log(np.maximum(n, 1))


def tables_with(rows: list[int], columns: list[int]) -> Iterator[tuple[np.ndarray, float]]:
    """Go through all tables with these sums, each with how often permuted labels give it."""
    if len(columns) == 1:
        yield np.array(rows)[:, None], 1.0
        return
    for first in product(*(range(min(size, columns[0]) + 1) for size in rows)):
        if sum(first) == columns[0]:
            ways = prod(comb(size, n) for size, n in zip(rows, first, strict=True)) / comb(sum(rows), columns[0])
            left = [size - n for size, n in zip(rows, first, strict=True)]
            for rest, share in tables_with(left, columns[1:]):
                yield np.column_stack([first, rest]), ways * share


def enumerated(class_sizes: list[int], gene: list[int]) -> tuple[float, float]:
    """Mean and variance of G over all tables."""
    tables, weights = zip(*tables_with(class_sizes, gene), strict=True)
    of_sums = n_log_n(np.array([sum(gene)])) - n_log_n(np.array(class_sizes)).sum() - n_log_n(np.array(gene)).sum()
    g = 2 * (n_log_n(np.array(tables)).sum(axis=(1, 2)) + of_sums)
    assert sum(weights) == pytest.approx(1)
    mean = float(weights @ g)
    return mean, float(weights @ (g - mean) ** 2)


@pytest.mark.parametrize(
    ("class_sizes", "gene", "off"),
    [
        ([8, 5, 3], [10, 4, 2], 1e-12),
        ([15, 5], [12, 5, 2, 1], 1e-12),
        ([6, 6, 6], [6, 6, 6], 1e-12),
        ([20, 3, 1], [18, 4, 2], 1e-12),
        ([2, 2, 2, 2, 2], [5, 5], 1e-12),
        ([1, 59], [20, 40], 1e-8),
        ([58, 1, 1], [30, 29, 1], 1e-8),
        ([30, 30], [28, 32], 1e-8),
        ([150, 50], [100, 97, 3], 1e-7),
    ],
    ids=str,
)
def test_mean_and_variance_over_all_tables(class_sizes, gene, off):
    assert moments(class_sizes, gene) == pytest.approx(enumerated(class_sizes, gene), rel=off)


shares = st.lists(st.floats(0.0, 4.0), min_size=2, max_size=5)


def divided(orders: list[float], total: int) -> list[int]:
    """Divide the total into parts of such orders of magnitude, at least one each."""
    weights = 10 ** np.array(orders)
    parts = np.maximum(1, np.floor(weights / weights.sum() * (total - weights.size))).astype(int)
    parts[parts.argmax()] += total - parts.sum()
    return parts.tolist()


@given(shares, shares, st.integers(6, 12))
def test_any_small_sums_agree_with_all_tables(first, second, total):
    class_sizes, gene = divided(first, total), divided(second, total)
    assert moments(class_sizes, gene) == pytest.approx(enumerated(class_sizes, gene), rel=1e-10, abs=1e-11)


@cache
def law_of(total: int, size: int, members: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts and probabilities of a hypergeometric law."""
    n = np.arange(max(0, size + members - total), min(size, members) + 1)
    ways = (
        gammaln(size + 1) - gammaln(n + 1) - gammaln(size - n + 1)
        - gammaln(members - n + 1) - gammaln(total - size - members + n + 1)
    )  # fmt: skip
    weights = np.exp(ways - ways.max())
    return n, weights / weights.sum()


def pair_by_pair(class_sizes: list[int], gene: list[int]) -> float:
    """Sum the covariances of all pairs of cells of the table, each over the law of both counts."""
    total = sum(gene)

    @cache
    def term(b: int, c: int) -> np.ndarray:
        """Of each count n log(n / μ) - (n - μ), less its mean: lines change nothing, but rounding."""
        n, expected = np.arange(min(gene[b], class_sizes[c]) + 1), gene[b] * class_sizes[c] / total
        values = n_log_n(n) - n * log(expected) - (n - expected)
        counts, weights = law_of(total, gene[b], class_sizes[c])
        return values - weights @ values[counts]

    @cache
    def given_rest(b: int, c: int, rows: int, size: int, members: int) -> float:
        counts, weights = law_of(rows, size, members)
        return float(weights @ term(b, c)[counts])

    out = 0.0
    for b, c in product(range(len(gene)), range(len(class_sizes))):
        counts, weights = law_of(total, gene[b], class_sizes[c])
        for n, weight in zip(counts.tolist(), weights, strict=True):
            if weight < 1e-18:
                continue
            own = term(b, c)[n]
            others = [b2 for b2 in range(len(gene)) if b2 != b]
            classes = [c2 for c2 in range(len(class_sizes)) if c2 != c]
            in_class = [given_rest(b2, c, total - gene[b], gene[b2], class_sizes[c] - n) for b2 in others]
            in_bin = [given_rest(b, c2, total - class_sizes[c], gene[b] - n, class_sizes[c2]) for c2 in classes]
            out += weight * (own * (own + sum(in_class) + sum(in_bin)) + sum(in_class) * sum(in_bin))
    return 4 * out


@pytest.mark.parametrize(
    ("class_sizes", "gene"),
    [
        ([100, 60, 40], [150, 45, 5]),
        ([20] * 10, [100, 100]),
        ([14] * 10, [70, 70]),
        ([40, 39, 1], [40, 40]),
        ([900, 80, 40], [1000, 10, 10]),
        ([25, 225, 4, 101, 30], [356, 29]),
        ([200, 200, 200, 600], [400, 400, 400]),
        ([1, 3, 3, 5, 30], [1, 1, 1, 2, 37]),
        ([450, 450], [450, 450]),
    ],
    ids=str,
)
def test_variance_is_that_of_all_pairs_of_cells(class_sizes, gene):
    assert moments(class_sizes, gene)[1] == pytest.approx(pair_by_pair(class_sizes, gene), rel=1e-7)


@given(shares, shares, st.integers(20, 160))
def test_any_sums_agree_with_all_pairs_of_cells(first, second, total):
    class_sizes, gene = divided(first, total), divided(second, total)
    scale = max(moments(class_sizes, gene)[0], 1e-3)
    assert moments(class_sizes, gene)[1] == pytest.approx(pair_by_pair(class_sizes, gene), rel=1e-7, abs=1e-9 * scale)


@given(shares, shares, st.integers(100, 10**9))
def test_bins_and_classes_may_change_places(first, second, total):
    class_sizes, gene = divided(first, total), divided(second, total)
    mine, other = moments(class_sizes, gene), moments(gene, class_sizes)
    assert mine[0] == pytest.approx(other[0], rel=1e-7)
    assert mine[1] == pytest.approx(other[1], rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("gene", [[999_999, 1], [999_998, 2], [999_998, 1, 1]], ids=str)
@pytest.mark.parametrize("class_sizes", [[600_000, 300_000, 99_990, 7, 3], [999_999, 1], [400_000, 600_000]], ids=str)
def test_variance_of_genes_seen_in_one_or_two_cells(class_sizes, gene):
    """One sum over the classes of these cells, at the size of an atlas."""
    total = sum(class_sizes)

    def less(size: int, n: int) -> float:  # f(size - n) - f(size) where f is n log n
        return (size - n) * log1p(-n / size) - n * log(size) if size > n else -size * log(size)

    if len(gene) == 2 and gene[1] == 1:
        found = [(size / total, less(size, 1)) for size in class_sizes]
    else:
        together = 2 * log(2) if len(gene) == 2 else 0.0
        found = [
            (a / total * (b - (i == j)) / (total - 1), less(a, 2) + together if i == j else less(a, 1) + less(b, 1))
            for (i, a), (j, b) in product(enumerate(class_sizes), repeat=2)
            if i != j or a > 1
        ]
    weights, values = np.array(found).T
    assert weights.sum() == pytest.approx(1)
    variance = 4 * weights @ (values - weights @ values) ** 2
    assert moments(class_sizes, gene)[1] == pytest.approx(variance, rel=1e-7)


def test_well_filled_tables_have_the_moments_of_the_chi_squared_law():
    class_sizes, gene = [600_000_000, 300_000_000, 100_000_000], [500_000_000, 250_000_000, 150_000_000, 100_000_000]
    assert moments(class_sizes, gene) == pytest.approx((6, 12), rel=1e-6)


def test_information_that_permuted_labels_do_not_change():
    for class_sizes, gene in [([50] * 4, [199, 1]), ([1, 199], [100, 100]), ([1] * 7, [3, 4]), ([7], [3, 4])]:
        table = table_with(class_sizes, gene)
        assert stats.independence(table).variance.tolist() == [0]
        assert stats.mutual_information_pvalue(table).tolist() == [1]
    assert moments([51, 50, 50, 49], [199, 1])[1] > 0


def test_kept_coefficients_give_the_same_as_new_ones(monkeypatch):
    rng = np.random.default_rng(0)
    codes = rng.choice(6, 3000, p=[0.5, 0.3, 0.1, 0.06, 0.035, 0.005])
    x = rng.poisson(np.exp(rng.uniform(-6, 2, 200)), (3000, 200)).astype(np.float32)
    table = stats.contingency(x, codes, bins=stats.bin_edges(x, codes >= 0), n_classes=6)
    assert np.unique(table.bin_sizes[table.bin_sizes > 0], return_counts=True)[1].max() > 1
    kept = stats.independence(table).variance
    made = []
    memory = _null._memory
    monkeypatch.setattr(_null, "_memory", lambda *args: made.append(memory(*args)) or made[-1])
    stats.independence(table)
    assert (made[0][0] >= 0).sum() == made[0][1].shape[1] > 20
    monkeypatch.setattr(_null, "_memory", lambda *args: memory(*args[:-1], 0))
    np.testing.assert_array_equal(stats.independence(table).variance, kept)
