from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from cellclf import stats
from cellclf.stats import _moments


@pytest.fixture(params=[7, 50, 4096])
def block_rows(request, monkeypatch):
    """Make the fixed blocks small enough for several of them."""
    monkeypatch.setattr(_moments, "BLOCK_ROWS", request.param)
    return request.param


@pytest.mark.parametrize("all_rows", [True, False])
def test_same_bits_for_every_storage(measurements, codes, storage, block_rows, all_rows):
    rows = None if all_rows else codes >= 0
    expected = stats.mean_std(measurements, rows)
    found = stats.mean_std(storage(measurements), rows)
    seen = measurements.astype(np.float64)[slice(None) if all_rows else rows]
    np.testing.assert_allclose(found[0], seen.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose(found[1], seen.std(axis=0), atol=1e-14)
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1].tobytes() == expected[1].tobytes()


def test_row_sums_have_the_same_bits_for_every_storage(measurements, storage):
    found = stats.row_sums(storage(measurements))
    np.testing.assert_allclose(found, measurements.astype(np.float64).sum(axis=1), atol=1e-13)
    assert found.tobytes() == stats.row_sums(measurements).tobytes()


@pytest.mark.parametrize("chunks", [(7, 9), (50, 4), (120, 1)])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_chunks_do_not_matter(measurements, codes, chunks, form, block_rows):
    array = pytest.importorskip("dask.array")
    x = array.from_array(measurements, chunks=chunks).map_blocks(form)
    expected = stats.mean_std(measurements, codes >= 0)
    found = stats.mean_std(x, codes >= 0)
    assert [values.tobytes() for values in found] == [values.tobytes() for values in expected]
    assert stats.row_sums(x).tobytes() == stats.row_sums(measurements).tobytes()


def test_no_cancellation():
    x = 1e8 + np.random.default_rng(0).random((10000, 1))
    assert stats.mean_std(x)[1][0] == pytest.approx(x.std(), rel=1e-7)


@given(st.integers(1, 30), st.integers(0, 2**31))
def test_hidden_rows_have_no_influence(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    rows = rng.random(n) < 0.6
    rows[0] = True
    other = np.where(rows[:, None], x, np.nan)
    for form in (np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix):
        for found, expected in zip(stats.mean_std(form(other), rows), stats.mean_std(x, rows), strict=True):
            assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(measurements, bad):
    measurements[3, 2] = bad
    with pytest.raises(ValueError, match="in gene 2"):
        stats.mean_std(measurements)
    with pytest.raises(ValueError, match=r"Row 3 .* holds NaN"):
        stats.row_sums(measurements)


def test_some_row_must_count(measurements):
    with pytest.raises(ValueError, match="No row counts"):
        stats.mean_std(measurements, np.zeros(120, bool))


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([[0, 3], [1, 0]], True),
        ([[0, 1], [1, 0]], False),
        ([[0, 2.5], [1, 0]], False),
        ([[-1, 2], [1, 0]], False),
        ([[np.nan, 2], [1, 0]], False),
        ([[0, 0], [0, 0]], False),
    ],
)
def test_counts_are_recognised(x, expected):
    for form in (np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix):
        assert stats.holds_counts(form(np.array(x, float)), np.ones(2, bool)) is expected


def test_counts_are_recognised_by_the_visible_rows():
    assert stats.holds_counts(np.array([[0.0, 3.0], [1.0, 0.5]]), np.array([True, False]))
