from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.stats import entropy, kstest, spearmanr
from sklearn.metrics import mutual_info_score

import cellclf as cc

FORMS = {
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "float64": lambda x: x.astype(np.float64),
    "int": lambda x: sparse.csr_matrix(x.astype(np.int32)),
}
FIELDS = ["mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd"]


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give the small AnnData with a split, a few missing labels and a batch."""
    small_adata.obs.iloc[:5, 0] = np.nan
    small_adata.obs["batch"] = pd.Categorical(np.where(np.arange(120) % 3 == 0, "x", "y"))
    cc.pp.split(small_adata, "cell_type")
    return small_adata


def test_mi_is_that_of_scikit_learn(adata):
    cc.pp.gene_scores(adata, "cell_type", bins="counts")
    train = (adata.obs["split"] == "train").to_numpy()
    x, kinds = adata.X.toarray()[train], adata.obs["cell_type"][train]
    expected = [mutual_info_score(x[:, gene], kinds) for gene in range(30)]
    np.testing.assert_allclose(adata.var["mi"], expected, atol=1e-13)
    assert adata.var["mi"].nlargest(9).index.isin([f"gene{j}" for j in range(9)]).all()


def test_jsd_is_that_of_entropies(adata):
    cc.pp.gene_scores(adata, "cell_type", bins="counts")
    train = (adata.obs["split"] == "train").to_numpy()
    x = adata.X.toarray()[train].astype(int)
    codes = adata.obs["cell_type"].cat.codes.to_numpy()[train]
    for gene in range(30):
        laws = [np.bincount(x[codes == k, gene], minlength=99) / (codes == k).sum() for k in range(3)]
        expected = entropy(np.mean(laws, axis=0)) - np.mean([entropy(law) for law in laws])
        assert adata.var["jsd"].iloc[gene] == pytest.approx(expected, abs=1e-13)


def test_scores_by_class_are_those_of_one_against_the_rest(adata):
    cc.pp.gene_scores(adata, "cell_type", bins="counts")
    train = (adata.obs["split"] == "train").to_numpy()
    x, kinds = adata.X.toarray()[train], adata.obs["cell_type"][train]
    assert adata.uns["gene_scores"]["classes"].tolist() == ["B", "NK", "T/CD4"]
    for k, kind in enumerate(["B", "NK", "T/CD4"]):
        expected = [mutual_info_score(x[:, gene], kinds == kind) for gene in range(30)]
        np.testing.assert_allclose(adata.varm["mi_by_class"][:, k], expected, atol=1e-13)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bins", ["auto", "counts", "quantile", "uniform"])
def test_same_bits_for_every_storage(adata, form, bins):
    cc.pp.gene_scores(adata, "cell_type", bins=bins)
    other = AnnData(FORMS[form](adata.X.toarray()), obs=adata.obs.copy())
    cc.pp.gene_scores(other, "cell_type", bins=bins)
    for field in FIELDS:
        assert other.var[field].to_numpy().tobytes() == adata.var[field].to_numpy().tobytes()
    assert other.varm["mi_by_class"].tobytes() == adata.varm["mi_by_class"].tobytes()


@pytest.mark.parametrize("batch", [None, "batch"])
@pytest.mark.parametrize("bins", ["auto", "counts", "quantile", "uniform"])
def test_only_training_rows_are_seen(adata, bins, batch):
    cc.pp.gene_scores(adata, "cell_type", bins=bins, batch=batch)
    x = adata.X.toarray()
    x[(adata.obs["split"] != "train").to_numpy()] = np.nan
    other = AnnData(sparse.csr_matrix(x), obs=adata.obs.copy())
    cc.pp.gene_scores(other, "cell_type", bins=bins, batch=batch)
    for field in FIELDS:
        assert other.var[field].to_numpy().tobytes() == adata.var[field].to_numpy().tobytes()


def test_all_labelled_rows_without_a_split(adata):
    cc.pp.gene_scores(adata, "cell_type", split=None, bins="counts")
    with_class = adata.obs["cell_type"].notna()
    expected = mutual_info_score(adata.X.toarray()[with_class, 4], adata.obs["cell_type"][with_class])
    assert adata.var["mi"].iloc[4] == pytest.approx(expected, abs=1e-13)
    assert adata.uns["gene_scores"]["n_cells"] == 115
    del adata.obs["split"]
    before = adata.var["mi"].copy()
    cc.pp.gene_scores(adata, "cell_type", bins="counts")
    assert adata.var["mi"].equals(before)


def test_conditional_information(adata):
    cc.pp.gene_scores(adata, "cell_type", bins="counts", batch="batch", split=None)
    known = adata.obs["cell_type"].notna().to_numpy()
    x, obs = adata.X.toarray()[known], adata.obs[known]
    for gene in range(30):
        expected = sum(
            (obs["batch"] == b).mean()
            * mutual_info_score(x[obs["batch"] == b, gene], obs["cell_type"][obs["batch"] == b])
            for b in ("x", "y")
        )
        assert adata.var["mi"].iloc[gene] == pytest.approx(expected, abs=1e-13)


def test_a_gene_that_only_tells_batches_scores_nothing_within_them():
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 2, 600)
    kind = np.where(rng.random(600) < 0.2, 1 - batch, batch)
    x = np.stack([rng.poisson(1 + 5 * batch), rng.poisson(1 + 3 * kind)], axis=1).astype(np.float32)
    obs = pd.DataFrame({"kind": kind.astype(str), "batch": batch.astype(str)}, index=[str(i) for i in range(600)])
    adata = AnnData(x, obs=obs)
    cc.pp.gene_scores(adata, "kind")
    assert adata.var["mi_corrected"].iloc[0] > 0.1
    cc.pp.gene_scores(adata, "kind", batch="batch")
    assert abs(adata.var["mi_corrected"].iloc[0]) < 0.01
    assert adata.var["mi_pvalue"].iloc[0] > 0.01
    assert adata.var["mi_corrected"].iloc[1] > 0.1
    assert adata.var["mi_pvalue"].iloc[1] < 1e-10


def test_p_values_are_uniform_within_batches():
    rng = np.random.default_rng(0)
    batch = np.repeat([0, 1, 2], [300, 200, 100])
    kind = np.concatenate(
        [rng.choice(3, n, p=p) for n, p in ((300, [0.8, 0.1, 0.1]), (200, [0.2, 0.3, 0.5]), (100, [0, 1, 0]))]
    )
    rates = np.exp(rng.uniform(np.log(0.05), np.log(2), (3, 1500)))
    obs = pd.DataFrame({"kind": kind.astype(str), "batch": batch.astype(str)}, index=[str(i) for i in range(600)])
    adata = AnnData(sparse.csr_matrix(rng.poisson(rates[batch]).astype(np.float32)), obs=obs)
    cc.pp.gene_scores(adata, "kind", batch="batch")
    assert kstest(adata.var["mi_pvalue"], "uniform").pvalue > 0.01
    assert abs(adata.var["mi_corrected"].mean()) < 4 * adata.var["mi_corrected"].std() / np.sqrt(1500)


def test_one_batch_is_no_batch(adata):
    adata.obs["all"] = "same"
    cc.pp.gene_scores(adata, "cell_type")
    cc.pp.gene_scores(adata, "cell_type", batch="all", key_added="x")
    for field in FIELDS:
        np.testing.assert_array_equal(adata.var[f"x_{field}"], adata.var[field])


def test_a_constant_gene_tells_exactly_nothing(adata):
    x = adata.X.toarray()
    x[:, 3], x[:, 4] = 0, 7
    adata.X = sparse.csr_matrix(x)
    for bins in ("auto", "counts", "quantile", "uniform"):
        cc.pp.gene_scores(adata, "cell_type", bins=bins)
        assert (adata.var.iloc[3:5][["mi", "mi_corrected", "jsd"]] == 0).all(axis=None)
        assert (adata.var["mi_pvalue"].iloc[3:5] == 1).all()
        assert (adata.varm["mi_by_class"][3:5] == 0).all()


def test_a_layer(adata):
    adata.layers["other"] = adata.X[:, ::-1].copy()
    cc.pp.gene_scores(adata, "cell_type")
    cc.pp.gene_scores(adata, "cell_type", layer="other", key_added="x")
    np.testing.assert_array_equal(adata.var["x_mi"], adata.var["mi"].to_numpy()[::-1])
    assert "x_mi_by_class" in adata.varm
    assert adata.uns["x"]["function"] == "cellclf.pp.gene_scores"


def test_duplicate_gene_names_are_scored(adata):
    cc.pp.gene_scores(adata, "cell_type")
    before = adata.var["mi"].to_numpy()
    adata.var_names = ["same"] * 30
    cc.pp.gene_scores(adata, "cell_type")
    np.testing.assert_array_equal(adata.var["mi"], before)


def test_unused_categories_make_no_classes(adata):
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories(["never"])
    cc.pp.gene_scores(adata, "cell_type")
    assert adata.uns["gene_scores"]["classes"].tolist() == ["B", "NK", "T/CD4"]


def test_scaled_values_are_pointed_to_raw(adata):
    adata.raw = adata.copy()
    adata.X = adata.X.toarray() - 1
    with pytest.warns(UserWarning, match=r"adata.raw.to_adata\(\)"):
        cc.pp.gene_scores(adata, "cell_type")
    assert "mi" in adata.var


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label": "nope"}, KeyError, "'nope' is not in adata.obs. It holds: 'cell_type'"),
        ({"layer": "nope"}, KeyError, "'nope' is not in adata.layers"),
        ({"split": "nope"}, KeyError, "'nope' is not in adata.obs"),
        ({"batch": "nope"}, KeyError, "'nope' is not in adata.obs"),
        ({"bins": "nope"}, ValueError, "bins='nope' is unknown"),
        ({"bins": "counts", "n_bins": 3}, ValueError, "no meaning"),
        ({"label": "one"}, ValueError, "two classes are needed"),
        ({"label": "number"}, ValueError, "decimal numbers"),
        ({"label": "none"}, ValueError, "two classes are needed"),
        ({"batch": "gaps"}, ValueError, "'gaps' is missing in"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(adata, options, error, message):
    adata.obs["one"], adata.obs["number"], adata.obs["none"] = "same", 0.5, pd.Categorical([None] * 120)
    adata.obs["gaps"] = pd.Categorical(np.where(np.arange(120) < 60, "a", None))
    keys = list(adata.var), list(adata.uns), list(adata.varm)
    with pytest.raises(error, match=message):
        cc.pp.gene_scores(adata, **({"label": "cell_type"} | options))
    assert (list(adata.var), list(adata.uns), list(adata.varm)) == keys


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(adata, bad):
    adata.X[int(np.flatnonzero(adata.obs["split"] == "train")[0]), 6] = bad
    with pytest.raises(ValueError, match=r"1 values are NaN or infinite.*That gene is 'gene6'"):
        cc.pp.gene_scores(adata, "cell_type")
    assert not list(adata.var)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_an_empty_matrix_is_refused(shape):
    obs = pd.DataFrame(
        {"kind": ["a", "b"] * (shape[0] // 2) + ["a"] * (shape[0] % 2)}, index=[str(i) for i in range(shape[0])]
    )
    adata = AnnData(np.zeros(shape, np.float32), obs=obs)
    with pytest.raises(ValueError, match="nothing to work on"):
        cc.pp.gene_scores(adata, "kind")


def test_a_read_only_matrix_and_a_view(adata):
    x = adata.X.toarray()
    x.flags.writeable = False
    other = AnnData(x, obs=adata.obs.copy())
    cc.pp.gene_scores(adata, "cell_type")
    view = other[:, :10]
    cc.pp.gene_scores(view, "cell_type")
    np.testing.assert_array_equal(view.var["mi"], adata.var["mi"][:10])
    assert "mi" not in other.var


def test_copy_leaves_the_original(adata):
    copy = cc.pp.gene_scores(adata, "cell_type", copy=True)
    assert "mi" in copy.var
    assert "mi" not in adata.var


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(adata, form, tmp_path):
    cc.pp.gene_scores(adata, "cell_type")
    path = tmp_path / f"x.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(anndata, f"read_{form}")(path)
    np.testing.assert_array_equal(back.var["mi"], adata.var["mi"])
    np.testing.assert_array_equal(back.varm["mi_by_class"], adata.varm["mi_by_class"])
    assert [str(name) for name in back.uns["gene_scores"]["classes"]] == ["B", "NK", "T/CD4"]
    cc.pp.gene_scores(back, "cell_type", key_added="x")
    np.testing.assert_array_equal(back.var["x_mi"], adata.var["mi"])


def test_backed(adata, tmp_path):
    cc.pp.gene_scores(adata, "cell_type")
    expected = adata.var["mi"].to_numpy()
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    cc.pp.gene_scores(backed, "cell_type")
    np.testing.assert_array_equal(backed.var["mi"], expected)
    backed.file.close()


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "batch"), [("pbmc_ifnb", "sample"), ("tcga11", "cancer")])
def test_genes_that_tell_real_batches_score_nothing_within_them(realdata, name, batch):
    adata = anndata.read_h5ad(realdata / f"{name}.h5ad")
    codes = pd.factorize(adata.obs[batch])[0]
    shares, plain, within = np.linspace(0.1, 0.9, codes.max() + 1)[codes], [], []
    for seed in range(4):  # a label that follows the batch, and within it nothing
        adata.obs["drawn"] = np.where(np.random.default_rng(seed).random(adata.n_obs) < shares, "yes", "no")
        cc.pp.gene_scores(adata, "drawn", split=None)
        cc.pp.gene_scores(adata, "drawn", batch=batch, split=None, key_added="x")
        plain.append(adata.var[["mi_corrected", "mi_pvalue"]])
        within.append(adata.var[["x_mi_corrected", "x_mi_pvalue"]])
    plain, within = np.array(plain), np.array(within)
    telling = plain[:, :, 0].mean(axis=0) > 0.02
    assert telling.sum() > 100
    assert np.median(plain[:, telling, 1]) < 1e-8
    assert np.abs(within[:, telling, 0].mean(axis=0)).max() < 0.02
    assert abs(within[:, telling, 0].mean()) < 1e-3
    assert within[:, telling, 1].min() > 1e-5
    for level in (0.5, 0.1):
        assert (within[:, telling, 1] <= level).mean() == pytest.approx(level, rel=0.35)
    if name == "pbmc_ifnb":
        assert adata.var.loc["ISG15", "mi_corrected"] > 0.2
        assert abs(adata.var.loc["ISG15", "x_mi_corrected"]) < 0.005


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "label", "batch"), [("pbmc_ifnb", "cell_type", "sample"), ("tcga11", "tissue_type", "cancer")]
)
def test_conditional_information_of_real_genes(realdata, name, label, batch):
    adata = anndata.read_h5ad(realdata / f"{name}.h5ad")[:, ::400].copy()
    x = adata.X.toarray() if sparse.issparse(adata.X) else np.asarray(adata.X)
    cc.pp.gene_scores(adata, label, batch=batch, split=None)
    cut = [np.searchsorted(own, x[:, j], side="right") for j, own in enumerate(edges_of(x))]
    for j, bins in enumerate(cut):
        expected = sum(
            (own := (adata.obs[batch] == b).to_numpy()).mean() * mutual_info_score(bins[own], adata.obs[label][own])
            for b in adata.obs[batch].unique()
        )
        assert adata.var["mi"].iloc[j] == pytest.approx(expected, abs=1e-12)


def edges_of(x: np.ndarray) -> list[np.ndarray]:
    """Give the cuts between bins of each gene."""
    bins = cc.stats.bin_edges(x, np.ones(len(x), bool))
    return [bins.of_gene(j)[1:] for j in range(x.shape[1])]


@pytest.mark.realdata
def test_divergence_ranks_genes_as_published(realdata):
    published = pd.read_csv(realdata / "pbmc_published_jsd_ranking.csv").drop_duplicates("gene").set_index("gene")
    adata = anndata.read_h5ad(realdata / "pbmc3k.h5ad")
    cc.pp.gene_scores(adata, "classified", bins="counts", split=None)
    both = published.index.intersection(adata.var_names[~adata.var_names.duplicated(keep=False)])
    found = spearmanr(adata.var.loc[both, "jsd"], published.loc[both, "Divergence_across_classes"]).statistic
    assert found == pytest.approx(0.76, abs=0.01)


@pytest.mark.realdata
def test_correction_takes_the_lead_from_genes_with_many_counts(realdata):
    adata = anndata.read_h5ad(realdata / "pbmc_zheng_sorted.h5ad")
    cc.pp.gene_scores(adata, "cell_type", bins="counts", split=None)
    assert adata.var["mi"].idxmax() == "MALAT1"
    assert "MALAT1" not in adata.var["mi_corrected"].nlargest(5).index
    assert adata.var["mi_corrected"].idxmax() == "HLA-DRA"


@pytest.mark.realdata
def test_permuted_labels_give_uniform_p_values(realdata):
    adata = anndata.read_h5ad(realdata / "pbmc_zheng_sorted.h5ad")
    common = np.asarray((adata.X > 0).sum(axis=0)).ravel() > 3
    p = []
    for seed in range(4):  # genes share the permutation, so several are needed
        adata.obs["permuted"] = np.random.default_rng(seed).permutation(adata.obs["cell_type"].astype(str))
        cc.pp.gene_scores(adata, "permuted", split=None)
        p.append(adata.var["mi_pvalue"].to_numpy()[common])
    for level in (0.5, 0.1, 0.01):
        assert (np.concatenate(p) <= level).mean() == pytest.approx(level, rel=0.15)
