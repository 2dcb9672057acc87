from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf.tl import _trials

PLANTED = [f"gene{j}" for j in range(9)]
FIT = cc.Fit(epochs=15, batch_size=32, device="cpu")


@pytest.fixture
def adata(small_adata: AnnData) -> AnnData:
    """Give cells with a linear classifier of all genes and its importances."""
    cc.tl.train(small_adata, "cell_type", network=cc.nn.Linear(), fit=FIT, genes="all")
    cc.tl.importance(small_adata, null=None, rows="train")
    return small_adata


def test_the_ranked_genes_are_missed_and_are_enough(adata: AnnData) -> None:
    found = cc.tl.ablation(adata, sizes=[9], rows="train", n_repeats=2)
    table = found.summary.set_index(["mode", "order"])["log_loss"]
    assert table["remove", "ranked"] > table["remove", "random"] + 0.2
    assert table["keep", "ranked"] < table["keep", "random"] - 0.2
    assert table["keep", "ranked"] < table["all", "none"] + 0.2
    assert len(found.trainings) == 2 * 5
    assert "remove" in str(found)


def test_all_genes_are_the_classifier_trained_again(adata: AnnData) -> None:
    found = cc.tl.ablation(adata, sizes=[1], rows="test", n_repeats=1).trainings
    loss = cc.tl.evaluate(adata).log_loss
    assert found.loc[found["mode"] == "all", "log_loss"].item() == pytest.approx(loss, rel=0.2)


@pytest.mark.parametrize("mode", ["remove", "keep"])
@pytest.mark.parametrize("given", [False, True], ids=["ranking", "set"])
def test_genes_that_are_taken_away_are_not_read(adata: AnnData, mode: str, given: bool) -> None:
    first = adata.var["importance"].nlargest(3).index
    options = {"modes": [mode], "n_repeats": 1}
    options |= {"genes": list(first), "orders": "given"} if given else {"sizes": [3], "orders": "ranked"}
    before = cc.tl.ablation(adata, **options).summary
    gone = np.flatnonzero(adata.var_names.isin(first) == (mode == "remove"))
    x = adata.X.toarray()
    x[:, gone] = np.random.default_rng(0).permuted(x[:, gone], axis=1)  # totals stay
    adata.X = x
    after = cc.tl.ablation(adata, **options).summary
    pd.testing.assert_frame_equal(before[before["mode"] == mode], after[after["mode"] == mode])
    assert (before["log_loss"] != after["log_loss"]).any()


def test_which_trainings_there_are() -> None:
    ranked = np.random.default_rng(5).permutation(12)
    given = np.array([2, 7, 9])
    sizes, modes = np.array([1, 4]), ("remove", "keep")
    along = _trials.along_ranking(ranked, sizes, modes, ("ranked", "random"), 3, np.random.default_rng(0))
    of_sets = _trials.of_sets({"mine": given}, 12, modes, ("given", "random"), 3, np.random.default_rng(0))
    assert (len(along), len(of_sets)) == (3 * (1 + 2 * 2 * 2), 3 * (1 + 2 * 2))
    for trials, mine in ((along, ranked), (of_sets, given)):
        drawn = []
        for repeat in range(3):
            part = [trial for trial in trials if trial.repeat == repeat]
            assert len({trial.seed for trial in part}) == 1
            chosen = {
                (t.mode, t.order, t.n_genes): set(t.kept) if t.mode == "keep" else set(range(12)) - set(t.kept)
                for t in part[1:]
            }
            assert (part[0].mode, set(part[0].kept)) == ("all", set(range(12)))
            for (mode, order, size), genes in chosen.items():
                assert len(genes) == size
                assert genes == chosen["keep" if mode == "remove" else "remove", order, size]
                if order != "random":
                    assert genes == set(mine[:size])
            drawn.append(frozenset(chosen["keep", "random", max(t.n_genes for t in part[1:])]))
        assert len(set(drawn)) == 3  # chance anew in each repeat
        assert len({trial.seed for trial in trials}) == 3


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")
def test_a_network_that_reads_by_position_keeps_its_shape(small_adata: AnnData) -> None:
    network = cc.nn.CNN1d(channels=(4,), kernels=(3,), pools=(2,), hidden=(8,))
    cc.tl.train(small_adata, "cell_type", network=network, fit=cc.Fit(epochs=3, device="cpu"), genes="all")
    cc.tl.importance(small_adata, null=None, n_repeats=1)
    found = cc.tl.ablation(small_adata, sizes=[9], orders=["ranked"], n_repeats=1).summary
    assert found["log_loss"].nunique() == 3


@pytest.mark.parametrize("file", ["cells.h5ad", "cells.zarr", None], ids=["h5ad", "zarr", "memory"])
def test_what_is_written_comes_back(adata: AnnData, tmp_path: Path, file: str | None) -> None:
    found = cc.tl.ablation(adata, sizes=(2, 5), n_repeats=2, orders="random")
    if file:
        write, read = ("write_h5ad", anndata.read_h5ad) if file.endswith("h5ad") else ("write_zarr", anndata.read_zarr)
        getattr(adata, write)(tmp_path / file)
        adata = read(tmp_path / file)
    for table in ("trainings", "summary"):
        pd.testing.assert_frame_equal(cc.get.ablation(adata, table=table), getattr(found, table), check_dtype=False)
    with pytest.raises(ValueError, match="table='x' is not known"):
        cc.get.ablation(adata, table="x")


