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
from sklearn.metrics import accuracy_score, f1_score
from torch.nn.functional import cross_entropy

import cellclf as cc
from cellclf.attribution import _permutation, attributions
from cellclf.tl import _attributed, _gene_groups, _lesson, _shadows, _trials

WRITTEN = [
    ("var", "importance"),
    ("var", "importance_se"),
    ("var", "importance_qvalue"),
    ("varm", "importance_by_class"),
    ("uns", "importance"),
]
GRADIENTS = ["integrated_gradients", "deep_lift", "gradient_shap"]
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


def read(adata: AnnData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the network reads of every cell, its class, and where the classifier's genes stand."""
    clf = carried(adata)
    columns = adata.var_names.get_indexer(clf.genes)
    counts = adata.X.toarray()
    values = np.log1p(counts[:, columns] / counts.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    return clf.inputs(values), pd.Index(clf.classes).get_indexer(adata.obs["cell_type"].astype(str)), columns


def slow(adata: AnnData, mask: np.ndarray, n_repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Shuffle the scaled values of each gene in turn and run the whole network; rise per gene, repeat and row."""
    clf = carried(adata)
    inputs, codes, columns = read(adata)
    x, y = torch.from_numpy(inputs[mask]), torch.from_numpy(codes[mask])
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
    assert record["measure"] == "loss"
    assert record["unshuffled"] == pytest.approx(cc.tl.evaluate(adata).log_loss, abs=1e-5)


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


@pytest.mark.parametrize("method", ["permutation", "weights", "ablation", *GRADIENTS])
def test_the_same_seed_gives_the_same_bits_with_every_method(adata: AnnData, method: str) -> None:
    options = {"method": method} | ({"groups": SETS, "n_repeats": 2} if method == "ablation" else {})
    options |= {"null": None} if method in {"permutation", "weights"} else {}
    one, same = (cc.tl.importance(adata, copy=True, **options).var[["importance", "importance_se"]] for _ in range(2))
    assert one.to_numpy().tobytes() == same.to_numpy().tobytes()
    if method in {"permutation", "ablation", "gradient_shap"}:
        other = cc.tl.importance(adata, copy=True, rng=1, **options).var["importance"]
        assert (one["importance"].dropna() != other.dropna()).any()


@pytest.mark.parametrize("storage", ["dense", "csr", "csc", "backed"])
@pytest.mark.parametrize("method", ["permutation", *GRADIENTS])
def test_storage_does_not_matter(adata: AnnData, storage: str, method: str, tmp_path: Path) -> None:
    options = {"null": None} if method == "permutation" else {}
    expected = cc.tl.importance(adata, method=method, copy=True, **options).var["importance"]
    adata = stored(adata, storage, tmp_path)
    cc.tl.importance(adata, method=method, **options)
    assert adata.var["importance"].to_numpy().tobytes() == expected.to_numpy().tobytes()


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")  # a convolution hardly learns 30 genes
@pytest.mark.parametrize("kind", ["linear", "mlp", "convolution"])
@pytest.mark.parametrize("storage", ["dense", "csr", "csc", "backed"])
def test_a_gene_that_is_constant_where_it_is_measured_is_exactly_zero(
    small_adata: AnnData, storage: str, kind: str, tmp_path: Path
) -> None:
    small = {"hidden": (8,)}
    networks = {"linear": cc.nn.Linear(), "mlp": cc.nn.MLP(**small), "convolution": cc.nn.CNN1d(channels=(2,), **small)}
    x = np.log1p(small_adata.X.toarray())  # values, not counts: no total moves them
    small_adata.obs["split"] = pd.Categorical(np.where(np.arange(120) < 80, "train", "test"))
    x[:, 4] = np.where(small_adata.obs["split"] == "test", 0.7, x[:, 4])
    small_adata.X = csr_matrix(x)
    fit = cc.Fit(epochs=3, batch_size=16, device="cpu")
    cc.tl.train(small_adata, "cell_type", network=networks[kind], fit=fit, genes="all")
    adata = stored(small_adata, storage, tmp_path)
    cc.tl.importance(adata, null=None)
    assert adata.var.loc["gene4", ["importance", "importance_se"]].tolist() == [0, 0]
    assert (adata.varm["importance_by_class"][4] == 0).all()
    assert adata.var["importance"].ne(0).sum() > 10


@pytest.mark.parametrize(
    "options",
    [
        {"null": None},
        *({"method": "weights", "norm": norm, "null": None} for norm in ("sum", "l2", "path")),
        *({"method": method, "baseline": base} for method in GRADIENTS for base in ("mean", "zeros", "class")),
    ],
    ids=lambda options: "-".join(str(value) for value in options.values() if value) or "permutation",
)
@pytest.mark.parametrize("power", [0.75, 0.0])
def test_a_gene_that_never_varies_is_exactly_zero_by_every_method(
    small_adata: AnnData, options: dict[str, str | None], power: float
) -> None:
    x = np.log1p(small_adata.X.toarray())
    x[:, 4], x[:, 11] = 0.7, 0
    small_adata.X = csr_matrix(x)
    fit = cc.Fit(epochs=3, batch_size=16, device="cpu", information_power=power)
    cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP(hidden=(8,)), fit=fit, genes="all")
    cc.tl.importance(small_adata, **options)
    silent = small_adata.var_names.isin(["gene4", "gene11"])
    assert (small_adata.var.loc[silent, "importance"] == 0).all()
    told = [gene for gene in PLANTED if gene != "gene4"]
    assert (small_adata.var.loc[told, "importance"] != 0).all()
    if "importance_by_class" in small_adata.varm:
        assert (small_adata.varm["importance_by_class"][silent] == 0).all()


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


@pytest.mark.parametrize("norm", ["sum", "l2"])
def test_weights_are_added_up_for_scaled_genes(adata: AnnData, norm: str) -> None:
    before = keys(adata)
    cc.tl.importance(adata, method="weights", norm=norm)
    clf = carried(adata)
    weight = clf.network.first_linear.weight.detach().numpy()
    expected = pd.Series(0.0, adata.var_names)
    for j, gene in enumerate(clf.genes):
        each = [abs(float(w)) for w in weight[:, j]]
        size = sum(each) if norm == "sum" else sum(w**2 for w in each) ** 0.5
        expected[gene] = size * float(clf.preprocessing.weight[j])
    np.testing.assert_allclose(adata.var["importance"], expected, rtol=1e-6)
    assert expected.max() > 0
    assert adata.var["importance_se"].isna().all()
    assert adata.uns["importance"]["norm"] == norm
    after = keys(adata)
    assert {(slot, key) for slot in after for key in after[slot] - before[slot]} == set(WRITTEN) - {WRITTEN[3]}


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
        pytest.param({"method": "weights", "rows": "test"}, ValueError, "makes no use of 'rows'", id="weights-rows"),
        pytest.param({"method": "weights", "n_repeats": 3}, ValueError, "no use of 'n_repeats'", id="weights-repeats"),
        pytest.param({"method": "weights", "null": None, "rng": 1}, ValueError, "no use of 'rng'", id="weights-rng"),
        pytest.param({"method": "deep_lift", "n_steps": 9}, ValueError, "no use of 'n_steps'", id="deep-lift-steps"),
        pytest.param({"method": "deep_lift", "null": "shadow"}, ValueError, "no use of 'null'", id="deep-lift-null"),
        pytest.param({"baseline": "zeros"}, ValueError, "no use of 'baseline'", id="permutation-baseline"),
        pytest.param({"measure": "auc"}, ValueError, "measure='auc' is not known", id="measure"),
        pytest.param({"norm": "max"}, ValueError, "norm='max' is not known", id="norm"),
        pytest.param({"null": "knockoff"}, ValueError, "null='knockoff' is not known", id="null"),
        pytest.param(
            {"method": "deep_lift", "baseline": "median"}, ValueError, "baseline='median' is not", id="baseline"
        ),
        pytest.param({"method": "gradient_shap", "n_steps": 0}, ValueError, "n_steps=0 is no number", id="steps"),
        pytest.param({"within": "batch"}, KeyError, "within='batch' is not in adata.obs", id="within"),
        pytest.param({"method": "ablation"}, ValueError, "or use cc.tl.ablation", id="ablation-of-what"),
        pytest.param(
            {"method": "ablation", "groups": {"a": [f"gene{j}" for j in range(20)]}},
            ValueError,
            "'a' holds all 20 genes",
            id="ablation-of-everything",
        ),
        pytest.param({"method": "ablation", "groups": 0.999}, ValueError, "joins no genes", id="ablation-of-nothing"),
        pytest.param({"groups": 0}, ValueError, "groups=0 describes no groups", id="no-groups"),
        pytest.param({"groups": 1.5}, ValueError, "groups=1.5 describes no groups", id="correlation-above-one"),
        pytest.param({"groups": 0.9, "null": "shadow"}, ValueError, "not in groups", id="groups-and-null"),
        pytest.param({"groups": {"a": ["nothing"]}}, ValueError, "holds no gene that the classifier", id="no-gene"),
        pytest.param({"groups": {"a": "gene1"}}, TypeError, "is the string 'gene1'", id="a-string"),
        pytest.param(
            {"groups": {"a": ["gene1", "gene2"], "b": ["gene2"]}},
            ValueError,
            "'gene2' is in the groups 'a' and 'b'",
            id="twice",
        ),
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


# -- Ctrl-C ---------------------------------------------------------------------------------------------------------------


def stopped(monkeypatch: pytest.MonkeyPatch, module: object, name: str, after: int) -> None:
    """Let Ctrl-C come in the call of a function after so many."""
    function, calls = getattr(module, name), []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, interrupted)


def stored(adata: AnnData, storage: str, path: Path) -> AnnData:
    """Give the same cells as another matrix, or on disk."""
    if storage == "backed":
        adata.write_h5ad(path / "cells.h5ad")
        return anndata.read_h5ad(path / "cells.h5ad", backed="r")
    adata.X = {"dense": np.asarray, "csr": csr_matrix, "csc": csc_matrix}[storage](adata.X.toarray())
    return adata


every_storage = pytest.mark.parametrize("storage", ["dense", "csr", "csc", "backed"])


@every_storage
@pytest.mark.parametrize("n_repeats", [1, 3])
def test_permutation_that_is_interrupted_keeps_the_genes_that_are_done(
    adata: AnnData, storage: str, n_repeats: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = stored(adata, storage, tmp_path)
    cc.tl.importance(adata, n_repeats=n_repeats, key_added="whole")
    assert not adata.uns["whole"]["interrupted"]
    stopped(monkeypatch, _permutation, "_rises", 7)
    monkeypatch.setattr(_permutation, "PAIRS", 1)
    cc.tl.importance(adata, n_repeats=n_repeats)
    done = adata.var_names.isin(carried(adata).genes[:7])
    unread = ~adata.var_names.isin(carried(adata).genes)
    assert done.sum() == 7
    for column in ("importance", "importance_se"):
        mine, whole = adata.var[column], adata.var[column.replace("importance", "whole")]
        np.testing.assert_allclose(mine[done | unread], whole[done | unread], rtol=1e-5, atol=1e-6)
        assert mine[~done & ~unread].isna().all()
    by_class, whole = (adata.varm[f"{key}_by_class"] for key in ("importance", "whole"))
    np.testing.assert_allclose(by_class[done], whole[done], rtol=1e-5, atol=1e-6)
    assert adata.uns["importance"]["interrupted"]
    assert "importance_qvalue" not in adata.var  # no null of genes that nobody waited for
    assert set(cc.get.importance(adata, n_genes=7).index) >= set(adata.var_names[done & (adata.var["whole"] > 0)])
    table = cc.tl.importance_check(adata, rankings=["importance", "whole"], sizes=[3], n_random=1).curves
    assert table["log_loss"].notna().all()


@pytest.mark.parametrize("options", [{}, {"groups": {"first": PLANTED}}, {"method": "integrated_gradients"}])
def test_nothing_is_written_before_anything_is_finished(
    adata: AnnData, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    cc.tl.importance(adata, null=None)
    before, values = keys(adata), adata.var.copy()
    stopped(monkeypatch, _permutation, "_rises", 0)
    stopped(monkeypatch, _attributed, "attributions", 0)
    with pytest.raises(KeyboardInterrupt):
        cc.tl.importance(adata, **options)
    assert keys(adata) == before
    pd.testing.assert_frame_equal(adata.var, values)


def test_groups_that_are_interrupted(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_permutation, "PAIRS", 1)
    groups = {"first": PLANTED, "noise": ["gene15", "gene16"]}
    stopped(monkeypatch, _permutation, "_rises", 10)  # nine genes alone, then the first group
    cc.tl.importance(adata, groups=groups)
    record = adata.uns["importance"]
    assert record["interrupted"]
    assert np.isfinite(record["group_importance"]).tolist() == [True, False]
    assert adata.var.loc[["gene15", "gene16"], "importance"].isna().all()
    assert adata.var["importance"].notna().sum() == 28


def test_a_null_whose_measurement_is_interrupted(
    adata: AnnData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped(monkeypatch, _permutation, "_rises", 3)  # the importances and two networks; the third has no say
    cc.tl.importance(adata)
    assert not adata.uns["importance"]["interrupted"]
    assert adata.uns["importance"]["n_networks"] == 2
    assert "the null rests on 2 of 5 networks" in caplog.text
    assert adata.var["importance_qvalue"].notna().all()


@every_storage
def test_gradients_that_are_interrupted_are_those_of_the_first_cells(
    adata: AnnData, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = stored(adata, storage, tmp_path)
    monkeypatch.setattr(_attributed, "AT_ONCE", 10)
    first, every = np.arange(120) < 30, np.ones(120, dtype=bool)
    cc.tl.importance(adata, method="deep_lift", rows=first, key_added="first")
    stopped(monkeypatch, _attributed, "attributions", 3)
    cc.tl.importance(adata, method="deep_lift", rows=every)
    assert adata.uns["importance"]["interrupted"]
    assert not adata.uns["first"]["interrupted"]
    assert adata.uns["importance"]["n_rows"] == adata.uns["first"]["n_rows"] == 30
    for column in ("", "_se"):
        np.testing.assert_allclose(adata.var[f"importance{column}"], adata.var[f"first{column}"], rtol=1e-12)
    np.testing.assert_allclose(adata.varm["importance_by_class"], adata.varm["first_by_class"], rtol=1e-12)


# -- Measures, groups, strata -----------------------------------------------------------------------------------------


def test_accuracy_and_macro_f1(adata: AnnData) -> None:
    evaluation = cc.tl.evaluate(adata, rows="train")
    for measure, whole in (("accuracy", evaluation.accuracy), ("macro_f1", evaluation.macro_f1)):
        cc.tl.importance(adata, measure=measure, rows="train", null=None, key_added=measure)
        assert adata.uns[measure]["unshuffled"] == pytest.approx(whole)
        assert adata.uns[measure]["measure"] == measure
        assert adata.var[measure].abs().max() <= 1


@pytest.mark.parametrize("measure", ["loss", "accuracy", "macro_f1"])
@pytest.mark.parametrize("within", [None, "batch", "cell_type"])
def test_groups_and_strata_equal_running_the_whole_network(adata: AnnData, measure: str, within: str | None) -> None:
    adata.obs["batch"] = pd.Categorical.from_codes(np.arange(120) % 4 - 1, categories=["x", "y", "z"])  # -1: missing
    groups = {"first": PLANTED, "noise": ["gene16", "gene15", "gene25"]}
    cc.tl.importance(adata, measure=measure, groups=groups, within=within, n_repeats=2, rows="train")
    mask = (adata.obs["split"] == "train").to_numpy()
    clf, (inputs, codes, _) = carried(adata), read(adata)
    x, y = inputs[mask], codes[mask]

    def judged(inputs: np.ndarray) -> float:
        with torch.no_grad():
            logits = (clf.network(torch.from_numpy(inputs)) / clf.temperature).double()
        if measure == "loss":
            return float(cross_entropy(logits, torch.from_numpy(y)))
        guess = logits.argmax(dim=1).numpy()
        return -accuracy_score(y, guess) if measure == "accuracy" else -f1_score(y, guess, average="macro")

    batch = None if within is None else adata.obs[within].astype(object).where(adata.obs[within].notna(), None)[mask]
    seed = int(np.random.default_rng(0).integers(2**62, size=2)[0])
    sets = [[*groups["first"]], ["gene15", "gene16"], *([f"gene{j}"] for j in range(9, 20) if j not in {15, 16})]
    rises = np.zeros((len(sets), 2))
    for repeat in range(2):
        generator, order = np.random.default_rng([seed, repeat]), np.arange(len(x))
        if batch is None:
            order = generator.permutation(len(x))
        else:
            for name in sorted(batch.unique(), key=repr):
                rows = np.flatnonzero(batch.isna() if name is None else batch == name)
                order[rows] = generator.permutation(rows)
        for line, genes in enumerate(sets):
            places = pd.Index(clf.genes).get_indexer(genes)
            shuffled = x.copy()
            shuffled[:, places] = x[order][:, places]
            rises[line, repeat] = judged(shuffled) - judged(x)
    if measure == "loss" or within != "cell_type":  # within a class the genes may tell as much as before
        assert np.abs(rises[0]).max() > 1e-3
    for line, genes in enumerate(sets):
        error = rises[line].std(ddof=1) / np.sqrt(2)
        np.testing.assert_allclose(adata.var.loc[genes, "importance"], rises[line].mean(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(adata.var.loc[genes, "importance_se"], error, rtol=0, atol=1e-6)
    assert adata.uns["importance"]["unshuffled"] == pytest.approx(abs(judged(x)), abs=1e-6)


def test_groups_are_shuffled_together_and_shared(adata: AnnData) -> None:
    groups = {"first": PLANTED, "noise": ["gene15", "gene16"], "unread too": ["gene17", "gene25"]}
    cc.tl.importance(adata, groups=groups, rows="train")
    importance = adata.var["importance"]
    assert adata.var["importance_group"].cat.categories.tolist() == list(groups)
    assert adata.var["importance_group"].value_counts().to_dict() == {"first": 9, "noise": 2, "unread too": 1}
    assert importance[PLANTED].nunique() == 1
    record = adata.uns["importance"]
    assert record["group_sizes"].tolist() == [9, 2, 1]
    assert record["group_importance"].tolist() == [importance["gene0"], importance["gene15"], importance["gene17"]]
    cc.tl.importance(adata, rows="train", null=None, key_added="alone")
    assert importance["gene0"] > 3 * adata.var["alone"].max()
    assert importance["gene12"] == adata.var["alone"]["gene12"]
    assert "importance_qvalue" not in adata.var


def test_correlated_genes_form_clusters(small_adata: AnnData) -> None:
    x = small_adata.X.toarray()
    x[:, 10:13] = x[:, [0]]
    small_adata.X = x
    cc.tl.train(small_adata, "cell_type", network=cc.nn.Linear(), fit=FIT, genes="all")
    cc.tl.importance(small_adata, groups=0.9, rows="train")
    joined = small_adata.var["importance_group"]
    assert joined.notna().sum() == 4
    assert joined[["gene0", "gene10", "gene11", "gene12"]].nunique() == 1
    cc.tl.importance(small_adata, groups=5, rows="train")
    assert small_adata.var["importance_group"].nunique() <= 5


@pytest.mark.parametrize("groups", [0.3, 6])
def test_clusters_are_joined_by_average_correlation(adata: AnnData, groups: float) -> None:
    cc.tl.importance(adata, groups=groups, rows="train", n_repeats=1)
    x = read(adata)[0][(adata.obs["split"] == "train").to_numpy()]
    varying = np.flatnonzero(np.ptp(x, axis=0) > 0)  # others tell nothing, and have no weight
    near = np.abs(np.corrcoef(x[:, varying].T.astype(np.float64)))
    clusters = [[j] for j in range(len(varying))]
    while True:  # the two that are nearest on average, until none is near enough or few are left
        pairs = [
            (near[np.ix_(one, other)].mean(), i, j)
            for i, one in enumerate(clusters)
            for j, other in enumerate(clusters[:i])
        ]
        best, i, j = max(pairs)
        if best < groups if groups < 1 else len(clusters) <= groups:
            break
        clusters[j] += clusters.pop(i)
    expected = {frozenset(f"gene{varying[j]}" for j in cluster) for cluster in clusters if len(cluster) > 1}
    joined = adata.var["importance_group"].dropna()
    assert {frozenset(joined.index[joined == name]) for name in joined.cat.categories} == expected
    assert len(expected) > 1


def test_constant_genes_are_in_no_cluster() -> None:
    """In float32 the mean of equal values may differ from each of them."""
    rng = np.random.default_rng(0)
    x = np.repeat(np.array([[0, 0, 0.1, -0.3, 1.7]], dtype=np.float32), 70, axis=0)
    x[:, :2] = rng.normal(size=(70, 1))
    assert (x.std(axis=0) > 0).sum() > 2
    assert {name: columns.tolist() for name, columns in _gene_groups._clusters(0.9, x).items()} == {"cluster1": [0, 1]}


def test_within_classes_a_gene_tells_nothing_of_the_class(adata: AnnData) -> None:
    cc.tl.importance(adata, rows="train", null=None)
    cc.tl.importance(adata, rows="train", null=None, within="cell_type", key_added="within")
    assert adata.var["within"].max() < 0.2 * adata.var["importance"].max()
    assert (adata.var.loc[PLANTED, "within"] != 0).any()


def test_a_result_without_groups_takes_the_groups_away(adata: AnnData) -> None:
    cc.tl.importance(adata, groups={"a": PLANTED})
    cc.tl.importance(adata)
    assert "importance_group" not in adata.var
    cc.tl.importance(adata, null=None)
    assert "importance_qvalue" not in adata.var


# -- Ablation -----------------------------------------------------------------------------------------------------------

SETS = {"markers": PLANTED, "noise": ["gene10", "gene11"]}


def test_ablation_is_the_difference_of_trainings(adata: AnnData) -> None:
    cc.tl.importance(adata, method="ablation", groups=SETS, rows="train", n_repeats=2)
    record, importance = adata.uns["importance"], adata.var["importance"]
    found = cc.tl.ablation(adata, genes=SETS, rows="train", n_repeats=2, modes="remove", orders="given").trainings
    everything = found.loc[found["mode"] == "all", "log_loss"].to_numpy()
    assert record["group_names"].tolist() == list(SETS)
    assert record["unablated"] == pytest.approx(everything.mean(), abs=0.1)
    assert importance[PLANTED].nunique() == 1
    assert importance["gene0"] > 3 * abs(importance["gene10"]) + 1e-3
    assert adata.var.loc["gene0", "importance_se"] >= 0
    without = (found.loc[found["set"] == "markers", "log_loss"].to_numpy() - everything).mean()
    assert importance["gene0"] == pytest.approx(without, rel=0.25)
    unread = [f"gene{j}" for j in range(20, 30)]
    assert (importance[unread] == 0).all()
    assert importance.drop([*PLANTED, "gene10", "gene11", *unread]).isna().all()
    assert adata.varm["importance_by_class"].shape == (30, 3)


@pytest.mark.parametrize("after", [2, 5])
def test_ablation_that_is_interrupted(adata: AnnData, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    teach, calls = _trials.teach, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return teach(*arguments, **options)

    monkeypatch.setattr(_trials, "teach", interrupted)
    options = {"method": "ablation", "groups": SETS, "n_repeats": 3}
    if after < 3:
        with pytest.raises(KeyboardInterrupt):
            cc.tl.importance(adata, **options)
        return
    cc.tl.importance(adata, **options)
    assert adata.uns["importance"]["interrupted"]
    assert adata.uns["importance"]["n_repeats"] == 1
    assert adata.var["importance_se"].isna().all()
    table = cc.get.importance(adata, n_genes=11)
    assert table["importance"].notna().all()


# -- The null -----------------------------------------------------------------------------------------------------------


def cells(seed: int, *, n_planted: int, shuffled: bool = False, n_genes: int = 150) -> AnnData:
    """Draw 240 cells of counts; some genes tell three classes apart, if the labels are not shuffled."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 240)
    rates = np.tile(rng.gamma(2, 0.5, n_genes), (240, 1))
    for gene in range(n_planted):
        rates[y == gene % 3, gene] *= 5
    counts = csr_matrix(rng.poisson(rates).astype(np.float32))
    y = rng.permutation(y) if shuffled else y
    obs = pd.DataFrame({"kind": pd.Categorical(np.array(["a", "b", "c"])[y])}, index=[f"c{i}" for i in range(240)])
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"g{j}" for j in range(n_genes)]))


