from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import cellclf as cc
from cellclf import stats
from cellclf.pp._conditions import corrected_by_class
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
    cc.pp.select_genes(adata, 9, by=by, balance=False)
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
    cc.pp.select_genes(adata, 5, force=["gene25", "gene20"], exclude=["gene0", "gene1"], balance=False)
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


def for_all_classes(adata: AnnData, n_genes: int, given: list[int], never: list[int]) -> list[str]:
    """Take genes for what they tell and explain beyond those before, with loops and the normal equations."""
    x = adata.X.toarray().astype(float)
    z = np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))
    y = pd.get_dummies(adata.obs["cell_type"]).to_numpy(float)
    z, y = ((values - values.mean(axis=0)) / (values.std(axis=0) * np.sqrt(len(values))) for values in (z, y))
    chance = (adata.var["mi"] - adata.var["mi_corrected"]).to_numpy() / 2
    scores = np.maximum(adata.varm["mi_by_class"] - chance[:, None], 0)
    free = [gene for gene in range(30) if gene not in given and gene not in never]
    told = (scores / scores[free].max(axis=0)).mean(axis=1)
    taken = list(given)
    while len(taken) < n_genes:
        own = z[:, taken]
        left = y - own @ np.linalg.solve(own.T @ own + 0.3 * np.eye(len(taken)), own.T @ y)
        gains = {g: told[g] * sum((z[:, g] @ left[:, c]) ** 2 for c in range(3)) for g in free if g not in taken}
        taken.append(max(gains, key=gains.__getitem__))
    return [f"gene{gene}" for gene in taken]


def test_genes_are_chosen_for_all_classes_by_default(adata):
    cc.pp.select_genes(adata, 7)
    assert chosen(adata) == for_all_classes(adata, 7, [], [])
    cc.pp.select_genes(adata, 7, balance=True, force=["gene29"], exclude=["gene0", "gene4"])
    assert chosen(adata) == for_all_classes(adata, 7, [29], [0, 4])
    del adata.varm["mi_by_class"]
    cc.pp.select_genes(adata, 7)
    assert chosen(adata) == list(adata.var["mi"].sort_values(ascending=False).index[:7])


def test_the_default_follows_key_layer_and_training_rows_of_the_scores(adata):
    cc.pp.split(adata, "cell_type")
    adata.layers["other"] = adata.X[:, ::-1].copy()
    cc.pp.gene_scores(adata, "cell_type", layer="other", key_added="x")
    cc.pp.select_genes(adata, 7, by="x_mi")
    found, hidden = chosen(adata), (adata.obs["split"] != "train").to_numpy()
    x = adata.layers["other"].toarray()
    x[hidden] = np.nan
    adata.layers["other"], adata.X = x, np.zeros(adata.shape, np.float32)
    adata.obs.loc[hidden, "cell_type"] = "B"
    cc.pp.select_genes(adata, 7, by="x_mi")
    assert chosen(adata) == found
    scores = adata.var.filter(like="x_").rename(columns=lambda name: name.removeprefix("x_"))
    other = AnnData(sparse.csr_matrix(x[~hidden]), obs=adata.obs[~hidden], var=scores)
    other.varm["mi_by_class"] = adata.varm["x_mi_by_class"]
    assert found == for_all_classes(other, 7, [], [])


def test_the_default_looks_within_batches_if_the_scores_did(adata):
    adata.obs["batch"] = np.where(np.arange(120) % 2, "a", "b")
    x = adata.X.toarray()
    x[:, ::2] += 9 * (np.arange(120) % 2)[:, None]
    adata.X = x
    cc.pp.gene_scores(adata, "cell_type", batch="batch")
    cc.pp.select_genes(adata, 12)
    found = dict(adata.var[["mi", "mi_corrected"]]) | {"mi_by_class": adata.varm["mi_by_class"]}
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    scores = corrected_by_class({name: np.asarray(values) for name, values in found.items()})
    expected = stats.covering(x, codes, scores, n_genes=12, strata=np.arange(120) % 2)
    assert chosen(adata) == [f"gene{j}" for j in expected]
    assert expected.tolist() != stats.covering(x, codes, scores, n_genes=12).tolist()


def test_the_default_needs_the_label_of_the_scores(adata):
    del adata.obs["cell_type"]
    with pytest.raises(KeyError, match=r"label='cell_type' is not in adata\.obs"):
        cc.pp.select_genes(adata, 5)
    cc.pp.select_genes(adata, 5, balance=False)
    assert len(chosen(adata)) == 5


def test_all_genes_are_taken(adata):
    cc.pp.select_genes(adata)
    assert len(chosen(adata)) == 30