@pytest.mark.parametrize("file", ["cells.h5ad", "cells.zarr", None], ids=["h5ad", "zarr", "memory"])
def test_sets_of_ones_own_beside_random_ones(adata: AnnData, tmp_path: Path, file: str | None) -> None:
    sets = {"markers": [*PLANTED, "not there"], "noise/others": ["gene20", "gene21"]}
    found = cc.tl.ablation(adata, genes=sets, rows="train", n_repeats=1)
    table = found.summary.set_index(["set", "mode", "order"])["log_loss"]
    assert table["markers", "remove", "given"] > table["markers", "remove", "random"] + 0.2
    assert table["markers", "keep", "given"] < table["markers", "keep", "random"] - 0.2
    assert table["noise/others", "remove", "given"] < table["", "all", "none"] + 0.05
    sizes = found.trainings.groupby("set")["n_genes"].unique().map(list).to_dict()
    assert sizes == {"": [30], "markers": [9], "noise/others": [2]}
    assert len(found.trainings) == 1 + 2 * 2 * 2
    if file:
        write, read = ("write_h5ad", anndata.read_h5ad) if file.endswith("h5ad") else ("write_zarr", anndata.read_zarr)
        getattr(adata, write)(tmp_path / file)
        adata = read(tmp_path / file)
    pd.testing.assert_frame_equal(cc.get.ablation(adata), found.summary, check_dtype=False)


def test_a_given_set_is_the_ranking_cut_there(adata: AnnData) -> None:
    first = adata.var["importance"].nlargest(4).index.tolist()
    options = {"n_repeats": 1, "modes": ["remove", "keep"]}
    given = cc.tl.ablation(adata, genes=first, orders="given", **options).trainings
    ranked = cc.tl.ablation(adata, sizes=[4], orders="ranked", **options).trainings
    assert set(given["set"]) == {"", "genes"}
    columns = ["mode", "n_genes", "log_loss", "accuracy", "macro_f1"]
    pd.testing.assert_frame_equal(given[columns], ranked[columns])


@pytest.mark.parametrize("after", [2, 4])
def test_interruption_keeps_the_trainings_that_are_finished(
    adata: AnnData, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole = cc.tl.ablation(adata, sizes=[3, 9], n_repeats=1, orders="ranked").trainings
    teach, calls = _trials.teach, []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(options["title"])
        if len(calls) > after:
            raise KeyboardInterrupt
        return teach(*arguments, **options)

    monkeypatch.setattr(_trials, "teach", interrupted)
    found = cc.tl.ablation(adata, sizes=[3, 9], n_repeats=1, orders="ranked")
    assert found.interrupted
    assert adata.uns["ablation"]["interrupted"]
    assert "(interrupted)" in str(found)
    pd.testing.assert_frame_equal(found.trainings, whole.iloc[:after])


def test_interruption_before_anything_is_finished(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_trials, "teach", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cc.tl.ablation(adata, sizes=[3], n_repeats=1)
    assert "ablation" not in adata.uns


def test_same_seed_same_numbers(adata: AnnData) -> None:
    one, same, other = (cc.tl.ablation(adata, rng=rng, sizes=[5], n_repeats=1).trainings for rng in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert (one["log_loss"] != other["log_loss"]).any()


def test_the_default_sizes(adata: AnnData) -> None:
    found = cc.tl.ablation(adata, modes="keep", orders="ranked", n_repeats=1).summary
    assert found.loc[found["mode"] == "keep", "n_genes"].tolist() == [1, 2, 6, 15]
    assert found["log_loss_sd"].isna().all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"ranking": "nothing"}, KeyError, "ranking='nothing' is not in adata.var", id="ranking"),
        pytest.param({"ranking": "word"}, ValueError, "is no ranking", id="words"),
        pytest.param({"sizes": [0, 3]}, ValueError, "sizes holds 0", id="none"),
        pytest.param({"sizes": [30]}, ValueError, "sizes holds 30", id="all"),
        pytest.param({"modes": ["drop"]}, ValueError, r"modes=\['drop'\] is not understood", id="mode"),
        pytest.param({"orders": []}, ValueError, r"orders=\[\] is not understood", id="no-order"),
        pytest.param({"orders": ["given"]}, ValueError, r"Give 'ranked' or 'random'", id="given-along-ranking"),
        pytest.param(
            {"genes": ["gene1"], "orders": "ranked"}, ValueError, r"Give 'given' or 'random'", id="ranked-set"
        ),
        pytest.param(
            {"genes": ["gene1"], "sizes": [3]}, ValueError, "ranking and sizes have no say", id="set-and-sizes"
        ),
        pytest.param({"genes": "gene1"}, TypeError, r"genes\['genes'\] is the string 'gene1'", id="a-string"),
        pytest.param(
            {"genes": {"a": ["x"]}}, ValueError, r"genes\['a'\] holds no gene that the classifier", id="unread"
        ),
        pytest.param({"genes": {}}, ValueError, r"genes=\{\} names no set", id="no-set"),
        pytest.param({"genes": [f"gene{j}" for j in range(30)]}, ValueError, "holds all 30 genes", id="every-gene"),
        pytest.param({"n_repeats": 0}, ValueError, "n_repeats=0 is no number of trainings", id="repeats"),
    ],
)
def test_bad_input_is_refused(adata: AnnData, options: dict[str, object], error: type[Exception], message: str) -> None:
    adata.var["word"] = "a"
    before = set(adata.uns)
    with pytest.raises(error, match=message):
        cc.tl.ablation(adata, **options)
    assert set(adata.uns) == before


def test_rows_and_genes_must_be_there(adata: AnnData) -> None:
    with pytest.raises(ValueError, match="does not seem to hold them"):
        cc.tl.ablation(adata[adata.obs["split"] == "test"].copy())
    clf = cc.Classifier.from_bytes(adata.uns["cellclf"]["model"].tobytes())
    with pytest.raises(ValueError, match=r"2 genes of the classifier are not in adata \('gene0', 'gene1'\)"):
        cc.tl.ablation(adata[:, 2:].copy(), clf)
