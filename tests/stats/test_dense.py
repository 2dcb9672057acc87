from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from cellclf import stats
from cellclf.stats import _dense, _pieces

from .test_storages import OUTSIDE

COLUMNS = np.array([7, -1, 2, 11, 3])


@pytest.mark.parametrize("name", OUTSIDE)
def test_rows_and_columns_of_every_storage(counts, name, tmp_path, monkeypatch):
    monkeypatch.setattr(_pieces, "BLOCK_BYTES", 500)
    monkeypatch.setattr(_dense, "BLOCK", 16)
    rows = np.arange(120) % 7 < 3
    rows[32:64] = False
    values, totals = stats.dense(OUTSIDE[name](counts, tmp_path), rows, COLUMNS)
    expected, sums = stats.dense(sparse.csr_matrix(counts), rows, COLUMNS)
    assert values.tobytes() == expected.tobytes()
    np.testing.assert_array_equal(totals, sums)
    np.testing.assert_array_equal(values[:, [0, 2, 3, 4]], counts[rows][:, [7, 2, 11, 3]])
    assert np.isnan(values[:, 1]).all()


@pytest.mark.parametrize("name", ["h5ad-csr", "dask-rows"])
def test_only_bands_with_wanted_rows_are_read(counts, name, tmp_path, monkeypatch):
    monkeypatch.setattr(_dense, "BLOCK", 16)
    rows = np.arange(120) // 16 == 3
    blocks = list(stats.dense_blocks(OUTSIDE[name](counts, tmp_path), rows, COLUMNS))
    assert [block.rows.tolist() for block in blocks] == [list(range(48, 64))]
