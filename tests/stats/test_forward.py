from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import mutual_info_score

from cellclf import stats
from cellclf.stats import _pairs

FORMS = {
    "array": np.asarray,
    "fortran": np.asfortranarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "float64": lambda x: np.asarray(x, np.float64),
    "integers": lambda x: np.asarray(x, np.int64),
}


def problem(seed: int = 0, n_rows: int = 300, n_genes: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Give counts of genes that share factors, with classes, some rows without one."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 4, n_rows)
    factors = rng.gamma(1.0, 1.0, (n_rows, 5)) * (1 + (codes[:, None] == np.arange(5)))
    return rng.poisson(factors @ rng.gamma(0.5, 0.6, (5, n_genes))).astype(np.float32), codes


def binned(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Cut the genes of the visible rows as the library does."""
    bins = stats.bin_edges(x, codes >= 0, bins="quantile", n_bins=4)
    cut = [np.searchsorted(bins.of_gene(j)[1:], x[codes >= 0, j], side="right") for j in range(x.shape[1])]
    return np.array(cut).T


def conditional(one: np.ndarray, other: np.ndarray, strata: np.ndarray) -> float:
    """Average the information within strata, weighted by their rows."""
    return sum(
        (strata == s).mean() * mutual_info_score(one[strata == s], other[strata == s]) for s in np.unique(strata)
    )


def slow(
    x: np.ndarray,
    codes: np.ndarray,
    order: np.ndarray,
    n_genes: int,
    criterion: str,
    n_given: int = 0,
    strata: np.ndarray | None = None,
) -> list[int]:
    """Choose genes with loops over scikit-learn."""
    b, y = binned(x, codes), codes[codes >= 0]
    s = np.zeros(len(y)) if strata is None else strata[codes >= 0]
    chosen: list[int] = []
    while len(chosen) < n_genes:
        values = {}
        for gene in [gene for gene in order.tolist() if gene not in chosen]:
            relevance = conditional(b[:, gene], y, s)
            if not chosen:
                values[gene] = relevance
            elif criterion == "mrmr":
                values[gene] = relevance - np.mean([conditional(b[:, gene], b[:, other], s) for other in chosen])
            else:
                values[gene] = sum(conditional(b[:, gene] * 4 + b[:, other], y, s) for other in chosen)
        chosen.append(int(order[len(chosen)]) if len(chosen) < n_given else max(values, key=values.get))
    return chosen


@pytest.mark.parametrize("criterion", ["mrmr", "jmi"])
@pytest.mark.parametrize("n_given", [0, 3])
def test_equals_a_double_loop(criterion, n_given):
    x, codes = problem()
    order = np.random.default_rng(1).permutation(25)[:20]
    found = stats.forward_selection(x, codes, order, n_genes=15, criterion=criterion, n_given=n_given)
    assert found.tolist() == slow(x, codes, order, 15, criterion, n_given)


@pytest.mark.parametrize("criterion", ["mrmr", "jmi"])
def test_strata_make_every_term_conditional(criterion):
    x, codes = problem()
    strata = np.random.default_rng(2).integers(0, 3, len(codes))
    found = stats.forward_selection(x, codes, np.arange(25), n_genes=12, criterion=criterion, strata=strata)
    assert found.tolist() == slow(x, codes, np.arange(25), 12, criterion, strata=strata)
    assert found.tolist() != slow(x, codes, np.arange(25), 12, criterion)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 150), st.integers(1, 5))
def test_information_of_pairs_equals_scikit_learn(seed, n_rows, n_classes):
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, n_classes, n_rows)
    codes[0] = 0
    x = (rng.poisson(1.5, (n_rows, 4)) - rng.integers(0, 2)).astype(np.float32)
    packed = _pairs.pack(x, codes, np.arange(4))
    b, y = binned(x, codes), codes[codes >= 0]
    joint, shared = np.zeros(4), np.zeros(4)
    packed.add_joint(2, np.array([0, 1, 3]), joint)
    packed.add_shared(2, np.array([0, 1, 3]), shared)
    relevance = packed.relevance()
    for gene in (0, 1, 3):
        assert relevance[gene] == pytest.approx(mutual_info_score(b[:, gene], y), abs=1e-12)
        assert joint[gene] == pytest.approx(mutual_info_score(4 * b[:, gene] + b[:, 2], y), abs=1e-12)
        assert shared[gene] == pytest.approx(mutual_info_score(b[:, gene], b[:, 2]), abs=1e-12)
    assert joint[2] == shared[2] == 0


def test_a_gene_is_three_rows_of_bits():
    x, codes = problem(n_rows=3000)
    packed = _pairs.pack(x, codes, np.arange(25))
    assert packed.bits.dtype == np.uint64
    assert packed.bits.nbytes <= 25 * 3 * ((codes >= 0).sum() / 8 + 4 * 8)  # up to a word for each of the four classes
    b, y = binned(x, codes), codes[codes >= 0]
    assert b.max() == 3
    for code in range(4):
        words = packed.bits[:, :, packed.borders[code] : packed.borders[code + 1]]
        set_bits = np.sort(np.bitwise_count(words).sum(axis=2), axis=1)
        for gene in range(25):
            zero = stats.bin_edges(x, codes >= 0, bins="quantile", n_bins=4).zero_bins[gene]
            sizes = [(b[y == code, gene] == place).sum() for place in range(4) if place != zero]
            assert set_bits[gene].tolist() == sorted(sizes)


@pytest.mark.parametrize("form", FORMS)
def test_storage_and_hidden_rows_do_not_matter(form):
    x, codes = problem()
    expected = _pairs.pack(x, codes, np.arange(25))
    x[codes < 0] = 9.0
    found = _pairs.pack(FORMS[form](x), codes, np.arange(25))
    for name in ("bits", "n_planes", "borders", "sizes", "strata"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_unsorted_and_repeated_indices_are_read_right():
    x, codes = problem()
    expected = _pairs.pack(x, codes, np.arange(25))
    s = sparse.csr_matrix(x)
    halves = sparse.csr_matrix(
        (np.repeat(s.data / 2, 2), np.repeat(s.indices, 2), s.indptr * 2), shape=x.shape
    )  # every value in two halves
    for i in range(len(x)):
        line = slice(halves.indptr[i], halves.indptr[i + 1])
        halves.indices[line] = halves.indices[line][::-1].copy()
        halves.data[line] = halves.data[line][::-1].copy()
    np.testing.assert_array_equal(_pairs.pack(halves, codes, np.arange(25)).bits, expected.bits)


def test_chunks_do_not_matter():
    da = pytest.importorskip("dask.array")
    x, codes = problem()
    expected = _pairs.pack(x, codes, np.arange(25))
    found = _pairs.pack(da.from_array(x, chunks=(70, 11)), codes, np.arange(25))
    np.testing.assert_array_equal(found.bits, expected.bits)


def test_values_that_are_hidden_may_be_anything():
    x, codes = problem()
    expected = stats.forward_selection(x, codes, np.arange(25), n_genes=9, criterion="jmi")
    x[codes < 0] = np.nan
    found = stats.forward_selection(x, codes, np.arange(25), n_genes=9, criterion="jmi")
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_matrix], ids=["c", "f", "csr"])
def test_values_that_are_not_finite_are_refused(bad, form):
    x, codes = problem()
    x[np.flatnonzero(codes >= 0)[5], 7] = bad
    with pytest.raises(stats.BadValueError, match="gene 7"):
        stats.forward_selection(form(x), codes, np.arange(25), n_genes=9, criterion="mrmr")


def test_equal_genes_are_taken_in_order():
    x, codes = problem()
    x[:, 11] = x[:, 3]
    order = np.concatenate([[11], np.arange(11), np.arange(12, 25)])
    found = stats.forward_selection(x, codes, order, n_genes=24, criterion="jmi").tolist()
    assert found.index(11) < found.index(3)
    swapped = stats.forward_selection(x, codes, np.arange(25), n_genes=24, criterion="jmi").tolist()
    assert swapped.index(3) < swapped.index(11)


def test_a_copy_of_a_gene_adds_nothing():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(4), 60)
    first, second = codes // 2, codes % 2  # together they tell everything; each alone half
    x = np.column_stack([first, first, second]).astype(np.float32) + 1
    x[:2, 0] = x[:2, 1] = 2
    x[:6, 2] = 2
    x = np.column_stack([x, rng.random(240)])
    for criterion in ("mrmr", "jmi"):
        found = stats.forward_selection(x, codes, np.arange(4), n_genes=2, criterion=criterion)
        assert found.tolist() == [0, 2]


def test_few_rows_are_enough(monkeypatch):
    x, codes = problem()
    monkeypatch.setattr(_pairs, "SAMPLE_ROWS", 60)
    visible = np.flatnonzero(codes >= 0)
    seen = np.full(len(codes), -1)
    kept = visible[np.arange(60) * len(visible) // 60]
    seen[kept] = codes[kept]
    found = stats.forward_selection(x, codes, np.arange(25), n_genes=9, criterion="jmi")
    assert found.tolist() == slow(x, seen, np.arange(25), 9, "jmi")


@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_do_not_matter(n_threads, monkeypatch):
    x, codes = problem()
    expected = stats.forward_selection(x, codes, np.arange(25), n_genes=9, criterion="jmi")
    monkeypatch.setattr("cellclf.stats._kernels.n_threads", lambda: n_threads)
    for form in (np.asarray, sparse.csr_matrix, np.asfortranarray):
        found = stats.forward_selection(form(x), codes, np.arange(25), n_genes=9, criterion="jmi")
        assert found.tolist() == expected.tolist()


def test_no_row_no_choice():
    with pytest.raises(ValueError, match="No row may be seen"):
        stats.forward_selection(np.ones((3, 2)), np.full(3, -1), np.arange(2), n_genes=1, criterion="jmi")
