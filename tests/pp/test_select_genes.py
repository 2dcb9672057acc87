from __future__ import annotations

import anndata
import numpy as np
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf.pp._select_genes import rank


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give scored genes."""
    cc.pp.gene_scores(small_adata, "cell_type")
    return small_adata


def chosen(adata: AnnData, key: str = "selected") -> list[str]:
    """List the selected genes by rank."""
    ranks = adata.var[f"{key}_rank"].dropna().sort_values()
    assert (ranks.to_numpy() == np.arange(1, len(ranks) + 1)).all()
    assert set(ranks.index) == set(adata.var_names[adata.var[key]])
    return list(ranks.index)


@pytest.mark.parametrize("by", ["mi", "mi_corrected", "jsd"])
def test_the_best_genes_are_taken(adata, by):
    cc.pp.select_genes(adata, 9, by=by)
    assert chosen(adata) == list(adata.var[by].sort_values(ascending=False).index[:9])
    assert set(chosen(adata)) == {f"gene{j}" for j in range(9)}


def test_the_smallest_first(adata):
    adata.var["order"] = np.arange(30)[::-1]
    cc.pp.select_genes(adata, 3, by="order", ascending=True)
    assert chosen(adata) == ["gene29", "gene28", "gene27"]


def test_equal_scores_keep_their_order_and_missing_ones_are_never_taken(adata):
    adata.var["score"] = 1.0
    adata.var.loc["gene1", "score"] = np.nan
    adata.var.loc["gene5", "score"] = 2.0
    cc.pp.select_genes(adata, 4, by="score")
    assert chosen(adata) == ["gene5", "gene0", "gene2", "gene3"]
    cc.pp.select_genes(adata, 2000, by="score")
    assert len(chosen(adata)) == 29


def test_q_values_limit_the_choice(adata):
    cc.pp.select_genes(adata, max_qvalue=1e-3)
    assert set(chosen(adata)) == set(adata.var_names[adata.var["mi_qvalue"] <= 1e-3])
    assert 9 <= len(chosen(adata)) < 30
    cc.pp.gene_scores(adata, "cell_type", key_added="x")
    adata.var["mi_qvalue"] = 1.0
    cc.pp.select_genes(adata, by="x_mi_corrected", max_qvalue=1e-3)
    assert len(chosen(adata)) >= 9


def test_forced_and_excluded_genes(adata):
    cc.pp.select_genes(adata, 5, force=["gene25", "gene20"], exclude=["gene0", "gene1"])
    assert chosen(adata)[:2] == ["gene25", "gene20"]
    best = adata.var["mi"].drop(["gene0", "gene1", "gene25", "gene20"]).sort_values(ascending=False)
    assert chosen(adata)[2:] == list(best.index[:3])


def test_a_gene_like_a_better_one_is_left_out(adata):
    x = adata.X.toarray()
    x[:, 10], x[:, 11] = x[:, 0], x[:, 1] + x[:, 1]
    adata.X = x
    cc.pp.gene_scores(adata, "cell_type")
    cc.pp.select_genes(adata, 30, redundancy=0.99)
    assert len({"gene0", "gene10"} & set(chosen(adata))) == 1
    assert len(chosen(adata)) < 30
    cc.pp.select_genes(adata, 30, redundancy=1.0)
    assert len(chosen(adata)) == 30
    cc.pp.select_genes(adata, 30, redundancy=0.5, force=["gene0", "gene10"])
    assert chosen(adata)[:2] == ["gene0", "gene10"]


def test_redundancy_equals_a_double_loop(adata):
    cc.pp.split(adata, "cell_type")
    cc.pp.gene_scores(adata, "cell_type")
    cc.pp.select_genes(adata, 12, redundancy=0.3)
    train = (adata.obs["split"] == "train").to_numpy()
    r = np.abs(np.corrcoef(np.log1p(adata.X.toarray()[train]).T))
    taken: list[int] = []
    for gene in np.argsort(-adata.var["mi"].to_numpy(), kind="stable"):
        if len(taken) < 12 and all(r[gene, other] <= 0.3 for other in taken):
            taken.append(int(gene))
    assert chosen(adata) == [f"gene{j}" for j in taken]


def test_redundancy_sees_training_rows_only(adata):
    cc.pp.split(adata, "cell_type")
    cc.pp.gene_scores(adata, "cell_type")
    cc.pp.select_genes(adata, 12, redundancy=0.3)
    expected = chosen(adata)
    x = adata.X.toarray()
    x[(adata.obs["split"] != "train").to_numpy()] = np.nan
    adata.X = x
    cc.pp.select_genes(adata, 12, redundancy=0.3)
    assert chosen(adata) == expected


def test_redundancy_is_judged_on_the_layer_of_the_scores(adata):
    adata.layers["other"] = adata.X[:, ::-1].copy()
    cc.pp.gene_scores(adata, "cell_type", layer="other", key_added="x")
    cc.pp.select_genes(adata, 12, by="x_mi", redundancy=0.3)
    expected = chosen(adata)
    adata.X = np.zeros(adata.shape, np.float32)
    cc.pp.select_genes(adata, 12, by="x_mi", redundancy=0.3)
    assert chosen(adata) == expected


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_genes": 0}, ValueError, "n_genes=0"),
        ({"n_genes": 2.5}, ValueError, "n_genes=2.5"),
        ({"n_genes": True}, ValueError, "n_genes=True"),
        ({"by": "nope"}, KeyError, "'nope' is not in adata.var. It holds: 'mi'"),
        ({"by": "word"}, ValueError, "by='word' holds"),
        ({"redundancy": 1.5}, ValueError, "redundancy=1.5"),
        ({"redundancy": 0}, ValueError, "redundancy=0"),
        ({"max_qvalue": 2}, ValueError, "max_qvalue=2"),
        ({"force": ["nope"]}, KeyError, "1 genes of `force` are not in adata.var_names: 'nope'"),
        ({"exclude": "gene1"}, ValueError, "one string"),
        ({"force": ["gene1"], "exclude": ["gene1"]}, ValueError, "in both"),
        ({"force": ["gene1", "gene2"], "n_genes": 1}, ValueError, "names 2 genes, but n_genes=1"),
        ({"by": "empty"}, ValueError, "No gene is left"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(adata, options, error, message):
    adata.var["word"], adata.var["empty"] = "x", np.nan
    before = list(adata.var), list(adata.uns)
    with pytest.raises(error, match=message):
        cc.pp.select_genes(adata, **options)
    assert (list(adata.var), list(adata.uns)) == before


def test_scores_that_are_missing_name_the_verb(small_adata):
    with pytest.raises(KeyError, match=r"pp\.gene_scores"):
        cc.pp.select_genes(small_adata)


def test_another_key_and_a_copy(adata):
    copy = cc.pp.select_genes(adata, 5, key_added="panel", copy=True)
    assert "panel" not in adata.var
    assert len(chosen(copy, "panel")) == 5
    assert copy.uns["panel"]["function"] == "cellclf.pp.select_genes"


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(adata, form, tmp_path):
    cc.pp.select_genes(adata, 5, force=["gene25"])
    path = tmp_path / f"x.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(anndata, f"read_{form}")(path)
    assert chosen(back) == chosen(adata)


def test_ranks_of_an_array():
    np.testing.assert_array_equal(rank(np.array([0.1, np.nan, 3, 3]), 2), [np.nan, np.nan, 1, 2])
    np.testing.assert_array_equal(rank(np.array([0.1, np.nan, 3, 3]), 2, ascending=True), [1, np.nan, 2, np.nan])
