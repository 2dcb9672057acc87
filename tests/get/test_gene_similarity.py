from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf.get import _gene_similarity

METRICS = ["correlation", "jaccard", "jsd", "mi"]


@pytest.fixture
def compared(small_adata: AnnData) -> AnnData:
    """Give genes compared in every way, one of them found nowhere."""
    x = small_adata.X.toarray()
    x[:, 4] = 0
    small_adata.X = x
    for metric in METRICS:
        cc.pp.gene_similarity(small_adata, metric=metric)
        cc.pp.gene_similarity(small_adata, metric=metric, n_neighbors=3, key_added=f"near_{metric}")
    return small_adata


def expected_pairs(adata: AnnData, key: str, metric: str) -> pd.DataFrame:
    """List the pairs the slow way."""
    matrix = adata.varp[key]
    square = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)
    stored = (matrix != 0).toarray() if hasattr(matrix, "toarray") else ~np.isnan(square)
    pairs = [(i, j) for i in range(30) for j in range(i + 1, 30) if stored[i, j]]
    sign = 1 if metric == "jsd" else -1
    pairs.sort(key=lambda pair: (sign * square[pair], *pair))
    names = adata.var_names
    rows = [(names[i], names[j], square[i, j]) for i, j in pairs]
    return pd.DataFrame(rows, columns=["gene", "other", metric])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("prefix", ["", "near_"], ids=["all", "nearest"])
def test_pairs_from_the_most_similar(compared, metric, prefix, monkeypatch):
    monkeypatch.setattr(_gene_similarity, "ROWS", 7)
    if prefix and metric in ("jaccard", "mi"):
        compared.varp[prefix + metric].eliminate_zeros()
    found = cc.get.gene_similarity(compared, key=prefix + metric)
    expected = expected_pairs(compared, prefix + metric, metric)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    first = cc.get.gene_similarity(compared, key=prefix + metric, n_pairs=5)
    pd.testing.assert_frame_equal(first, found.head(5))


@pytest.mark.parametrize("key", ["jsd", "near_jsd"])
def test_pairs_of_one_gene(compared, key):
    every = cc.get.gene_similarity(compared, key=key)
    touching = every[(every["gene"] == "gene9") | (every["other"] == "gene9")]
    found = cc.get.gene_similarity(compared, key=key, gene="gene9")
    assert (found["gene"] == "gene9").all()
    assert found["jsd"].is_monotonic_increasing
    assert set(found["other"]) == (set(touching["gene"]) | set(touching["other"])) - {"gene9"}
    assert len(found) == len(touching)


@pytest.mark.parametrize("key", ["correlation", "near_correlation"])
def test_pairs_among_some_genes(compared, key):
    some = ["gene20", "gene3", "gene0", "gene12"]
    every = cc.get.gene_similarity(compared, key=key)
    found = cc.get.gene_similarity(compared, key=key, genes=some)
    expected = every[every["gene"].isin(some) & every["other"].isin(some)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_a_square(compared):
    some = ["gene20", "gene3", "gene0"]
    found = cc.get.gene_similarity(compared, key="mi", genes=some, square=True)
    assert found.index.tolist() == found.columns.tolist() == some
    np.testing.assert_array_equal(found, compared.varp["mi"][np.ix_([20, 3, 0], [20, 3, 0])])


@pytest.mark.parametrize(("metric", "same"), [("jsd", 0), ("correlation", 1), ("jaccard", 1), ("mi", np.nan)])
def test_a_square_of_the_nearest(compared, metric, same):
    found = cc.get.gene_similarity(compared, key=f"near_{metric}", square=True).to_numpy()
    pairs = compared.varp[f"near_{metric}"].tocoo()
    np.testing.assert_array_equal(found[pairs.row, pairs.col], pairs.data)
    np.testing.assert_array_equal(np.diag(found), np.full(30, same, np.float32))
    assert np.isnan(found).sum() == 900 - pairs.nnz - (0 if np.isnan(same) else 30)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "nope"}, KeyError, "adata.varp holds no 'nope', but 'correlation'"),
        ({"gene": "nope"}, KeyError, "'nope' are not in adata.var_names"),
        ({"genes": ["nope"]}, KeyError, "'nope' are not in adata.var_names"),
        ({"genes": "gene3"}, ValueError, "is one string"),
        ({"n_pairs": 0}, ValueError, "n_pairs=0 is no number of pairs"),
        ({"n_pairs": True}, ValueError, "n_pairs=True is no number of pairs"),
        ({"square": True, "n_pairs": 3}, ValueError, "no meaning"),
        ({"square": True, "gene": "gene3"}, ValueError, "no meaning"),
    ],
    ids=str,
)
def test_bad_calls(compared, options, error, message):
    with pytest.raises(error, match=message):
        cc.get.gene_similarity(compared, **options)


def test_a_matrix_of_another_origin(compared):
    compared.varp["theirs"] = np.eye(30)
    with pytest.raises(KeyError, match="holds no record of `cc"):
        cc.get.gene_similarity(compared, key="theirs")


def test_names_that_occur_twice(compared):
    compared.var_names = ["same"] * 2 + [f"gene{j}" for j in range(2, 30)]
    assert len(cc.get.gene_similarity(compared, n_pairs=4)) == 4
    with pytest.raises(ValueError, match="occur more than once"):
        cc.get.gene_similarity(compared, gene="same")
