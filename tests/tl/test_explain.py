from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import torch
from anndata import AnnData
from scipy.sparse import issparse
from scipy.stats import ttest_1samp

import cellclf as cc
from cellclf import stats
from cellclf.attribution import attributions
from cellclf.tl import _attributed

GENES = [f"gene{j}" for j in range(20)]
FIELDS = ("names", "scores", "logfoldchanges", "pvals", "pvals_adj")


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give cells with predictions of a classifier of 20 of the 30 genes, and clusters."""
    fit = cc.Fit(epochs=20, batch_size=32, device="cpu")
    cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP(hidden=(8,), dropout=0.1), fit=fit, genes=GENES)
    cc.tl.predict(small_adata)
    small_adata.obs["leiden"] = pd.Categorical(np.where(np.arange(120) < 70, "0", "1"), categories=["0", "1", "2"])
    return small_adata


def slow(adata: AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Return attributions to the predicted class, and normalised values, of all cells at once."""
    clf = cc.Classifier.from_bytes(adata.uns["cellclf"]["model"].tobytes())
    counts = adata.X.toarray()
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    x = clf.inputs(values[:, adata.var_names.get_indexer(clf.genes)])
    called = adata.obs["cellclf"].cat.codes.to_numpy(dtype=np.int64)
    mean = clf.inputs(clf.preprocessing.fill[None])
    parts = attributions(clf.network, x, called, [mean] * 3, temperature=clf.temperature).values
    out = np.zeros(counts.shape)
    out[:, adata.var_names.get_indexer(clf.genes)] = parts
    return out, values


def table(adata: AnnData, group: str, key: str = "cellclf_explain") -> pd.DataFrame:
    return sc.get.rank_genes_groups_df(adata, group, key=key).set_index("names")


def test_scores_are_mean_attributions(adata: AnnData) -> None:
    cc.tl.explain(adata, groupby="leiden")
    parts, values = slow(adata)
    for group in ("0", "1"):
        mine = (adata.obs["leiden"] == group).to_numpy()
        found = table(adata, group)
        index = adata.var_names.get_indexer(found.index)
        np.testing.assert_allclose(found["scores"], parts[mine].mean(axis=0)[index], atol=1e-5)
        assert found["scores"].is_monotonic_decreasing
        unread = ~found.index.isin(GENES)
        assert (found["scores"][unread] == 0).all()
        assert found["logfoldchanges"][unread].isna().all()
        assert (found.loc[unread, ["pvals", "pvals_adj"]] == 1).all().all()
        found, index = found[~unread], index[~unread]
        pvalues = ttest_1samp(parts[mine][:, index], 0).pvalue
        np.testing.assert_allclose(found["pvals"], np.nan_to_num(pvalues, nan=1), rtol=1e-3, atol=1e-12)
        np.testing.assert_allclose(found["pvals_adj"], stats.benjamini_hochberg(found["pvals"].to_numpy()))
        means = [values[rows].mean(axis=0)[index] for rows in (mine, ~mine)]
        folds = np.log2((np.expm1(means[0]) + 1e-9) / (np.expm1(means[1]) + 1e-9))
        np.testing.assert_allclose(found["logfoldchanges"], folds, rtol=1e-4, atol=1e-5)


def test_the_record_is_scanpys(adata: AnnData) -> None:
    cc.tl.explain(adata)
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.tl.rank_genes_groups(adata, "cellclf")
    own, theirs = adata.uns["cellclf_explain"], adata.uns["rank_genes_groups"]
    assert set(theirs) <= set(own)
    assert set(own["params"]) == set(theirs["params"])
    for field in FIELDS:
        assert own[field].dtype == theirs[field].dtype
        assert own[field].dtype.names == ("B", "NK", "T/CD4")
    assert set(own["names"]["NK"]) == set(adata.var_names)


def test_planted_genes_drive_their_class(adata: AnnData) -> None:
    cc.tl.explain(adata, baseline="zeros")
    for number, group in enumerate(["B", "NK", "T/CD4"]):
        assert set(table(adata, group).index[:3]) == {f"gene{j}" for j in range(number * 3, number * 3 + 3)}