LINEAR = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=12, device="cpu")}


@pytest.mark.parametrize("method", ["permutation", "weights"])
@pytest.mark.parametrize("selected", [pytest.param(False, id="all-genes"), pytest.param(True, id="selected-genes")])
@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")
def test_the_null_holds_its_level_on_shuffled_labels(method: str, selected: bool) -> None:
    passing = []
    for seed in range(8 if method == "weights" else 4):
        adata = cells(seed, n_planted=45, shuffled=True)
        if selected:
            cc.pp.split(adata, "kind")
            cc.pp.gene_scores(adata, "kind")
            cc.pp.select_genes(adata, 60)
        cc.tl.train(adata, "kind", genes="auto" if selected else "all", **LINEAR)
        cc.tl.importance(adata, method=method)
        passing.append(int((adata.var["importance_qvalue"] <= 0.05).sum()))
        assert adata.uns["importance"]["n_passing"] == passing[-1]
    assert sum(n > 0 for n in passing) <= 1


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")
def test_it_is_the_shadows_that_hold_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of genes that were chosen on the rows that judge them many would pass, if their shadows had not to compete."""
    qvalues, winners = _shadows.shadow_qvalues, _shadows._winners
    passing: dict[str, list[int]] = {"as it is": [], "no competition": [], "no shadows": []}
    for seed in range(3):
        adata = cells(seed, n_planted=0, n_genes=1000)
        cc.pp.split(adata, "kind")
        cc.pp.gene_scores(adata, "kind")
        cc.pp.select_genes(adata, 50)
        cc.tl.train(adata, "kind", **LINEAR)
        for way, counts in passing.items():
            every = (lambda adata, codes, columns, *_, **__: columns) if way == "no competition" else winners
            few = (lambda genes, shadows: qvalues(genes, shadows[:0])) if way == "no shadows" else qvalues
            monkeypatch.setattr(_shadows, "_winners", every)
            monkeypatch.setattr(_shadows, "shadow_qvalues", few)
            cc.tl.importance(adata, rows="train")
            counts.append(adata.uns["importance"]["n_passing"])
    assert passing["as it is"] == [0, 0, 0]
    assert min(passing["no competition"]) > 0
    assert min(passing["no shadows"]) >= 10


def test_planted_genes_pass_and_few_others_do() -> None:
    adata = cells(0, n_planted=45)
    cc.tl.train(adata, "kind", genes="all", **LINEAR)
    cc.tl.importance(adata, method="weights")
    passing = adata.var["importance_qvalue"] <= 0.05
    assert passing[:45].sum() >= 40
    assert passing[45:].sum() <= 3
    assert adata.uns["importance"]["n_shadows"] == 150


@pytest.mark.parametrize("rows", ["test", "train"])
def test_planted_genes_pass_on_few_cells(rows: str) -> None:
    adata = cells(0, n_planted=45)
    cc.tl.train(adata, "kind", genes="all", **LINEAR)
    cc.tl.importance(adata, rows=rows)
    passing = adata.var["importance_qvalue"] <= 0.05
    assert passing[:45].sum() >= 15
    assert passing[45:].sum() <= 3
    assert adata.uns["importance"]["n_networks"] == 5
    assert adata.uns["importance"]["n_shadows"] == 5 * 150


def test_no_network_of_the_null_is_judged_on_rows_it_learnt_from() -> None:
    codes, learnt = np.arange(60) % 3, np.arange(60) < 40
    apart = _shadows._parts(codes, learnt, ~learnt, 3, np.random.default_rng(0))
    assert all((taught == learnt).all() and (heard == ~learnt).all() for taught, heard in apart)
    judged = np.arange(60) >= 10  # some were learnt from, some not
    mixed = _shadows._parts(codes, learnt, judged, 5, np.random.default_rng(0))
    assert not any((taught & heard).any() for taught, heard in mixed)
    assert (sum(heard.astype(int) for _, heard in mixed) == judged).all()
    assert all((taught | heard)[learnt].all() for taught, heard in mixed)
    assert all(np.ptp(np.bincount(codes[heard])) <= 1 for _, heard in mixed)


def test_the_null_takes_some_of_many_cells(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.repeat([0, 1, 2], [900, 90, 10])
    rows = np.arange(1000) % 2 == 0
    kept = _shadows._at_most(100, rows, codes, np.random.default_rng(0))
    assert not (kept & ~rows).any()
    np.testing.assert_array_equal(np.bincount(codes[kept]), [90, 45, 5])
    assert _shadows._at_most(500, rows, codes, np.random.default_rng(0)) is rows

    learnt_from = []
    teach = _shadows.teach

    def spy(model: cc.Classifier, material: _lesson.Lesson, **options: object) -> _lesson.Pupil:
        learnt_from.append(len(material.y))
        return teach(model, material, **options)

    monkeypatch.setattr(_shadows, "teach", spy)
    monkeypatch.setattr(_shadows, "MOST_CELLS", 60)
    monkeypatch.setattr(_shadows, "FEWEST_OF_CLASS", 3)
    cc.tl.importance(adata, rows="train")
    assert len(learnt_from) == 5
    assert all(35 < n <= 60 for n in learnt_from)
    assert (adata.var["importance_qvalue"][PLANTED] < 0.5).all()


@pytest.mark.parametrize("after", [0, 2])
def test_a_null_that_is_interrupted(adata: AnnData, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    teach, calls = _shadows.teach, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return teach(*arguments, **options)

    cc.tl.importance(adata, null=None, key_added="alone")
    monkeypatch.setattr(_shadows, "teach", interrupted)
    cc.tl.importance(adata)
    np.testing.assert_array_equal(adata.var["importance"], adata.var["alone"])
    assert ("importance_qvalue" in adata.var) == (after > 0)
    assert adata.uns["importance"].get("n_networks", 0) == after


def test_shadows_must_win_their_places() -> None:
    adata = cells(1, n_planted=45)
    cc.pp.split(adata, "kind")
    cc.pp.gene_scores(adata, "kind")
    cc.pp.select_genes(adata, 40)
    cc.tl.train(adata, "kind", **LINEAR)
    cc.tl.importance(adata)
    assert adata.uns["importance"]["n_shadows"] == 0  # none tells as much as the last of 40 planted genes
    unread = ~adata.var["selected"]
    assert (adata.var.loc[unread, "importance_qvalue"] == 1).all()


def test_the_null_needs_the_training_rows(adata: AnnData) -> None:
    query = adata[adata.obs["split"] == "test"].copy()
    cc.tl.importance(query)
    assert "importance_qvalue" not in query.var
    with pytest.raises(ValueError, match=r"The classifier learnt from \d+ rows; adata does not seem to hold them"):
        cc.tl.importance(query, null="shadow")


def test_the_null_is_the_same_for_the_same_seed(adata: AnnData) -> None:
    one, same, other = (cc.tl.importance(adata, rng=rng, copy=True).var["importance_qvalue"] for rng in (0, 0, 5))
    assert one.to_numpy().tobytes() == same.to_numpy().tobytes()
    assert one.between(0, 1).all()
    assert (one != other).any()


# -- Weights and gradients ----------------------------------------------------------------------------------------------


def test_paths_have_a_sign_for_each_class(adata: AnnData) -> None:
    cc.tl.importance(adata, method="weights", norm="path")
    by_class = adata.varm["importance_by_class"]
    np.testing.assert_allclose(np.abs(by_class).sum(axis=1), adata.var["importance"], rtol=1e-12)
    for number in range(3):
        own = adata.var_names.isin([f"gene{j}" for j in range(number * 3, number * 3 + 3)])
        assert by_class[own].mean(axis=0).argmax() == number
        assert (by_class[own, number] > 0).all()


@pytest.mark.parametrize("method", GRADIENTS)
@pytest.mark.parametrize("baseline", ["mean", "zeros", "class"])
def test_gradients(adata: AnnData, method: str, baseline: str) -> None:
    before = keys(adata)
    cc.tl.importance(adata, method=method, baseline=baseline, rows="train")
    after = keys(adata)
    found = {(slot, key) for slot in after for key in after[slot] - before[slot]}
    assert found == set(WRITTEN) - {WRITTEN[2]}
    importance, record = adata.var["importance"], adata.uns["importance"]
    sizes = (adata.obs["split"] == "train") @ pd.get_dummies(adata.obs["cell_type"]).astype(float)
    mean = adata.varm["importance_by_class"] @ sizes / sizes.sum()
    np.testing.assert_allclose(mean, importance, atol=1e-12)
    assert record["baseline"] == baseline
    assert 0 <= record["completeness_gap"] < 0.3
    assert (importance[20:] == 0).all()
    assert adata.var["importance_se"].notna().all()
    assert set(importance.nlargest(9).index) == set(PLANTED)


@pytest.mark.parametrize("method", GRADIENTS)
@pytest.mark.parametrize("baseline", ["mean", "zeros", "class"])
def test_gradients_and_their_gap_are_those_of_all_rows_at_once(adata: AnnData, method: str, baseline: str) -> None:
    steps = {} if method == "deep_lift" else {"n_steps": 3}  # few, so that there is a gap to be reported
    cc.tl.importance(adata, method=method, baseline=baseline, rows=np.ones(120, bool), **steps)
    clf, (x, y, columns) = carried(adata), read(adata)
    if baseline == "class":
        train = (adata.obs["split"] == "train").to_numpy()
        means = np.stack([x[train & (y == k)].mean(axis=0) for k in range(3)])
        compared = [np.delete(means, k, axis=0) for k in range(3)]
    else:
        nothing = np.zeros((1, len(columns)), dtype=np.float32)
        compared = [clf.inputs(clf.preprocessing.fill[None] if baseline == "mean" else nothing)] * 3
    seed = int(np.random.default_rng(0).integers(2**61))
    given = {"method": method, "temperature": clf.temperature, "seed": seed} | steps
    parts = attributions(clf.network, x, y, compared, **given).values
    importance = adata.var.iloc[columns]
    np.testing.assert_allclose(importance["importance"], np.abs(parts).mean(axis=0), atol=1e-6)
    error = np.abs(parts).std(axis=0, ddof=1) / np.sqrt(120)
    np.testing.assert_allclose(importance["importance_se"], error, atol=1e-6)
    for k in range(3):
        of_class = np.abs(parts[y == k]).mean(axis=0)
        np.testing.assert_allclose(adata.varm["importance_by_class"][columns, k], of_class, atol=1e-6)

    def score(inputs: np.ndarray, k: int) -> np.ndarray:
        with torch.no_grad():
            logits = clf.network(torch.from_numpy(inputs.astype(np.float32))).double().numpy() / clf.temperature
        return (logits - logits.mean(axis=1, keepdims=True))[:, k]

    start = [rows if method == "gradient_shap" else rows.mean(axis=0, keepdims=True) for rows in compared]
    below = [score(rows, k).mean() for k, rows in enumerate(start)]
    change = np.array([score(x[[i]], k)[0] - below[k] for i, k in enumerate(y)])
    gap = np.abs(parts.sum(axis=1) - change).sum() / np.abs(change).sum()
    assert adata.uns["importance"]["completeness_gap"] == pytest.approx(gap, rel=1e-3, abs=1e-5)
    assert gap > 1e-3 or method == "deep_lift"
    assert adata.uns["importance"]["baseline"] == baseline


@pytest.mark.parametrize("method", ["permutation", "weights", *GRADIENTS])
def test_every_method_finds_the_planted_genes(method: str) -> None:
    adata = cells(3, n_planted=30)
    cc.tl.train(adata, "kind", genes="all", fit=cc.Fit(epochs=20, device="cpu"), network=cc.nn.MLP(hidden=(16,)))
    cc.tl.importance(adata, method=method, **({} if method == "weights" else {"rows": "train"}))
    first = set(adata.var["importance"].nlargest(30).index)
    assert len(first & {f"g{j}" for j in range(30)}) >= 27


@pytest.mark.parametrize("method", ["permutation", "weights", *GRADIENTS])
def test_the_order_of_the_genes_in_the_data_does_not_matter(adata: AnnData, method: str) -> None:
    options = {"method": method} | ({"null": None} if method in {"permutation", "weights"} else {})
    cc.tl.importance(adata, **options)
    turned = adata[:, ::-1].copy()
    cc.tl.importance(turned, **options, key_added="again")
    np.testing.assert_allclose(turned.var["again"], turned.var["importance"], rtol=0, atol=1e-7)
