from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.sparse import csc_matrix, csr_matrix
from torch.nn.functional import cross_entropy

import cellclf as cc

WRITTEN = [("var", "importance"), ("var", "importance_se"), ("varm", "importance_by_class"), ("uns", "importance")]
FIT = cc.Fit(epochs=20, batch_size=32, members=2, device="cpu")
PLANTED = [f"gene{j}" for j in range(9)]  # three for each class


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give cells that carry a trained classifier of 20 of the 30 genes."""
    genes = [f"gene{j}" for j in range(20)]
    cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP(hidden=(8,), dropout=0.1), fit=FIT, genes=genes)
    return small_adata


def carried(adata: AnnData) -> cc.Classifier:
    """Return the classifier that an AnnData carries."""
    return cc.Classifier.from_bytes(adata.uns["cellclf"]["model"].tobytes())


def slow(adata: AnnData, mask: np.ndarray, n_repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle the scaled values of each gene in turn and run the whole network; rise per gene, repeat and row."""
    clf = carried(adata)
    columns = adata.var_names.get_indexer(clf.genes)
    counts = adata.X.toarray()[mask]
    values = np.log1p(counts[:, columns] / counts.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    x = torch.from_numpy(clf.inputs(values))
    y = torch.from_numpy(pd.Index(clf.classes).get_indexer(adata.obs["cell_type"].astype(str))[mask])
    seed = int(np.random.default_rng(0).integers(2**62))

    def losses(inputs: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return cross_entropy(clf.network(inputs).double() / clf.temperature, y, reduction="none").numpy()

    rises = np.zeros((adata.n_vars, n_repeats, len(x)))
    for repeat in range(n_repeats):
        order = np.random.default_rng([seed, repeat]).permutation(len(x))
        for gene, column in enumerate(columns):
            shuffled = x.clone()
            shuffled[:, gene] = x[order, gene]
            rises[column, repeat] = losses(shuffled) - losses(x)
    return rises, y.numpy()


def keys(adata: AnnData) -> dict[str, set[str]]:
    """List what an AnnData holds."""
    return {slot: set(getattr(adata, slot)) for slot in ("obs", "var", "obsm", "varm", "uns", "layers")}


@pytest.mark.parametrize("rows", [None, "train", "mask"])
def test_equals_running_the_whole_network(adata: AnnData, rows: str | None) -> None:
    mask = np.arange(120) % 3 > 0 if rows == "mask" else (adata.obs["split"] == (rows or "test")).to_numpy()
    cc.tl.importance(adata, rows=mask if rows == "mask" else rows)
    rises, y = slow(adata, mask, 5)
    by_repeat = rises.mean(axis=2)
    assert by_repeat.mean(axis=1).max() > 1e-3
    np.testing.assert_allclose(adata.var["importance"], by_repeat.mean(axis=1), rtol=0, atol=1e-6)
    expected = by_repeat.std(axis=1, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(adata.var["importance_se"], expected, rtol=0, atol=1e-6)
    for k in range(3):
        by_class = rises[:, :, y == k].mean(axis=(1, 2))
        np.testing.assert_allclose(adata.varm["importance_by_class"][:, k], by_class, rtol=0, atol=1e-6)


def test_what_is_written(adata: AnnData) -> None:
    before, values = keys(adata), adata.X.copy()
    assert cc.tl.importance(adata, n_repeats=2) is None
    after = keys(adata)
    assert {(slot, key) for slot in after for key in after[slot] - before[slot]} == set(WRITTEN)
    assert (values != adata.X).nnz == 0
    assert adata.var["importance"].dtype == adata.var["importance_se"].dtype == np.float64
    assert adata.varm["importance_by_class"].shape == (30, 3)
    record = adata.uns["importance"]
    assert record["function"] == "cellclf.tl.importance"
    assert list(record["classes"]) == ["B", "NK", "T/CD4"]
    assert record["method"] == "permutation"
    assert record["n_repeats"] == 2
    assert record["n_rows"] == (adata.obs["split"] == "test").sum()
    assert record["loss"] == pytest.approx(cc.tl.evaluate(adata).log_loss, abs=1e-5)


def test_genes_that_the_classifier_does_not_read_are_exactly_zero(adata: AnnData) -> None:
    cc.tl.importance(adata)
    unread = ~adata.var_names.isin(carried(adata).genes)
    assert unread.sum() == 10
    for column in ("importance", "importance_se"):
        assert (adata.var.loc[unread, column] == 0).all()
        assert (adata.var.loc[PLANTED, column] != 0).all()
    assert (adata.varm["importance_by_class"][unread] == 0).all()


def test_planted_genes_come_first(adata: AnnData) -> None:
    cc.tl.importance(adata, rows="train")
    noise = adata.var["importance"].drop(PLANTED)
    assert adata.var.loc[PLANTED, "importance"].median() > 3 * noise.max()
    assert set(adata.var["importance"].nlargest(5).index) < set(PLANTED)


def test_one_repeat_has_no_error(adata: AnnData) -> None:
    cc.tl.importance(adata, n_repeats=1)
    assert adata.var["importance_se"].isna().all()
    assert adata.var["importance"].notna().all()


def test_a_class_without_rows_is_nan(adata: AnnData) -> None:
    mask = (adata.obs["cell_type"] != "NK").to_numpy()
    cc.tl.importance(adata, rows=mask, n_repeats=1)
    by_class = adata.varm["importance_by_class"]
    assert np.isnan(by_class[:, 1]).all()
    assert np.isfinite(by_class[:, [0, 2]]).all()


def test_same_seed_same_bits_and_generators_are_left_alone(adata: AnnData) -> None:
    state = torch.get_rng_state()
    legacy = np.random.get_state()[1].copy()  # noqa: NPY002 (the global generator is what is looked at)
    first, second, other = (cc.tl.importance(adata, rng=rng, copy=True) for rng in (3, np.random.default_rng(3), 4))
    assert first.var["importance"].to_numpy().tobytes() == second.var["importance"].to_numpy().tobytes()
    assert (first.var["importance"] != other.var["importance"]).any()
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == legacy).all()  # noqa: NPY002


@pytest.mark.parametrize(
    "storage",
    [pytest.param(np.asarray, id="dense"), pytest.param(csr_matrix, id="csr"), pytest.param(csc_matrix, id="csc")],
)
def test_storage_does_not_matter(adata: AnnData, storage: type) -> None:
    expected = cc.tl.importance(adata, copy=True).var["importance"]
    adata.X = storage(adata.X.toarray())
    cc.tl.importance(adata)
    assert adata.var["importance"].to_numpy().tobytes() == expected.to_numpy().tobytes()


def test_copy_and_key_added(adata: AnnData) -> None:
    before = keys(adata)
    copy = cc.tl.importance(adata, key_added="needed", copy=True)
    assert keys(adata) == before
    after = keys(copy)
    assert {(slot, key) for slot in after for key in after[slot] - before[slot]} == {
        (slot, key.replace("importance", "needed")) for slot, key in WRITTEN
    }
    cc.tl.importance(adata)
    pd.testing.assert_series_equal(copy.var["needed"], adata.var["importance"], check_names=False)


def test_a_view_is_served(adata: AnnData) -> None:
    cc.tl.importance(adata, rows="test")
    view = adata[:, ::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cc.tl.importance(view, carried(adata), rows="test", key_added="again")
    assert not view.is_view
    np.testing.assert_allclose(view.var["again"], view.var["importance"], rtol=0, atol=1e-7)


def test_genes_are_matched_by_name(adata: AnnData, tmp_path: Path) -> None:
    cc.tl.importance(adata, n_repeats=2)
    carried(adata).save(tmp_path / "model.safetensors")
    query = adata[:, np.random.default_rng(0).permutation(30)].copy()
    del query.uns["cellclf"]
    query.var["symbol"] = query.var_names
    query.var_names = [f"ENSG{i}" for i in range(30)]
    cc.tl.importance(query, tmp_path / "model.safetensors", gene_symbols="symbol", n_repeats=2, key_added="again")
    np.testing.assert_allclose(query.var["again"], query.var["importance"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["permutation", "weights"])
def test_missing_genes_are_counted_once(adata: AnnData, method: str) -> None:
    query = adata[:, 2:].copy()
    with pytest.warns(UserWarning, match="2 of the classifier's 20 genes are not in adata") as caught:
        cc.tl.importance(query, method=method)
    assert len(caught) == 1
    assert query.var["importance"].shape == (28,)
    assert (query.var.loc[PLANTED[2:], "importance"] != 0).all()


@pytest.mark.parametrize("file", ["cells.h5ad", "cells.zarr"])
@pytest.mark.parametrize("method", ["permutation", "weights"])
def test_files_keep_what_is_written(adata: AnnData, tmp_path: Path, file: str, method: str) -> None:
    cc.tl.importance(adata, method=method)
    write, read = ("write_h5ad", anndata.read_h5ad) if file.endswith("h5ad") else ("write_zarr", anndata.read_zarr)
    getattr(adata, write)(tmp_path / file)
    back = read(tmp_path / file)
    pd.testing.assert_frame_equal(back.var[["importance", "importance_se"]], adata.var[["importance", "importance_se"]])
    assert [str(name) for name in back.uns["importance"]["classes"]] == ["B", "NK", "T/CD4"]
    assert str(back.uns["importance"]["method"]) == method
    assert ("importance_by_class" in back.varm) == (method == "permutation")


def test_weights_are_the_sums_for_scaled_genes(adata: AnnData) -> None:
    before = keys(adata)
    cc.tl.importance(adata, method="weights")
    clf = carried(adata)
    weight = clf.network.first_linear.weight.detach().numpy()
    expected = pd.Series(0.0, adata.var_names)
    for j, gene in enumerate(clf.genes):
        expected[gene] = sum(abs(float(w)) for w in weight[:, j]) * float(clf.preprocessing.weight[j])
    np.testing.assert_allclose(adata.var["importance"], expected, rtol=1e-6)
    assert expected.max() > 0
    assert adata.var["importance_se"].isna().all()
    after = keys(adata)
    assert {(slot, key) for slot in after for key in after[slot] - before[slot]} == set(WRITTEN) - {WRITTEN[2]}


def test_weights_take_an_earlier_result_by_class_away(adata: AnnData) -> None:
    cc.tl.importance(adata, n_repeats=1)
    cc.tl.importance(adata, n_repeats=1, key_added="other")
    cc.tl.importance(adata, method="weights")
    assert "importance_by_class" not in adata.varm
    assert "other_by_class" in adata.varm


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"method": "shap"}, ValueError, "method='shap' is not known", id="method"),
        pytest.param({"n_repeats": 0}, ValueError, "n_repeats=0 is no number", id="no-repeats"),
        pytest.param({"n_repeats": 2.5}, ValueError, "n_repeats=2.5 is no number", id="half-a-repeat"),
        pytest.param({"n_repeats": True}, ValueError, "n_repeats=True is no number", id="boolean-repeats"),
        pytest.param({"rows": "tset"}, ValueError, "rows='tset' names no part", id="rows"),
        pytest.param({"rows": np.arange(120) == 5}, ValueError, "Only 1 of the chosen rows", id="one-row"),
        pytest.param({"rows": np.zeros(120, bool)}, ValueError, "None of the chosen rows", id="no-row"),
        pytest.param({"label": "celltype"}, KeyError, "label='celltype' is not in adata.obs", id="label"),
        pytest.param({"layer": "counts"}, KeyError, "layer='counts' is not in adata.layers", id="layer"),
        pytest.param({"gene_symbols": "symbol"}, KeyError, "gene_symbols='symbol' is not in", id="gene-symbols"),
        pytest.param({"method": "weights", "rows": "test"}, ValueError, "reads no cells, so 'rows'", id="weights-rows"),
        pytest.param({"method": "weights", "n_repeats": 3}, ValueError, "'n_repeats' would", id="weights-repeats"),
        pytest.param({"method": "weights", "rng": 1}, ValueError, "'rng' would do nothing", id="weights-rng"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    adata: AnnData, options: dict[str, object], error: type[Exception], message: str
) -> None:
    before = keys(adata)
    with pytest.raises(error, match=message):
        cc.tl.importance(adata, **options)
    assert keys(adata) == before


def test_no_classifier(small_adata: AnnData) -> None:
    with pytest.raises(KeyError, match="holds no classifier"):
        cc.tl.importance(small_adata)


def test_rows_without_a_label_are_refused(adata: AnnData) -> None:
    clf = carried(adata)
    adata.obs["other"] = pd.Categorical(["x", "y"] * 60)
    with (
        pytest.warns(UserWarning, match="120 cells have classes that the classifier never saw"),
        pytest.raises(ValueError, match="rows"),
    ):
        cc.tl.importance(adata, clf, label="other")


@pytest.mark.parametrize("method", ["permutation", "weights"])
def test_an_embedding_has_no_genes(small_adata: AnnData, method: str) -> None:
    small_adata.obsm["X_low"] = small_adata.X[:, [0, 3, 6]].toarray() + np.float32(0.5)
    cc.tl.train(small_adata, "cell_type", use_rep="X_low", network=cc.nn.Linear(), fit=FIT)
    with pytest.raises(ValueError, match="trained on the embedding 'X_low', so there are no genes"):
        cc.tl.importance(small_adata, method=method)
