from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.stats import spearmanr

import cellclf as cc
from cellclf.tl import _importance_check


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give cells with a classifier of all genes, and its importances."""
    fit = cc.Fit(epochs=20, batch_size=32, device="cpu")
    cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP(hidden=(8,)), fit=fit, genes="all")
    cc.tl.importance(small_adata, null=None, rows="train")
    cc.tl.importance(small_adata, null=None, method="weights", key_added="weight")
    return small_adata


def test_faithful_rankings_beat_chance(adata: AnnData) -> None:
    found = cc.tl.importance_check(adata, rows="train")
    assert list(found.summary.index) == ["importance", "weight", "mi_corrected", "random"]
    chance = found.summary.loc["random"]
    for name in ("importance", "weight", "mi_corrected"):
        assert found.summary.loc[name, "deletion"] > chance["deletion"] + 0.1
        assert found.summary.loc[name, "insertion"] < chance["insertion"] - 0.1
    assert "importance" in str(found)


def test_curves_start_and_end_where_they_must(adata: AnnData) -> None:
    curves = cc.tl.importance_check(adata, rows="train").curves
    whole = cc.tl.evaluate(adata, rows="train")
    for name in ("importance", "random"):
        for kind, intact in (("deletion", 0), ("insertion", 30)):
            line = curves[(curves["ranking"] == name) & (curves["kind"] == kind)].set_index("n_genes")
            assert line.loc[intact, "log_loss"] == pytest.approx(whole.log_loss, abs=1e-5)
            assert line.loc[intact, "accuracy"] == pytest.approx(whole.accuracy)
            assert line.loc[intact, "macro_f1"] == pytest.approx(whole.macro_f1)
            assert line.loc[30 - intact, "log_loss"] > 0.9  # the mean cell for all: about log 3
    assert curves["log_loss_sd"].notna().sum() == (curves["ranking"] == "random").sum()


def test_points_of_a_ranking_by_hand(adata: AnnData) -> None:
    curves = cc.tl.importance_check(adata, rows="test", rankings=["weight"], sizes=[4]).curves
    clf = cc.Classifier.from_bytes(adata.uns["cellclf"]["model"].tobytes())
    mask = (adata.obs["split"] == "test").to_numpy()
    counts = adata.X.toarray()[mask]
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4).astype(np.float32)
    x, mean = clf.inputs(values), clf.inputs(clf.preprocessing.fill[None])
    gone = adata.var_names.isin(adata.var["weight"].nlargest(4).index)
    y = pd.Index(clf.classes).get_indexer(adata.obs["cell_type"].astype(str))[mask]
    with torch.no_grad():
        logits = clf.network(torch.from_numpy(np.where(gone, mean, x))) / clf.temperature
    loss = torch.nn.functional.cross_entropy(logits.double(), torch.from_numpy(y))
    first = curves[(curves["ranking"] == "weight") & (curves["kind"] == "deletion")]
    assert first["log_loss"].tolist() == pytest.approx([float(loss)], abs=1e-5)


def test_agreement(adata: AnnData) -> None:
    found = cc.tl.importance_check(adata, n_top=9).agreement.set_index(["one", "other"])
    assert len(found) == 3
    pair = found.loc[("importance", "weight")]
    assert pair["spearman"] == pytest.approx(spearmanr(adata.var["importance"], adata.var["weight"]).statistic)
    first = [set(adata.var[name].nlargest(9).index) for name in ("importance", "weight")]
    assert pair["overlap"] == pytest.approx(len(first[0] & first[1]) / 9)


def test_mutual_information_is_that_of_the_training_rows(adata: AnnData) -> None:
    without = cc.tl.importance_check(adata).summary
    cc.pp.gene_scores(adata)
    only = adata.copy()
    del only.uns["importance"], only.uns["weight"]
    with_it = cc.tl.importance_check(only, rankings=["importance", "weight", "mi_corrected"]).summary
    pd.testing.assert_frame_equal(without, with_it)


@pytest.mark.parametrize("file", ["cells.h5ad", "cells.zarr", None], ids=["h5ad", "zarr", "memory"])
def test_what_is_written_comes_back(adata: AnnData, tmp_path: Path, file: str | None) -> None:
    found = cc.tl.importance_check(adata, sizes=(0, 3), n_random=2, key_added="check")
    if file:
        write, read = ("write_h5ad", anndata.read_h5ad) if file.endswith("h5ad") else ("write_zarr", anndata.read_zarr)
        getattr(adata, write)(tmp_path / file)
        adata = read(tmp_path / file)
    for table in ("curves", "summary", "agreement"):
        again = cc.get.importance_check(adata, table=table, key="check")
        pd.testing.assert_frame_equal(again, getattr(found, table), check_index_type=False, check_dtype=False)
    with pytest.raises(ValueError, match="table='x' is not known"):
        cc.get.importance_check(adata, table="x")
    with pytest.raises(KeyError, match=r"was written by 'cellclf\.tl\.train'"):
        cc.get.importance_check(adata, key="cellclf")


@pytest.mark.parametrize("after", [0, 2])
def test_interruption_keeps_the_rankings_that_are_finished(
    adata: AnnData, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = cc.tl.importance_check(adata, key_added="whole")
    curves_of, calls = _importance_check._curves_of, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return curves_of(*arguments)

    monkeypatch.setattr(_importance_check, "_curves_of", interrupted)
    if after == 0:
        with pytest.raises(KeyboardInterrupt):
            cc.tl.importance_check(adata)
        assert "importance_check" not in adata.uns
        return
    found = cc.tl.importance_check(adata)
    assert found.interrupted
    assert adata.uns["importance_check"]["interrupted"]
    assert "(interrupted)" in str(found)
    pd.testing.assert_frame_equal(found.summary, whole.summary.iloc[:after])
    mine = whole.curves["ranking"].isin(whole.summary.index[:after])
    pd.testing.assert_frame_equal(found.curves, whole.curves[mine].reset_index(drop=True))
    assert not whole.interrupted
    pd.testing.assert_frame_equal(cc.get.importance_check(adata), found.summary, check_names=False)
    assert len(cc.pl.importance_check(adata)) == 2


def test_same_seed_same_numbers(adata: AnnData) -> None:
    one, same, other = (cc.tl.importance_check(adata, rng=rng, sizes=[5]).curves for rng in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert (one["log_loss"] != other["log_loss"]).any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"rankings": ["nothing"]}, KeyError, "rankings='nothing' is not in adata.var", id="ranking"),
        pytest.param({"rankings": []}, KeyError, "holds no importance to check", id="none"),
        pytest.param({"rankings": "word"}, ValueError, "is no ranking", id="words"),
        pytest.param({"rankings": "random"}, ValueError, "what the rankings by chance are called", id="name-taken"),
        pytest.param({"sizes": [31]}, ValueError, "sizes holds 31", id="too-many-genes"),
        pytest.param({"sizes": [-1]}, ValueError, "sizes=-1 is no number", id="negative"),
        pytest.param({"sizes": []}, ValueError, "sizes is empty", id="no-sizes"),
        pytest.param({"n_random": 0}, ValueError, "n_random=0 is no number of rankings", id="no-chance"),
        pytest.param({"n_top": 0}, ValueError, "n_top=0 is no number of genes", id="no-top"),
    ],
)
def test_bad_input_is_refused(adata: AnnData, options: dict[str, object], error: type[Exception], message: str) -> None:
    adata.var["word"], adata.var["random"] = "a", 1.0
    before = set(adata.uns)
    with pytest.raises(error, match=message):
        cc.tl.importance_check(adata, **options)
    assert set(adata.uns) == before