def test_scanpy_draws_it(adata: AnnData) -> None:
    cc.tl.explain(adata)
    with sc.settings.verbosity.override("error"):
        axes = sc.pl.rank_genes_groups_dotplot(
            adata, key="cellclf_explain", n_genes=2, dendrogram=False, show=False, values_to_plot="scores", cmap="bwr"
        )
        labels = [text.get_text() for text in axes["mainplot_ax"].get_xticklabels()]
        sc.pl.rank_genes_groups(adata, key="cellclf_explain", n_genes=5, show=False)
    assert len(labels) == 6
    assert set(labels) <= {f"gene{j}" for j in range(9)}
    sc.tl.filter_rank_genes_groups(adata, key="cellclf_explain", key_added="filtered")
    assert "filtered" in adata.uns


def test_gene_set_tools_take_it(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    cc.tl.explain(adata, baseline="zeros")
    sets = {group: {f"gene{j}" for j in range(3 * k, 3 * k + 3)} for k, group in enumerate(["B", "NK", "T/CD4"])}
    overlap = sc.tl.marker_gene_overlap(adata, sets, key="cellclf_explain", top_n_markers=3, inplace=False)
    np.testing.assert_array_equal(overlap.loc[list(sets), list(sets)], 3 * np.eye(3))
    asked = []

    class Service:
        """What scanpy asks, without the network."""

        def __init__(self, **_: object) -> None: ...

        def profile(self, genes: object, **_: object) -> pd.DataFrame:
            asked.append(genes)
            return pd.DataFrame()

    monkeypatch.setitem(sys.modules, "gprofiler", SimpleNamespace(GProfiler=Service))
    sc.queries.enrich(adata, "NK", key="cellclf_explain", pval_cutoff=0.05)
    found = table(adata, "NK")
    assert list(asked[0]) == found.index[found["pvals_adj"] < 0.05].tolist()
    assert set(asked[0]) > sets["NK"]


@pytest.mark.parametrize("file", ["cells.h5ad", "cells.zarr"])
def test_files_keep_it(adata: AnnData, tmp_path: Path, file: str) -> None:
    cc.tl.explain(adata, attribution_layer=True)
    write, read = ("write_h5ad", anndata.read_h5ad) if file.endswith("h5ad") else ("write_zarr", anndata.read_zarr)
    getattr(adata, write)(tmp_path / file)
    back = read(tmp_path / file)
    pd.testing.assert_frame_equal(table(back, "NK"), table(adata, "NK"), check_index_type=False)
    assert (back.layers["cellclf_attribution"] != adata.layers["cellclf_attribution"]).nnz == 0


def test_attributions_of_chosen_cells(adata: AnnData) -> None:
    mask = np.arange(120) % 3 == 0
    cc.tl.explain(adata, rows=mask, groupby="leiden", attribution_layer=True)
    layer = adata.layers["cellclf_attribution"]
    parts, _ = slow(adata)
    assert issparse(layer)
    assert layer.dtype == np.float32
    np.testing.assert_allclose(layer.toarray(), np.where(mask[:, None], parts, 0), atol=1e-5)
    assert adata.uns["cellclf_explain"]["n_rows"] == 40
    assert layer[~mask].nnz == layer[:, 20:].nnz == 0
    cc.tl.explain(adata, baseline="zeros", attribution_layer=True)
    assert ((adata.layers["cellclf_attribution"] != 0) > (adata.X != 0)).nnz == 0  # what is not expressed says nothing
    cc.tl.explain(adata, key_added="without_explain")
    assert list(adata.layers) == ["cellclf_attribution"]


@pytest.mark.parametrize("baseline", ["mean", "zeros"])
def test_the_gap_is_what_the_parts_leave(adata: AnnData, baseline: str) -> None:
    cc.tl.explain(adata, baseline=baseline, n_steps=2, attribution_layer=True)
    clf = cc.Classifier.from_bytes(adata.uns["cellclf"]["model"].tobytes())
    _, values = slow(adata)
    values = values[:, adata.var_names.get_indexer(clf.genes)]
    start = clf.preprocessing.fill if baseline == "mean" else np.zeros_like(clf.preprocessing.fill)
    with torch.no_grad():
        x = torch.from_numpy(clf.inputs(np.concatenate([start[None], values])))
        logits = clf.network(x).double().numpy() / clf.temperature
    centred = logits - logits.mean(axis=1, keepdims=True)
    called = logits[1:].argmax(axis=1)
    change = centred[1:][np.arange(120), called] - centred[0, called]
    gap = (
        np.abs(np.asarray(adata.layers["cellclf_attribution"].sum(axis=1)).ravel() - change).sum()
        / np.abs(change).sum()
    )
    assert gap > 1e-3
    assert adata.uns["cellclf_explain"]["completeness_gap"] == pytest.approx(gap, rel=1e-3)


def test_never_more_than_a_block_of_cells_is_attributed_at_once(
    adata: AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    attribute, sizes = _attributed.attributions, []

    def watched(network: object, x: np.ndarray, *arguments: object, **options: object) -> object:
        sizes.append(len(x))
        return attribute(network, x, *arguments, **options)

    monkeypatch.setattr(_attributed, "attributions", watched)
    monkeypatch.setattr(_attributed, "AT_ONCE", 50)
    cc.tl.explain(adata)
    cc.tl.importance(adata, method="integrated_gradients", rows=np.ones(120, dtype=bool))
    assert sizes == [50, 50, 20] * 2


def test_what_is_written(adata: AnnData) -> None:
    x, uns = adata.X.copy(), set(adata.uns)
    assert cc.tl.explain(adata) is None
    assert set(adata.uns) - uns == {"cellclf_explain"}
    assert not adata.layers
    assert (adata.X != x).nnz == 0
    assert adata.uns["cellclf_explain"]["params"]["groupby"] == "cellclf"
    assert 0 <= adata.uns["cellclf_explain"]["completeness_gap"] < 0.05
    copy = cc.tl.explain(adata, key_added="why_explain", attribution_layer=True, copy=True)
    assert "why_explain" not in adata.uns
    assert list(copy.layers) == ["why_attribution"]


def test_groups_without_predictions_are_the_label(adata: AnnData) -> None:
    del adata.obs["cellclf"]
    cc.tl.explain(adata)
    assert adata.uns["cellclf_explain"]["params"]["groupby"] == "cell_type"
    query = adata.copy()
    del query.obs["cell_type"]
    with pytest.raises(KeyError, match=r"Run `cc\.tl\.predict` first"):
        cc.tl.explain(query)


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift", "gradient_shap"])
@pytest.mark.parametrize("baseline", ["mean", "zeros", "class"])
def test_methods_and_baselines_agree_on_the_genes(adata: AnnData, method: str, baseline: str) -> None:
    cc.tl.explain(adata, method=method, baseline=baseline)
    for number, group in enumerate(["B", "NK", "T/CD4"]):
        found, own = table(adata, group), [f"gene{j}" for j in range(number * 3, number * 3 + 3)]
        assert (found.loc[own, "scores"] > 0).all()
        if baseline == "zeros":  # against a cell that expresses nothing, only what a cell expresses can speak
            assert set(found.index[:3]) == set(own)
        else:
            assert set(found.index[:5]) <= {f"gene{j}" for j in range(9)}


def test_blocks_do_not_matter(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    cc.tl.explain(adata, groupby="leiden", attribution_layer=True)
    expected = table(adata, "0"), adata.layers["cellclf_attribution"].toarray()
    monkeypatch.setattr("cellclf.stats._dense.BLOCK", 17)
    cc.tl.explain(adata, groupby="leiden", attribution_layer=True)
    pd.testing.assert_frame_equal(table(adata, "0").loc[expected[0].index], expected[0], rtol=1e-3)
    np.testing.assert_allclose(adata.layers["cellclf_attribution"].toarray(), expected[1], atol=1e-6)


@pytest.mark.parametrize("storage", ["csr", "dense", "backed"])
def test_interruption_keeps_the_first_cells(
    adata: AnnData, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if storage == "dense":
        adata.X = adata.X.toarray()
    if storage == "backed":
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    monkeypatch.setattr(_attributed, "AT_ONCE", 16)
    options = {"groupby": "leiden", "attribution_layer": storage != "backed"}  # which anndata cannot add on disk
    first = np.flatnonzero(np.arange(120) % 2)[:48]
    cc.tl.explain(adata, rows=np.isin(np.arange(120), first), key_added="first_explain", **options)
    attribute, calls = _attributed.attributions, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return attribute(*arguments, **options)

    monkeypatch.setattr(_attributed, "attributions", interrupted)
    cc.tl.explain(adata, rows=np.arange(120) % 2 == 1, **options)
    assert adata.uns["cellclf_explain"]["interrupted"]
    assert adata.uns["cellclf_explain"]["n_rows"] == adata.uns["first_explain"]["n_rows"] == 48
    for group in ("0", "1"):
        pd.testing.assert_frame_equal(table(adata, group), table(adata, group, "first_explain"))
    if storage != "backed":
        mine, expected = (adata.layers[f"{name}_attribution"].toarray() for name in ("cellclf", "first"))
        np.testing.assert_array_equal(mine, expected)
    calls.extend([1] * 3)
    before = set(adata.uns)
    with pytest.raises(KeyboardInterrupt):
        cc.tl.explain(adata, groupby="leiden", key_added="nothing")
    assert set(adata.uns) == before


def test_same_seed_same_bits(adata: AnnData) -> None:
    options = {"method": "gradient_shap", "groupby": "leiden", "n_steps": 5}
    for key, rng in (("one", 0), ("same", 0), ("other", 1)):
        cc.tl.explain(adata, rng=rng, key_added=key, **options)
    one, same, other = (adata.uns[key]["scores"].tobytes() for key in ("one", "same", "other"))
    assert one == same != other


def test_missing_genes_are_left_out(adata: AnnData) -> None:
    query = adata[:, 1:].copy()
    with pytest.warns(UserWarning, match="1 of the classifier's 20 genes"):
        cc.tl.explain(query, attribution_layer=True)
    assert table(query, "B")["logfoldchanges"].notna().sum() == 19
    assert query.layers["cellclf_attribution"].shape == (120, 29)


def test_a_single_cell_and_a_single_group(adata: AnnData) -> None:
    cc.tl.explain(adata, rows=np.arange(120) == 5, groupby="leiden")
    found = table(adata, "0")
    assert (found["pvals"] == 1).all()
    assert found["logfoldchanges"].isna().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"method": "lime"}, ValueError, "method='lime' is not known", id="method"),
        pytest.param({"baseline": "median"}, ValueError, "baseline='median' is not known", id="baseline"),
        pytest.param({"n_steps": 0}, ValueError, "n_steps=0 is no number", id="steps"),
        pytest.param({"method": "deep_lift", "n_steps": 5}, ValueError, "no use of 'n_steps'", id="idle-steps"),
        pytest.param({"rng": 3}, ValueError, "no use of 'rng'", id="idle-rng"),
        pytest.param({"label": "cell_type"}, ValueError, "no use of 'label'", id="idle-label"),
        pytest.param({"groupby": "louvain"}, KeyError, "groupby='louvain' is not in adata.obs", id="groupby"),
        pytest.param({"groupby": "cellclf_confidence"}, ValueError, "decimal numbers", id="decimal-groups"),
        pytest.param({"rows": "tset"}, ValueError, "rows='tset' names no part", id="rows"),
        pytest.param({"layer": "counts"}, KeyError, "layer='counts' is not in", id="layer"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    adata: AnnData, options: dict[str, object], error: type[Exception], message: str
) -> None:
    before = set(adata.uns)
    with pytest.raises(error, match=message):
        cc.tl.explain(adata, **options)
    assert set(adata.uns) == before


def test_an_embedding_has_no_genes(small_adata: AnnData) -> None:
    small_adata.obsm["X_low"] = small_adata.X[:, [0, 3, 6]].toarray()
    fit = cc.Fit(epochs=5, device="cpu")
    cc.tl.train(small_adata, "cell_type", use_rep="X_low", network=cc.nn.Linear(), fit=fit)
    with pytest.raises(ValueError, match="so there are no genes"):
        cc.tl.explain(small_adata)
