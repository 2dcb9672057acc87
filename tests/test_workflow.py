"""The chain that a scanpy user would write."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import cellclf as cc


@pytest.fixture(scope="module")
def pbmc() -> ad.AnnData:
    """Give the PBMC that scanpy ships, trained, predicted, evaluated and explained with all defaults."""
    adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    cc.tl.train(adata, "bulk_labels")
    cc.tl.predict(adata)
    cc.tl.evaluate(adata)
    cc.tl.importance(adata)
    return adata


def test_it_beats_the_prior_and_keeps_up_with_the_linear_network(pbmc):
    summary = cc.get.summary(pbmc)
    assert summary.loc["network", "log_loss"] < 0.5 * summary.loc["prior", "log_loss"]
    assert summary.loc["network", "log_loss"] < summary.loc["linear", "log_loss"] + 0.15
    assert summary.loc["network", "accuracy"] > 0.7


def test_known_markers_lead(pbmc):
    """Genes that any immunologist would name stand near the top of both rankings."""
    markers = {"CD79A", "CD79B", "CD74", "NKG7", "GNLY", "CST3", "LYZ", "FCER1G", "TYROBP", "HLA-DRA", "CD8A", "CD8B"}
    assert len(markers & set(cc.get.gene_scores(pbmc, n_genes=25).index)) >= 3
    assert len(markers & set(cc.get.importance(pbmc, n_genes=40).index)) >= 2


def test_scanpy_draws_and_goes_on(pbmc):
    sc.pl.umap(pbmc, color=["cellclf", "cellclf_confidence"], show=False)
    sc.pp.neighbors(pbmc, use_rep="X_cellclf", key_added="on_classifier")
    assert pbmc.obsp["on_classifier_connectivities"].shape == (700, 700)
    np.testing.assert_array_equal(pbmc.uns["cellclf_colors"], pbmc.uns["bulk_labels_colors"])


@pytest.mark.parametrize("how", ["h5ad", "zarr"])
def test_round_trip_predicts_the_same_bits(pbmc, tmp_path, how):
    getattr(pbmc, f"write_{how}")(tmp_path / f"a.{how}")
    back = getattr(ad, f"read_{how}")(tmp_path / f"a.{how}")
    cc.tl.predict(back, key_added="cellclf")
    assert back.obsm["cellclf_proba"].tobytes() == pbmc.obsm["cellclf_proba"].tobytes()
    assert list(back.obs["cellclf"]) == list(pbmc.obs["cellclf"])


def test_predictions_are_no_label_candidate(pbmc):
    copy = pbmc[:, :20].copy()
    del copy.uns["cellclf_label"]
    from cellclf import _slots

    assert not {"cellclf", "split"} & set(_slots.label_candidates(copy))


def test_scaled_values_with_raw_are_pointed_out():
    adata = sc.datasets.pbmc68k_reduced()
    with pytest.warns(UserWarning, match=r"adata\.raw\.to_adata\(\)"):
        cc.pp.gene_scores(adata, "bulk_labels")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "label", "floor"),
    [("pancreas_baron", "cell_type", 0.97), ("pbmc3k", "classified", 0.85), ("gtex_26tissues", "tissue", 0.93)],
)
def test_real_data(realdata, name, label, floor):
    adata = ad.read_h5ad(realdata / f"{name}.h5ad")
    cc.tl.train(adata, label)
    cc.tl.predict(adata)
    assert cc.tl.evaluate(adata).accuracy > floor


@pytest.mark.realdata
def test_another_technology(realdata):
    """Train on CEL-seq2, predict Drop-seq: other genes, other depth, the same three cell lines."""
    reference = ad.read_h5ad(realdata / "cellbench_celseq2.h5ad")
    query = ad.read_h5ad(realdata / "cellbench_dropseq.h5ad")
    classifier = cc.tl.train(reference, "cell_line_demuxlet")
    with pytest.warns(UserWarning, match="genes are not in adata"):
        cc.tl.predict(query, classifier)
    assert (query.obs["cellclf"].astype(str) == query.obs["cell_line_demuxlet"].astype(str)).mean() > 0.95


@pytest.mark.realdata
def test_missing_values_are_refused(realdata):
    adata = ad.read_h5ad(realdata / "tcga11_with_nan.h5ad")
    with pytest.raises(ValueError, match="NaN"):
        cc.tl.train(adata, "cancer")
