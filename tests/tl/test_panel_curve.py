from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

import cellclf as cc
from cellclf import stats
from cellclf.tl import _panels

LINEAR = cc.nn.Linear()


@pytest.fixture
def adata(small_adata):
    """Give cells with a split and some wrong labels, so that no panel is perfect."""
    cc.pp.split(small_adata, fractions=(0.5, 0.25, 0.25))
    wrong = np.random.default_rng(1).choice(120, 20, replace=False)
    small_adata.obs.iloc[wrong, 0] = np.random.default_rng(2).permutation(small_adata.obs.iloc[wrong, 0])
    return small_adata


def curve_of(adata, quick, **options):
    """Train small panels quickly."""
    return cc.tl.panel_curve(adata, **({"n_genes": (1, 3, 9), "network": LINEAR, "fit": quick} | options))


def test_each_row_is_what_training_on_the_panel_gives(adata, quick):
    curve = curve_of(adata, quick)
    assert curve.table["n_genes"].tolist() == [1, 3, 9, 30]
    assert curve.table["full"].tolist() == [False, False, False, True]
    scored = adata.copy()
    cc.pp.gene_scores(scored)
    cc.pp.select_genes(scored, 9)
    ranking = scored.var["selected_rank"].dropna().sort_values().index
    assert list(curve.ranking) == list(ranking)
    for row, genes in zip(curve.table.itertuples(), [ranking[:1], ranking[:3], ranking[:9], "all"], strict=True):
        other = adata.copy()
        options = {"network": LINEAR, "fit": replace(quick, refit=False)}
        cc.tl.train(other, genes=genes if isinstance(genes, str) else list(genes), **options)
        cc.tl.predict(other)
        for part, prefix in {"valid": "", "test": "test_"}.items():
            rows = (other.obs["split"] == part).to_numpy()
            truth, found = other.obs["cell_type"][rows].astype(str), other.obs["cellclf"][rows].astype(str)
            macro = metrics.f1_score(truth, found, average="macro")
            assert getattr(row, f"{prefix}macro_f1") == pytest.approx(macro)
            assert getattr(row, f"{prefix}accuracy") == pytest.approx(metrics.accuracy_score(truth, found))


def test_differences_and_the_smallest_panel(adata, quick):
    curve = curve_of(adata, quick, tolerance=0.05)
    table = curve.table
    np.testing.assert_allclose(table["difference"], table["macro_f1"] - table["macro_f1"].iloc[-1])
    assert table["within_tolerance"].tolist() == (table["difference"] >= -0.05).tolist()
    assert table["difference"].iloc[-1] == table["difference_se"].iloc[-1] == 0
    assert curve.smallest == table["n_genes"][table["within_tolerance"]].min()
    assert list(curve.panel) == list(curve.ranking[: curve.smallest])
    assert table["difference"].iloc[0] < -0.05
    assert f"{curve.smallest} genes are within 0.05 of the full model" in str(curve)


def test_where_no_panel_is_enough_it_is_the_full_model(adata, quick):
    curve = curve_of(adata, quick, n_genes=[1], tolerance=0.0)
    assert curve.smallest == 30
    assert set(curve.panel) == set(adata.var_names)


def test_errors_are_about_those_of_a_share(adata, quick):
    table = curve_of(adata, quick).table
    n, p = (adata.obs["split"] == "valid").sum(), table["accuracy"]
    np.testing.assert_allclose(table["accuracy_se"], np.sqrt(p * (1 - p) / n), rtol=0.12)
    assert (table["macro_f1_se"] > 0).all()


def test_test_rows_have_no_part_in_the_choice(adata, quick):
    before = curve_of(adata.copy(), quick)
    test = (adata.obs["split"] == "test").to_numpy()
    x = adata.X.toarray()
    x[test] = 7.0
    adata.X = x
    adata.obs.loc[test, "cell_type"] = "B"
    after = curve_of(adata, quick)
    chosen = [name for name in before.table if not name.startswith("test_")]
    pd.testing.assert_frame_equal(before.table[chosen], after.table[chosen])
    assert list(before.panel) == list(after.panel)
    assert not before.table["test_macro_f1"].equals(after.table["test_macro_f1"])


def test_values_of_validation_rows_do_not_rank_genes(adata, quick):
    before = curve_of(adata.copy(), quick)
    x, valid = adata.X.toarray(), np.flatnonzero(adata.obs["split"] == "valid")
    x[valid, 20 + adata.obs["cell_type"].cat.codes.to_numpy()[valid]] += 4  # as good as the best, were they seen
    adata.X = x
    assert list(curve_of(adata, quick).ranking) == list(before.ranking)


def test_the_same_seed_gives_the_same_curve(adata, quick):
    one, two = curve_of(adata.copy(), quick), curve_of(adata.copy(), quick, n_genes=[9, 3, 3])
    three = curve_of(adata, quick, rng=5, n_genes=[3, 9])
    pd.testing.assert_frame_equal(one.table.iloc[1:].reset_index(drop=True), two.table)
    assert not two.table.equals(three.table)


