from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.special import softmax
from sklearn import metrics

import cellclf as cc
from cellclf.tl import _strengths

MLP = cc.nn.MLP(hidden=(8,), dropout=0.0)
FIT = cc.Fit(epochs=20, batch_size=32, learning_rate=0.02, device="cpu")


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give cells with a split and some wrong labels, so that no network is perfect."""
    cc.pp.split(small_adata, fractions=(0.5, 0.25, 0.25))
    wrong = np.random.default_rng(1).choice(120, 20, replace=False)
    small_adata.obs.iloc[wrong, 0] = np.random.default_rng(2).permutation(small_adata.obs.iloc[wrong, 0])
    return small_adata


def path_of(adata: AnnData, **options: object) -> cc.tl.L1Path:
    """Train a short path quickly."""
    return cc.tl.l1_path(adata, **({"l1": (1.0, 300.0), "group_l1": (0.01, 0.3), "network": MLP, "fit": FIT} | options))


def weights_of(network: object) -> np.ndarray:
    """Collect the matrices of an MLP one by one."""
    matrices = [network.first_linear.weight, *(linear.weight for linear in network.linears)]
    return np.concatenate([matrix.detach().numpy().ravel() for matrix in matrices])


@pytest.mark.parametrize(("penalty", "strength"), [("none", 0.0), ("l1", 1.0), ("group_l1", 0.01)], ids=str)
def test_each_row_is_the_training_with_that_penalty(small_adata: AnnData, penalty: str, strength: float) -> None:
    adata = small_adata  # with labels that are right, the last epoch is the best
    cc.pp.split(adata, fractions=(0.5, 0.25, 0.25))
    plain = replace(FIT, epochs=6, learning_rate=0.005, stacking=False)  # it is for validation rows to want
    row = path_of(adata, fit=plain).trainings.set_index(["penalty", "strength"]).loc[(penalty, strength)]
    fit = plain if penalty == "none" else replace(plain, **{penalty: strength})
    classifier = cc.tl.train(adata, network=MLP, fit=fit, genes="all")
    cc.tl.predict(adata)
    assert classifier.facts["best_epoch"] == fit.epochs  # the last epoch was kept, as on the path
    weights = weights_of(classifier.network)
    assert row["n_weights"] == weights.size
    assert row["n_near_zero"] == (np.abs(weights) < 1e-5).sum()
    assert row["mean"] == pytest.approx(weights.mean(dtype=float))
    assert row["sd"] == pytest.approx(weights.std(dtype=float))
    assert (row["min"], row["max"]) == (weights.min(), weights.max())
    first = classifier.network.first_linear.weight.detach().abs().amax(dim=0).numpy()
    assert row["genes_left"] == ((first >= 1e-5) & (classifier.preprocessing.weight > 0)).sum()
    assert ((first == 0) | (first >= 1e-5)).all()  # whoever leaves, leaves exactly
    assert (first == 0).any() == (penalty == "group_l1")
    for part in ("train", "valid", "test"):
        cells = adata[adata.obs["split"] == part]
        proba = cells.obsm["cellclf_proba"]
        predicted, truth = classifier.classes[proba.argmax(axis=1)], cells.obs["cell_type"].astype(str)
        assert row[f"{part}_accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
        assert row[f"{part}_macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
        heated = softmax(np.log(proba) * classifier.temperature, axis=1)  # without the temperature
        assert row[f"{part}_log_loss"] == pytest.approx(metrics.log_loss(truth, heated), rel=1e-4)


def test_what_a_penalty_does(adata: AnnData) -> None:
    path = path_of(adata)
    table = path.trainings.set_index(["penalty", "strength"])
    assert list(table.index) == [
        ("none", 0.0),
        ("linear", 0.0),
        ("l1", 1.0),
        ("l1", 300.0),
        ("group_l1", 0.01),
        ("group_l1", 0.3),
    ]
    near_zero, spread = table["n_near_zero"], table["sd"]
    assert near_zero["group_l1", 0.3] > near_zero["group_l1", 0.01] > 3 * near_zero["none", 0.0]
    assert spread["l1", 300.0] < 0.1 * spread["l1", 1.0] < 0.1 * spread["none", 0.0]
    left = table["genes_left"]
    assert left["group_l1", 0.3] < left["group_l1", 0.01] < left["none", 0.0]
    assert left["l1", 1.0] == left["none", 0.0]
    assert "group_l1" in str(path)


def test_the_genes_that_tell_stay_longest(adata: AnnData) -> None:
    path = path_of(adata, l1=(), group_l1=(0.001, 0.01, 0.1, 0.2))
    assert list(path.genes.index[:5]) != [f"gene{j}" for j in range(5)]  # not by their order alone
    assert set(path.genes.index[:6]) <= {f"gene{j}" for j in range(9)}
    left = path.trainings.set_index(["penalty", "strength"])["genes_left"]
    assert (path.genes["group_l1"] == 0.2).sum() == left["group_l1", 0.2] > 0
    assert path.genes["group_l1"].notna().sum() >= left["none", 0.0]
    assert path.genes["l1"].dropna().eq(0).all()
    assert path.genes["group_l1"].fillna(-1).is_monotonic_decreasing


def test_histograms_count_every_weight(adata: AnnData) -> None:
    path = path_of(adata, genes=["gene1", "gene5"])
    keys = ["penalty", "strength"]
    counted = path.histograms.groupby(keys, sort=False)["count"].sum()
    assert counted.tolist() == path.trainings["n_weights"].tolist()
    classifier = cc.tl.train(adata, network=MLP, fit=FIT, genes=["gene1", "gene5"], store=False)
    weights, plain = weights_of(classifier.network), path.histograms[path.histograms["penalty"] == "none"]
    inner = plain.iloc[1:-1]
    expected = [
        ((weights >= left) & (weights < right)).sum() for left, right in zip(inner["left"], inner["right"], strict=True)
    ]
    assert inner["count"].tolist() == expected
    assert plain["count"].iloc[-1] == (weights >= plain["left"].iloc[-1]).sum()
    assert set(path.genes.index) == {"gene1", "gene5"}


def test_rows_that_judge_have_no_part_in_the_trainings(adata: AnnData) -> None:
    before = path_of(adata.copy())
    judges = (adata.obs["split"] != "train").to_numpy()
    x = adata.X.toarray()
    x[judges] = np.random.default_rng(3).permuted(x[judges], axis=1)
    adata.X = x
    after = path_of(adata)
    own = [name for name in before.trainings if not name.startswith(("valid_", "test_"))]
    pd.testing.assert_frame_equal(before.trainings[own], after.trainings[own])
    pd.testing.assert_frame_equal(before.histograms, after.histograms)
    assert (before.trainings["valid_log_loss"] != after.trainings["valid_log_loss"]).all()


def test_genes_are_chosen_on_training_rows_and_not_written(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellclf.tl._genes.N_GENES", 5)
    path = path_of(adata.copy(), l1=(), group_l1=(0.01,))
    judges = (adata.obs["split"] != "train").to_numpy()
    x = adata.X.toarray()
    x[judges, 20 + adata.obs["cell_type"].cat.codes.to_numpy()[judges]] += 9  # as good as the best, were they seen
    adata.X = x
    after = path_of(adata, l1=(), group_l1=(0.01,))
    assert len(path.genes) == 5
    assert set(path.genes.index) == set(after.genes.index)
    assert "selected" not in adata.var


def test_same_seed_same_numbers(adata: AnnData) -> None:
    one, same, other = (path_of(adata, rng=rng, l1=[5.0], group_l1=[]).trainings for rng in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert (one["mean"] != other["mean"]).any()


def test_a_missing_split_is_made_and_none_leaves_nothing_to_test(small_adata: AnnData) -> None:
    path_of(small_adata, l1=[], group_l1=[0.01])
    assert (small_adata.obs["split"] == "test").sum() == 12
    table = path_of(small_adata, l1=[], group_l1=[0.01], split=None).trainings
    assert table.filter(like="test_").isna().all(axis=None)
    assert table.filter(like="valid_").notna().all(axis=None)


@pytest.mark.parametrize("file", ["cells.h5ad", "cells.zarr", None], ids=["h5ad", "zarr", "memory"])
def test_what_is_written_comes_back(adata: AnnData, tmp_path: Path, file: str | None) -> None:
    path = path_of(adata, split=None)
    if file:
        write, read = ("write_h5ad", anndata.read_h5ad) if file.endswith("h5ad") else ("write_zarr", anndata.read_zarr)
        getattr(adata, write)(tmp_path / file)
        adata = read(tmp_path / file)
    for table in ("trainings", "histograms", "genes"):
        found = cc.get.l1_path(adata, table=table)
        pd.testing.assert_frame_equal(found, getattr(path, table), check_dtype=False)
    with pytest.raises(ValueError, match="table='x' is not known"):
        cc.get.l1_path(adata, table="x")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Stop with Ctrl-C within the penalised training of this number."""
    train, calls = _strengths.train, []

    def stop(*args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return train(*args, **options)

    monkeypatch.setattr(_strengths, "train", stop)


def test_what_was_finished_is_kept(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_at(monkeypatch, 2)
    path = path_of(adata)
    assert path.interrupted
    assert path.trainings["penalty"].tolist() == ["none", "linear", "l1"]
    assert bool(adata.uns["l1_path"]["interrupted"])


def test_a_training_that_was_stopped_does_not_count(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    train = _strengths.train
    monkeypatch.setattr(
        _strengths, "train", lambda *args, **options: replace(train(*args, **options), interrupted=True)
    )
    path = path_of(adata)
    assert path.interrupted
    assert path.trainings["penalty"].tolist() == ["none", "linear"]


def test_a_network_that_reads_by_position(adata: AnnData) -> None:
    network = cc.nn.CNN1d(channels=(4,), kernels=(3,), pools=(2,), hidden=(8,))
    options = {"network": network, "l1": [50.0], "fit": cc.Fit(epochs=2, device="cpu")}
    table = path_of(adata, genes="all", group_l1=[], **options).trainings
    assert table["genes_left"].nunique() == 1
    assert table["sd"].iloc[2] != table["sd"].iloc[0]
    with pytest.raises(ValueError, match="reads genes in their order"):
        path_of(adata, **options)
    with pytest.raises(TypeError, match="takes genes out of a first linear layer"):
        path_of(adata, genes="all", **options)
    assert set(adata.uns["l1_path"]["trainings"]["penalty"]) == {"none", "linear", "l1"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"l1": [], "group_l1": ()}, ValueError, "both empty", id="nothing"),
        pytest.param({"l1": [0.0, 1.0]}, ValueError, r"l1=\[0.0, 1.0\] holds what is no strength", id="zero"),
        pytest.param({"l1": [-1.0]}, ValueError, "no strength", id="negative"),
        pytest.param({"group_l1": [float("nan")]}, ValueError, r"group_l1=\[nan\]", id="nan"),
        pytest.param({"group_l1": [True]}, ValueError, r"group_l1=\[True\]", id="boolean"),
        pytest.param({"l1": "strong"}, ValueError, "l1='strong'", id="word"),
        pytest.param({"fit": cc.Fit(l1=1.0)}, ValueError, r"Fit\(l1=…\) has no place in a path", id="fit-l1"),
        pytest.param({"fit": cc.Fit(patience=2)}, ValueError, r"Fit\(patience=…\)", id="patience"),
        pytest.param({"network": cc.nn.Autoencoder(head=False)}, ValueError, "without a label", id="no-label"),
        pytest.param({"layer": "nope"}, KeyError, "nope", id="layer"),
        pytest.param({"genes": ["nope"]}, KeyError, "nope", id="genes"),
        pytest.param({"label": "nope"}, KeyError, "nope", id="label"),
    ],
)
def test_bad_calls_leave_no_trace(
    adata: AnnData, options: dict[str, object], error: type[Exception], message: str
) -> None:
    before = list(adata.uns), list(adata.obs)
    with pytest.raises(error, match=message):
        path_of(adata, **options)
    assert (list(adata.uns), list(adata.obs)) == before


def test_missing_values_of_rows_that_judge_are_refused(adata: AnnData) -> None:
    x = adata.X.toarray()
    x[np.flatnonzero(adata.obs["split"] == "test")[0], 0] = np.nan
    adata.X = x
    with pytest.raises(ValueError, match="The test rows hold NaN or infinite values"):
        path_of(adata, genes="all")
    assert "l1_path" not in adata.uns


def test_a_number_is_a_path_of_one(adata: AnnData) -> None:
    table = path_of(adata, l1=np.array([2.0, 2.0]), group_l1=[]).trainings
    assert table["strength"].tolist() == [0.0, 0.0, 2.0]
    assert path_of(adata, l1=2, group_l1=[]).trainings.equals(table)
