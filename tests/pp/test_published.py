"""Figures of the documentation that rest on real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import entropy, spearmanr
from sklearn.metrics import mutual_info_score

import cellclf as cc

if TYPE_CHECKING:
    from pathlib import Path

LABELS = {"pbmc_zheng_sorted": "cell_type", "pbmc3k": "classified"}


def read(realdata: Path, name: str) -> ad.AnnData:
    """Read a file and drop genes without a count, of which neither ranking says anything."""
    adata = ad.read_h5ad(realdata / f"{name}.h5ad")
    return adata[:, np.asarray((adata.X > 0).sum(axis=0)).ravel() > 0].copy()


def published_divergence(counts: np.ndarray, label: np.ndarray) -> float:
    """Write the published definition down as it stands: padded bincounts, classes of equal weight, nats."""
    laws = [np.bincount(counts[label == name], minlength=counts.max() + 1) for name in np.unique(label)]
    laws = [law / law.sum() for law in laws]
    return float(entropy(np.mean(laws, axis=0)) - np.mean([entropy(law) for law in laws]))


@pytest.fixture
def zheng(realdata: Path) -> ad.AnnData:
    """Read the six sorted populations of 50 cells."""
    return read(realdata, "pbmc_zheng_sorted")


def thinned(adata: ad.AnnData) -> ad.AnnData:
    """Draw the same number of molecules, that of a shallow cell, from each cell without replacement."""
    rng = np.random.default_rng(0)
    counts = adata.X.toarray().astype(np.int64)
    depth = int(np.quantile(counts.sum(axis=1), 0.05))
    drawn = [rng.multivariate_hypergeometric(cell, min(depth, int(cell.sum())), method="marginals") for cell in counts]
    return ad.AnnData(csr_matrix(np.array(drawn, dtype=np.float32)), obs=adata.obs.copy(), var=adata.var[[]].copy())


def place(adata: ad.AnnData, gene: str) -> int:
    """Say which place a gene has by `mi_corrected`, the first being 1."""
    return int(adata.var["mi_corrected"].rank(ascending=False)[gene])


def n_ribosomal(adata: ad.AnnData) -> int:
    """Count ribosomal genes among the fifty best."""
    return int(adata.var["mi_corrected"].nlargest(50).index.str.match(r"RP[LS]\d").sum())


def test_divergence_is_the_published_definition(small_adata):
    cc.pp.gene_scores(small_adata, "cell_type", bins="counts")
    counts, label = small_adata.X.toarray().astype(int), small_adata.obs["cell_type"].to_numpy()
    expected = [published_divergence(counts[:, gene], label) for gene in range(small_adata.n_vars)]
    np.testing.assert_allclose(small_adata.var["jsd"], expected, atol=1e-13)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "n_genes", "expected"), [("pbmc_zheng_sorted", 11969, 0.824), ("pbmc3k", 13612, 0.762)]
)
def test_divergence_agrees_with_the_published_ranking(realdata, name, n_genes, expected):
    published = pd.read_csv(realdata / "pbmc_published_jsd_ranking.csv").drop_duplicates("gene").set_index("gene")
    adata = read(realdata, name)
    cc.pp.gene_scores(adata, LABELS[name], bins="counts")
    both = published.index.intersection(adata.var_names)
    found = spearmanr(adata.var.loc[both, "jsd"], published.loc[both, "Divergence_across_classes"]).statistic
    assert abs(len(both) - n_genes) <= 1
    assert found == pytest.approx(expected, abs=0.002)


@pytest.mark.realdata
def test_divergence_of_real_genes_is_the_published_definition(zheng):
    cc.pp.gene_scores(zheng, "cell_type", bins="counts", key_added="exact")
    label = zheng.obs["cell_type"].to_numpy().astype(str)
    for gene in ("MALAT1", "HLA-DRA", "RPS27", "NKG7"):
        counts = zheng[:, gene].X.toarray().ravel().astype(int)
        assert zheng.var.loc[gene, "exact_jsd"] == pytest.approx(published_divergence(counts, label), abs=1e-12)


@pytest.mark.realdata
def test_depth_not_bias_puts_malat1_first(zheng):
    cc.pp.gene_scores(zheng, "cell_type")
    depth = np.asarray(zheng.X.sum(axis=1)).ravel()
    means = pd.Series(depth).groupby(zheng.obs["cell_type"].to_numpy(), observed=True).mean()
    assert means.max() > 3 * means.min()
    assert place(zheng, "MALAT1") == 1
    before = n_ribosomal(zheng)
    even = thinned(zheng)
    cc.pp.gene_scores(even, "cell_type")
    assert even.var["mi_corrected"].idxmax() in {"HLA-DRA", "CD74"}
    assert place(even, "MALAT1") > 3
    assert n_ribosomal(even) <= before / 2


@pytest.mark.realdata
@pytest.mark.parametrize("bins", ["auto", "counts", "quantile"])
def test_permuted_labels_leave_malat1_nothing(zheng, bins):
    scores, pvalues = [], []
    for seed in range(10):
        zheng.obs["permuted"] = np.random.default_rng(seed).permutation(zheng.obs["cell_type"].astype(str))
        found = cc.pp.gene_scores(zheng[:, ["MALAT1", "RPS27", "RPL13"]], "permuted", bins=bins, copy=True)
        scores.append(found.var["mi_corrected"].to_numpy())
        pvalues.append(found.var["mi_pvalue"].to_numpy())
    assert np.abs(np.mean(scores, axis=0)).max() < 0.015
    assert np.min(pvalues) > 1e-3


@pytest.mark.realdata
def test_the_permutation_mean_is_nearer_to_chance_than_miller_and_madow(zheng):
    label = zheng.obs["cell_type"].to_numpy().astype(str)
    counts = zheng[:, "MALAT1"].X.toarray().ravel().astype(int)
    rng = np.random.default_rng(0)
    by_chance = np.mean([mutual_info_score(counts, rng.permutation(label)) for _ in range(100)])
    cc.pp.gene_scores(zheng, "cell_type", bins="counts")
    taken_off = zheng.var["mi"] - zheng.var["mi_corrected"]
    assert taken_off["MALAT1"] == pytest.approx(by_chance, abs=0.008)
    assert (np.unique(counts).size - 1) * (6 - 1) / (2 * 300) < by_chance - 0.02
    once = np.asarray((zheng.X > 0).sum(axis=0)).ravel() == 1  # one cell tells the same under all permutations
    np.testing.assert_allclose(zheng.var["mi_corrected"][once], 0, atol=1e-12)
    assert (1 * (6 - 1) / (2 * 300) > 1.3 * taken_off[once]).all()


@pytest.mark.realdata
def test_scores_of_a_normalised_layer_ask_for_composition(zheng):
    depth = np.asarray(zheng.X.sum(axis=1))
    zheng.layers["per_10k"] = csr_matrix(zheng.X.multiply(1e4 / depth))
    cc.pp.gene_scores(zheng, "cell_type")
    raw = n_ribosomal(zheng)
    cc.pp.gene_scores(zheng, "cell_type", layer="per_10k")
    assert zheng.var["mi_corrected"].idxmax() == "HLA-DRA"
    assert place(zheng, "MALAT1") > 3
    assert n_ribosomal(zheng) <= raw / 2