def test_genes_are_ranked_by_any_column(adata, quick):
    cc.pp.gene_scores(adata)
    cc.pp.select_genes(adata, 6, redundancy="mrmr")
    curve = curve_of(adata, quick, by="selected_rank", ascending=True)
    assert list(curve.ranking) == list(adata.var["selected_rank"].dropna().sort_values().index[:3])
    assert curve.table["n_genes"].tolist() == [1, 3, 30]


def test_any_other_score_orders_them(adata, quick):
    curve = curve_of(adata, quick, by="mi_corrected")
    cc.pp.gene_scores(adata)
    assert list(curve.ranking) == list(adata.var["mi_corrected"].sort_values(ascending=False).index[:9])


def test_the_layer_is_used(adata, quick):
    adata.layers["counts"] = adata.X.copy()
    expected = curve_of(adata.copy(), quick)
    adata.X = np.zeros(adata.shape, np.float32)
    found = curve_of(adata, quick, layer="counts")
    pd.testing.assert_frame_equal(found.table, expected.table)


def test_a_missing_split_is_made_and_a_missing_validation_part_taken_out(small_adata, quick):
    curve_of(small_adata, quick, n_genes=[3])
    assert (small_adata.obs["split"] == "test").sum() == 12
    assert int(small_adata.uns["panel_curve"]["n_valid"]) == 12
    small_adata.obs["split"] = small_adata.obs["split"].astype(str).replace("valid", "train")
    curve_of(small_adata, quick, n_genes=[3])
    assert int(small_adata.uns["panel_curve"]["n_valid"]) == 12
    table = curve_of(small_adata, quick, n_genes=[3], split=None).table
    assert table.filter(like="test_").isna().all(axis=None)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(adata, quick, form, tmp_path):
    curve = curve_of(adata, quick)
    path = tmp_path / f"x.{form}"
    getattr(adata, f"write_{form}")(path)
    back = getattr(anndata, f"read_{form}")(path)
    table = cc.get.panel_curve(back)
    pd.testing.assert_frame_equal(table, curve.table)
    assert table.attrs["tolerance"] == 0.01
    assert [str(gene) for gene in back.uns["panel_curve"]["panel"]] == list(curve.panel)


def interrupt_at(monkeypatch, number):
    """Stop with Ctrl-C within the training of this number."""
    learn, calls = _panels.learn, []

    def stop(problem, facts):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return learn(problem, facts)

    monkeypatch.setattr(_panels, "learn", stop)


def test_what_was_finished_is_kept(adata, quick, monkeypatch):
    interrupt_at(monkeypatch, 3)
    curve = curve_of(adata, quick)
    assert curve.interrupted
    assert curve.table["n_genes"].tolist() == [1, 30]


def test_a_training_that_was_stopped_does_not_count(adata, quick, monkeypatch):
    learn, calls = _panels.learn, []

    def half(problem, facts):
        classifier = learn(problem, facts)
        calls.append(1)
        classifier.facts["interrupted"] = len(calls) == 3
        return classifier

    monkeypatch.setattr(_panels, "learn", half)
    assert curve_of(adata, quick).table["n_genes"].tolist() == [1, 30]


def test_without_a_full_model_there_is_nothing(adata, quick, monkeypatch):
    interrupt_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        curve_of(adata, quick)
    assert "panel_curve" not in adata.uns


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_genes": []}, ValueError, "n_genes is empty"),
        ({"n_genes": [0]}, ValueError, "n_genes=0"),
        ({"n_genes": [2.5]}, ValueError, "n_genes=2.5"),
        ({"n_genes": [31]}, ValueError, "Only 30 genes have a value in by='mi'"),
        ({"tolerance": -1}, ValueError, "tolerance=-1"),
        ({"tolerance": float("nan")}, ValueError, "tolerance=nan"),
        ({"by": "nope"}, KeyError, "'nope' is not in adata.var"),
        ({"layer": "nope"}, KeyError, "nope"),
        ({"split": "few"}, ValueError, "no validation rows"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(adata, quick, options, error, message):
    adata.obs["few"] = pd.Series(np.where(adata.obs["cell_type"].duplicated(), "test", "train"), index=adata.obs_names)
    before = list(adata.uns), list(adata.obs)
    with pytest.raises(error, match=message):
        curve_of(adata, quick, **options)
    assert (list(adata.uns), list(adata.obs)) == before


def test_drawn_tables_hold_the_same_cells_for_every_model():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 500)
    predicted = np.stack([truth, (truth + (rng.random(500) < 0.2)) % 3])
    drawn = stats.bootstrap_confusion(truth, predicted, 3, n_repeats=2000, rng=np.random.default_rng(1))
    assert (drawn.sum(axis=(2, 3)) == 500).all()
    np.testing.assert_array_equal(drawn[:, 0].sum(axis=2), drawn[:, 1].sum(axis=2))  # the same true classes
    assert (drawn[:, 0] * (1 - np.eye(3, dtype=int)) == 0).all()
    share = np.trace(drawn[:, 1], axis1=1, axis2=2) / 500
    p = (truth == predicted[1]).mean()
    assert share.mean() == pytest.approx(p, abs=0.002)
    assert share.std() == pytest.approx(np.sqrt(p * (1 - p) / 500), rel=0.1)
