from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.stats import rankdata, spearmanr

import cellclf as cc
from cellclf.attribution import _permutation
from cellclf.tl import _agreement, _lesson, _trainings

FIT = cc.Fit(epochs=10, batch_size=32, device="cpu")
PLANTED = [f"gene{j}" for j in range(9)]


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give cells with a small classifier of 20 of the 30 genes."""
    genes = [f"gene{j}" for j in range(20)]
    cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP(hidden=(8,)), fit=FIT, genes=genes)
    return small_adata


@pytest.mark.parametrize("method", ["permutation", "weights"])
@pytest.mark.parametrize("subsample", [None, 0.5], ids=["seeds", "subsamples"])
def test_planted_genes_are_chosen_every_time(adata: AnnData, method: str, subsample: float | None) -> None:
    rows = {"rows": "train"} if method == "permutation" else {}
    found = cc.tl.stability(adata, method=method, subsample=subsample, n_trainings=3, n_top=9, **rows)
    assert len(set(found.genes.index[:9]) & set(PLANTED)) >= 8
    assert found.genes["frequency"].iloc[:3].eq(1).all()
    assert found.overlap["jaccard"].mean() > 0.4  # by chance .29
    assert found.overlap["kuncheva"].mean() > 0.3
    assert adata.var["stability"].sum() == pytest.approx(9)
    assert "kuncheva" in str(found)


def test_comparison_by_hand() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(4, 12)) + np.arange(12)
    genes = np.array([f"g{j}" for j in range(12)], dtype=object)
    found = _agreement.compared(scores, genes, 5)
    first = [set(np.argsort(-row)[:5].tolist()) for row in scores]
    ranks = np.array([rankdata(-row) for row in scores])
    table = found.genes.loc[genes]
    assert table["frequency"].tolist() == [np.mean([j in chosen for chosen in first]) for j in range(12)]
    np.testing.assert_allclose(table["mean"], scores.mean(axis=0))
    np.testing.assert_allclose(table["sd"], scores.std(axis=0, ddof=1))
    np.testing.assert_allclose(table["rank"], ranks.mean(axis=0))
    assert len(found.overlap) == 6
    for _, row in found.overlap.iterrows():
        one, other = int(row["one"]) - 1, int(row["other"]) - 1
        common = len(first[one] & first[other])
        assert row["jaccard"] == common / len(first[one] | first[other])
        assert row["kuncheva"] == pytest.approx((common - 25 / 12) / (5 - 25 / 12))
        assert row["spearman"] == pytest.approx(spearmanr(scores[one], scores[other]).statistic)


def test_what_chance_chooses_overlaps_by_chance() -> None:
    scores = np.random.default_rng(0).normal(size=(20, 200))
    found = _agreement.compared(scores, np.arange(200).astype(str).astype(object), 40)
    assert abs(found.overlap["kuncheva"].mean()) < 0.02
    same = _agreement.compared(np.tile(scores[0], (3, 1)), np.arange(200).astype(str).astype(object), 40)
    assert (same.overlap[["jaccard", "kuncheva", "spearman"]].to_numpy() > 1 - 1e-12).all()
    every = _agreement.compared(scores[:2], np.arange(200).astype(str).astype(object), 200)
    assert every.overlap[["jaccard", "kuncheva"]].to_numpy().tolist() == [[1, 1]]


def test_what_is_written(adata: AnnData) -> None:
    found = cc.tl.stability(adata, n_trainings=2, n_repeats=1, n_top=5, key_added="again")
    assert {"again", "again_mean", "again_sd", "again_rank"} <= set(adata.var)
    unread = ~adata.var_names.isin(found.genes.index)
    assert unread.sum() == 10
    assert (adata.var.loc[unread, ["again", "again_mean", "again_sd"]] == 0).all().all()
    assert adata.var.loc[unread, "again_rank"].isna().all()
    np.testing.assert_array_equal(adata.var.loc[found.genes.index, "again_mean"], found.genes["mean"])
    assert adata.uns["again"]["jaccard"] == found.overlap["jaccard"].mean()


@pytest.mark.parametrize("file", ["cells.h5ad", "cells.zarr", None], ids=["h5ad", "zarr", "memory"])
def test_what_is_written_comes_back(adata: AnnData, tmp_path: Path, file: str | None) -> None:
    found = cc.tl.stability(adata, n_trainings=3, method="weights", n_top=5)
    if file:
        write, read = ("write_h5ad", anndata.read_h5ad) if file.endswith("h5ad") else ("write_zarr", anndata.read_zarr)
        getattr(adata, write)(tmp_path / file)
        adata = read(tmp_path / file)
    genes = cc.get.stability(adata)
    pd.testing.assert_frame_equal(genes, found.genes[genes.columns], check_index_type=False)
    pd.testing.assert_frame_equal(cc.get.stability(adata, n_genes=3), genes.iloc[:3])
    pd.testing.assert_frame_equal(cc.get.stability(adata, table="overlap"), found.overlap, check_dtype=False)
    with pytest.raises(ValueError, match="table='x' is not known"):
        cc.get.stability(adata, table="x")
    with pytest.raises(ValueError, match="n_genes=2 has no meaning"):
        cc.get.stability(adata, table="overlap", n_genes=2)


def test_subsamples_take_their_share_of_each_class() -> None:
    y = np.repeat([0, 1, 2], [40, 10, 1])
    rows = _trainings.sampled(y, 0.3, np.random.default_rng(0))
    assert np.bincount(y[rows]).tolist() == [12, 3, 1]
    assert len(set(rows.tolist())) == len(rows)


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no networks be trained side by side."""
    monkeypatch.setattr(_trainings, "n_side_by_side", lambda *_, **__: 1)


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")
@pytest.mark.parametrize("subsample", [None, 0.5], ids=["seeds", "subsamples"])
def test_side_by_side_is_one_by_one(
    small_adata: AnnData, subsample: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = cc.Fit(epochs=3, batch_size=32, input_dropout=0.0, device="cpu")  # dropout is drawn for all at once
    network = cc.nn.MLP(hidden=(8,), dropout=0.0)
    cc.tl.train(small_adata, "cell_type", network=network, fit=still, genes="all")
    options = {"method": "weights", "n_trainings": 3, "subsample": subsample}
    train_several, calls = _lesson.train_several, []
    monkeypatch.setattr(
        _lesson, "train_several", lambda *args, **given: calls.append(len(args[1])) or train_several(*args, **given)
    )
    together = cc.tl.stability(small_adata, **options).genes.sort_index()
    one_by_one(monkeypatch)
    alone = cc.tl.stability(small_adata, **options).genes.sort_index()
    assert calls == [3]  # once, three networks
    assert together.loc[PLANTED, "sd"].gt(0).all()
    np.testing.assert_allclose(together[["mean", "sd"]], alone[["mean", "sd"]], rtol=1e-3, atol=1e-4)


def test_linear_networks_that_differ_by_the_order_of_the_rows_only(adata: AnnData) -> None:
    cc.tl.train(adata, "cell_type", network=cc.nn.Linear(), fit=FIT, genes="all")
    found = cc.tl.stability(adata, n_trainings=3, method="weights")
    assert found.genes.loc[PLANTED, "sd"].gt(0).all()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_interruption_keeps_the_trainings_that_are_finished(
    adata: AnnData, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    one_by_one(monkeypatch)
    teach, calls = _trainings.teach, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(options["title"])
        if len(calls) > after:
            raise KeyboardInterrupt
        return teach(*arguments, **options)

    whole = cc.tl.stability(adata, n_trainings=max(after, 2), method="weights")
    monkeypatch.setattr(_trainings, "teach", interrupted)
    if after == 1:
        del adata.uns["stability"]
        with pytest.raises(KeyboardInterrupt):
            cc.tl.stability(adata, n_trainings=5, method="weights")
        assert "stability" not in adata.uns
        return
    found = cc.tl.stability(adata, n_trainings=5, method="weights")
    assert found.interrupted
    assert found.n_trainings == adata.uns["stability"]["n_trainings"] == after
    assert adata.uns["stability"]["interrupted"]
    assert "(interrupted)" in str(found)
    pd.testing.assert_frame_equal(found.genes, whole.genes)


def test_interruption_of_a_measurement(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    of_inputs, calls = _permutation._rises, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > 2 * 20 + 7:  # two networks, and some genes of the third
            raise KeyboardInterrupt
        return of_inputs(*arguments)

    monkeypatch.setattr(_permutation, "PAIRS", 1)
    monkeypatch.setattr(_permutation, "_rises", interrupted)
    found = cc.tl.stability(adata, n_trainings=4, n_repeats=1)
    assert found.interrupted
    assert found.n_trainings == 2
    assert found.genes.notna().all().all()


@pytest.mark.parametrize("at_once", [4, 2], ids=["all", "the-second-two"])
def test_interruption_of_networks_side_by_side(adata: AnnData, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(_trainings, "n_side_by_side", lambda *_, **__: at_once)
    train_several, calls = _lesson.train_several, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(1)
        found = train_several(*arguments, **options)
        return found._replace(interrupted=len(calls) == 4 // at_once)

    monkeypatch.setattr(_lesson, "train_several", interrupted)
    found = cc.tl.stability(adata, n_trainings=4, method="weights")
    assert found.interrupted
    assert found.n_trainings == (4 if at_once == 4 else 2)  # unfinished networks are not compared with finished ones


def test_same_seed_same_bits(adata: AnnData) -> None:
    options = {"n_trainings": 2, "n_repeats": 1, "subsample": 0.7}
    one, same, other = (cc.tl.stability(adata, rng=rng, **options).genes for rng in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same, check_exact=True)
    assert (one.sort_index()["mean"] != other.sort_index()["mean"]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"method": "shap"}, "method='shap' is not known", id="method"),
        pytest.param({"n_trainings": 1}, "n_trainings=1 is no number of trainings", id="one-training"),
        pytest.param({"subsample": 1.0}, "subsample=1.0 is no share|subsample=1.0 is not a share", id="all-rows"),
        pytest.param({"n_top": 0}, "n_top=0 is no number of genes", id="no-top"),
        pytest.param({"n_repeats": 0}, "n_repeats=0 is no number of permutations", id="no-repeats"),
        pytest.param({"method": "weights", "rows": "test"}, "'rows' would do nothing", id="weights-rows"),
    ],
)
def test_bad_input_is_refused(adata: AnnData, options: dict[str, object], message: str) -> None:
    before = set(adata.uns), set(adata.var)
    with pytest.raises(ValueError, match=message):
        cc.tl.stability(adata, **options)
    assert (set(adata.uns), set(adata.var)) == before


def test_the_training_rows_must_be_there(adata: AnnData) -> None:
    with pytest.raises(ValueError, match="does not seem to hold them"):
        cc.tl.stability(adata[adata.obs["split"] == "test"].copy())