def test_a_share_of_all_information(adata):
    cc.pp.select_genes(adata, cumulative=0.5, balance=False)
    scores = adata.var["mi"].sort_values(ascending=False)
    n = int((scores.cumsum() < 0.5 * scores.sum()).sum()) + 1
    assert chosen(adata) == list(scores.index[:n])
    cc.pp.select_genes(adata, n - 2, cumulative=0.5, balance=False)
    assert len(chosen(adata)) == n - 2
    cc.pp.select_genes(adata, cumulative=0.5, force=["gene29"], balance=False)
    assert chosen(adata) == ["gene29", *scores.index[:n]]
    cc.pp.select_genes(adata, cumulative=0.5)
    assert set(chosen(adata)) == set(scores.index[:n])


def test_every_class_keeps_its_best_genes(adata):
    adata.varm["mi_by_class"][:, 1] = 0
    adata.varm["mi_by_class"][[20, 21], 1] = [0.1, 0.2]
    cc.pp.select_genes(adata, 8, quota=2, balance=False)
    by_class = adata.varm["mi_by_class"]
    best = [np.argsort(-by_class[:, code], kind="stable")[:2] for code in range(3)]
    kept = list(dict.fromkeys(f"gene{best[code][turn]}" for turn in range(2) for code in range(3)))
    rest = [gene for gene in adata.var["mi"].sort_values(ascending=False).index if gene not in kept]
    assert {"gene20", "gene21"} <= set(kept)
    assert chosen(adata) == (kept + rest)[:8]


def test_a_quota_obeys_conditions_but_not_shares_and_not_redundancy(adata):
    adata.var["mi_qvalue"] = 0.0
    adata.var.loc["gene20", "mi_qvalue"] = 1.0
    adata.varm["mi_by_class"][[20, 21], 1] = [9.0, 8.0]
    adata.varm["mi_by_class"][25, 2] = 9.0
    options = {"quota": 1, "max_qvalue": 0.5, "cumulative": 0.05, "force": ["gene28"]}
    cc.pp.select_genes(adata, balance=False, **options)
    assert {"gene21", "gene25", "gene28"} < set(chosen(adata))
    assert "gene20" not in set(chosen(adata))
    cc.pp.select_genes(adata, **options)
    assert chosen(adata)[0] == "gene28"
    assert {"gene21", "gene25", "gene28"} < set(chosen(adata))
    assert "gene20" not in set(chosen(adata))
    cc.pp.select_genes(adata, 5, redundancy=1e-6, **options)
    assert {"gene21", "gene25"} < set(chosen(adata)[:4])


def test_the_quota_follows_the_key_of_the_scores(adata):
    cc.pp.gene_scores(adata, "cell_type", key_added="x")
    adata.varm["mi_by_class"][:] = 0
    adata.varm["x_mi_by_class"][22, 0] = 9.0
    cc.pp.select_genes(adata, 9, by="x_jsd", quota=1)
    assert "gene22" in chosen(adata)


@pytest.mark.parametrize("criterion", ["mrmr", "jmi"])
def test_greedy_choice_is_that_of_the_statistics(adata, criterion):
    cc.pp.split(adata, "cell_type")
    cc.pp.gene_scores(adata, "cell_type")
    cc.pp.select_genes(adata, 12, redundancy=criterion)
    codes = np.where(adata.obs["split"] == "train", adata.obs["cell_type"].cat.codes, -1)
    order = np.argsort(-adata.var["mi"].to_numpy(), kind="stable")
    found = stats.forward_selection(adata.X, codes, order, n_genes=12, criterion=criterion)
    assert chosen(adata) == [f"gene{j}" for j in found]
    cc.pp.select_genes(adata, 12, redundancy=criterion, n_candidates=15, force=["gene29"])
    found = stats.forward_selection(
        adata.X, codes, [29, *[j for j in order if j != 29][:15]], n_genes=12, criterion=criterion, n_given=1
    )
    assert chosen(adata) == [f"gene{j}" for j in found]


@pytest.mark.parametrize("criterion", ["mrmr", "jmi"])
def test_greedy_choice_sees_training_rows_only(adata, criterion):
    cc.pp.split(adata, "cell_type")
    cc.pp.gene_scores(adata, "cell_type")
    cc.pp.select_genes(adata, 12, redundancy=criterion)
    expected, hidden = chosen(adata), (adata.obs["split"] != "train").to_numpy()
    x = adata.X.toarray()
    x[hidden] = np.nan
    adata.X = x
    adata.obs.loc[hidden, "cell_type"] = "B"
    cc.pp.select_genes(adata, 12, redundancy=criterion)
    assert chosen(adata) == expected


@pytest.mark.parametrize("criterion", ["mrmr", "jmi"])
def test_greedy_choice_is_made_within_batches_if_the_scores_were(adata, criterion):
    adata.obs["batch"] = np.where(np.arange(120) % 2, "a", "b")
    x = adata.X.toarray()
    x[:, 10:20] += 5 * (np.arange(120) % 2)[:, None]  # these tell batches apart
    adata.X = x
    cc.pp.gene_scores(adata, "cell_type", batch="batch")
    cc.pp.select_genes(adata, 12, redundancy=criterion)
    codes, strata = adata.obs["cell_type"].cat.codes.to_numpy(), np.arange(120) % 2
    order = np.argsort(-adata.var["mi"].to_numpy(), kind="stable")
    found = stats.forward_selection(x, codes, order, n_genes=12, criterion=criterion, strata=strata)
    assert chosen(adata) == [f"gene{j}" for j in found]


