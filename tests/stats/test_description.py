from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from cellclf import stats
from cellclf.stats import _pieces

GROUPS = np.arange(120) % 3 - 1


def assert_described(found, x, groups):
    for group in (0, 1):
        np.testing.assert_array_equal(found.zeros[group], (x[groups == group] == 0).sum(axis=0))
    np.testing.assert_array_equal(found.lowest, x.min(axis=0))
    np.testing.assert_array_equal(found.highest, x.max(axis=0))
    mean, std = stats.mean_std(x, groups == 0)
    assert found.mean.tobytes() == mean.tobytes()
    assert found.std.tobytes() == std.tobytes()


def test_every_storage_is_described_alike(measurements, storage):
    assert_described(stats.describe(storage(measurements), GROUPS, 2), measurements, GROUPS)


@pytest.mark.parametrize("chunks", [(7, 5), (50, 9), (120, 1)])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_array])
def test_dask_is_described_alike(measurements, chunks, form):
    x = pytest.importorskip("dask.array").from_array(measurements, chunks=chunks).map_blocks(form)
    assert_described(stats.describe(x, GROUPS, 2), measurements, GROUPS)


def test_everything_is_read_once(measurements, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 500)
    read = []

    class Watched:
        shape, dtype = measurements.shape, measurements.dtype

        def __getitem__(self, place):
            read.append((place.start, place.stop))
            return measurements[place]

    assert_described(stats.describe(Watched(), GROUPS, 2), measurements, GROUPS)
    assert [start for start, _ in read[1:]] == [stop for _, stop in read[:-1]]
    assert (read[0][0], read[-1][1]) == (0, 120)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_values_that_are_not_finite_are_named(measurements, form, bad):
    measurements[1, 4] = measurements[2, 6] = bad
    with pytest.raises(stats.BadValueError, match=r"2 values are NaN or infinite, the first in gene 4"):
        stats.describe(form(measurements), GROUPS, 2)


def test_the_first_group_must_have_rows(measurements):
    with pytest.raises(ValueError, match="first group has no row"):
        stats.describe(measurements, np.ones(120, int), 2)
