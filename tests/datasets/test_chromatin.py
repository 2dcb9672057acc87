from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import cellclf as cc


@pytest.fixture(scope="module")
def windows() -> Any:
    return cc.datasets.chromatin()


def test_shape_and_storage(windows: Any) -> None:
    assert windows.shape == (12_000, 1372)
    assert sparse.issparse(windows.X)
    assert windows.X.format == "csr"
    assert windows.X.dtype == np.float32
    assert windows.X.has_sorted_indices
    assert windows.X.data.min() >= 1
    np.testing.assert_array_equal(windows.X.data, np.round(windows.X.data))
    assert [windows.var_names[0], windows.var_names[-1]] == ["M00001", "M01372"]
    assert windows.X.nnz < 0.1 * 12_000 * 1372


def test_eleven_closed_for_each_open(windows: Any) -> None:
    assert windows.obs["chromatin"].value_counts().to_dict() == {"closed": 11_000, "open": 1_000}
    assert windows.uns["cellclf_label"] == "chromatin"


def held(adata: Any, name: str) -> np.ndarray:
    """Tell which windows hold a motif."""
    return adata[:, name].X.toarray().ravel() > 0


def test_only_both_motifs_of_a_pair_open(windows: Any) -> None:
    is_open = (windows.obs["chromatin"] == "open").to_numpy()
    pairs = [(held(windows, a), held(windows, b)) for a, b in windows.uns["planted_pairs"]]
    paired = np.any([a & b for a, b in pairs], axis=0)
    assert 0.85 < is_open[paired].mean() < 0.95
    chance = is_open[~paired].mean()
    assert chance < 0.03
    for one, other in pairs:
        assert is_open[one & other].mean() > 0.8
        for alone in (one & ~other & ~paired, other & ~one & ~paired):
            assert abs(is_open[alone].mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / alone.sum())


def test_the_planted_motifs_are_marked(windows: Any) -> None:
    for number, pair in enumerate(windows.uns["planted_pairs"], start=1):
        assert set(windows.var_names[windows.var["planted"] == number]) == set(pair)
    assert (windows.var["planted"] > 0).sum() == 10


@settings(max_examples=15)
@given(
    n_windows=st.integers(120, 900), n_motifs=st.integers(2, 60), n_pairs=st.integers(1, 6), seed=st.integers(0, 2**31)
)
def test_any_size_keeps_the_ratio(n_windows: int, n_motifs: int, n_pairs: int, seed: int) -> None:
    if 2 * n_pairs > n_motifs:
        with pytest.raises(ValueError, match="Give fewer pairs"):
            cc.datasets.chromatin(n_windows, n_motifs=n_motifs, n_pairs=n_pairs, rng=seed)
        return
    adata = cc.datasets.chromatin(n_windows, n_motifs=n_motifs, n_pairs=n_pairs, rng=seed)
    assert adata.shape == (n_windows, n_motifs)
    assert (adata.obs["chromatin"] == "open").sum() == round(n_windows / 12)
    assert len(set(adata.uns["planted_pairs"].ravel())) == 2 * n_pairs


def test_the_same_seed_gives_the_same_windows() -> None:
    one, other, third = (cc.datasets.chromatin(240, rng=rng) for rng in (3, np.random.default_rng(3), 4))
    assert (one.X != other.X).nnz == 0
    assert one.obs.equals(other.obs)
    assert (one.X != third.X).nnz > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"n_windows": 100}, r"n_windows=100 is too few", id="windows"),
        pytest.param({"n_windows": 1e4}, r"n_windows=10000\.0 is too few or not whole", id="not-whole"),
        pytest.param({"n_motifs": 1}, "n_motifs=1", id="motifs"),
        pytest.param({"n_pairs": 0}, "n_pairs=0", id="pairs"),
        pytest.param({"n_motifs": 4, "n_pairs": 3}, "n_pairs=3 pairs need 6 motifs", id="pairs-and-motifs"),
    ],
)
def test_numbers_without_meaning(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cc.datasets.chromatin(**arguments)


def test_it_survives_a_file(tmp_path: Any) -> None:
    import anndata

    adata = cc.datasets.chromatin(240, n_motifs=40)
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(back.uns["planted_pairs"], adata.uns["planted_pairs"])
    assert (back.X != adata.X).nnz == 0