def test_greedy_choice_by_a_foreign_column_uses_the_only_label(adata):
    adata.var["mine"] = -np.arange(30)
    cc.pp.select_genes(adata, 5, by="mine", redundancy="jmi")
    found = stats.forward_selection(
        adata.X, adata.obs["cell_type"].cat.codes, np.arange(30), n_genes=5, criterion="jmi"
    )
    assert chosen(adata) == [f"gene{j}" for j in found]


@pytest.mark.parametrize("redundancy", [0.5, "mrmr"])
def test_values_that_are_not_finite_name_the_gene(adata, redundancy):
    x = adata.X.toarray()
    x[3, 7] = np.nan
    adata.X = x
    with pytest.raises(ValueError, match="That gene is 'gene7'"):
        cc.pp.select_genes(adata, 5, redundancy=redundancy)
    assert "selected" not in adata.var


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"balance": True, "redundancy": 0.9}, ValueError, "leaves repeats out by itself"),
        ({"balance": True, "by": "jsd"}, ValueError, "goes with by='mi'"),
        ({"balance": True, "ascending": True}, ValueError, "goes with by='mi'"),
        ({"balance": True, "by": "x_mi"}, KeyError, "'x_mi_by_class' is not in adata.varm"),
        ({"balance": "yes"}, ValueError, "balance='yes'"),
        ({"redundancy": "mifs"}, ValueError, "redundancy='mifs' is unknown"),
        ({"redundancy": True}, ValueError, "redundancy=True"),
        ({"n_candidates": 5}, ValueError, "n_candidates=5 does nothing"),
        ({"n_candidates": 0, "redundancy": "jmi"}, ValueError, "n_candidates=0"),
        ({"cumulative": 0}, ValueError, "cumulative=0"),
        ({"cumulative": 1.1}, ValueError, "cumulative=1.1"),
        ({"cumulative": float("nan")}, ValueError, "cumulative=nan"),
        ({"cumulative": 0.5, "ascending": True}, ValueError, "adds up scores"),
        ({"quota": 0}, ValueError, "quota=0"),
        ({"quota": 1.5}, ValueError, "quota=1.5"),
        ({"quota": 5, "n_genes": 3}, ValueError, r"quota=5 keeps \d+ genes, forced ones included, but n_genes=3"),
        ({"quota": 1, "by": "x_mi"}, KeyError, "'x_mi_by_class' is not in adata.varm"),
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
        ({"by": "endless", "cumulative": 0.5}, ValueError, "by='endless' is infinite for 1 genes"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(adata, options, error, message):
    adata.var["word"], adata.var["empty"], adata.var["x_mi"] = "x", np.nan, 1.0
    adata.var["endless"] = np.where(np.arange(30) == 3, np.inf, 1.0)
    before = list(adata.var), list(adata.uns)
    with pytest.raises(error, match=message):
        cc.pp.select_genes(adata, **options)
    assert (list(adata.var), list(adata.uns)) == before


def test_scores_that_are_missing_name_the_verb(small_adata):
    with pytest.raises(KeyError, match=r"pp\.gene_scores"):
        cc.pp.select_genes(small_adata)


@pytest.mark.parametrize("options", [{}, {"redundancy": "jmi"}], ids=["balance", "jmi"])
def test_scores_whose_label_is_gone_say_what_to_do(adata, options):
    adata.obs["other"] = np.tile(["x", "y"], adata.n_obs // 2)
    without_record, without_label = adata.copy(), adata.copy()
    del without_record.uns["gene_scores"], without_label.obs["cell_type"]
    for changed, why, error in (
        (without_record, "no record of `cc.pp.gene_scores`", ValueError),
        (without_label, "label='cell_type' is not in", KeyError),
    ):
        with pytest.raises(error, match=f"cannot be found: .*{why}.*balance=False"):
            cc.pp.select_genes(changed, 5, **options)
        assert "selected" not in changed.var
        cc.pp.select_genes(changed, 5, balance=False)
    without_record.uns["cellclf_label"] = "cell_type"
    cc.pp.select_genes(without_record, 5, **options)
    cc.pp.select_genes(adata, 5, **options)
    assert chosen(without_record) == chosen(adata)


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


@pytest.mark.parametrize("criterion", [0.5, "mrmr", "jmi"])
def test_redundancy_on_disk_is_that_in_memory(adata, criterion, tmp_path):
    expected = chosen(cc.pp.select_genes(adata, 8, redundancy=criterion, copy=True))
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    cc.pp.select_genes(backed, 8, redundancy=criterion)
    assert chosen(backed) == expected
    backed.file.close()
    view = adata[::-1]
    cc.pp.select_genes(view, 8, redundancy=criterion)
    assert chosen(view) == expected
