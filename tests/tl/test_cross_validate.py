from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn import metrics

import cellclf as cc
from cellclf import stats
from cellclf.tl import _conformal, _controls, _cross_validate, _folds, _study
from cellclf.tl._answers import Answer, Judged
from cellclf.tl._folds import Fold
from cellclf.tl._study import Study

LINEAR = cc.nn.Linear()
pytestmark = pytest.mark.filterwarnings("ignore:The network's log loss on the validation rows")  # they are few


def run(adata, quick, **options):
    return cc.tl.cross_validate(
        adata, **{"label": "cell_type", "network": LINEAR, "fit": quick, "n_folds": 2} | options
    )


@pytest.fixture
def study(small_adata, quick):
    return _study.study(small_adata, "cell_type", network=LINEAR, fit=quick, genes="auto", layer=None, use_rep=None)


@pytest.fixture
def donors(small_adata):
    """Give cells whose class is that of their donor, and known by nothing but the donor: each has genes of its own."""
    rng = np.random.default_rng(1)
    donor = np.repeat(np.arange(10), 12)
    small_adata.X = csr_matrix(rng.poisson(0.5 + 6.0 * (rng.random((10, 30)) < 0.3))[donor].astype(np.float32))
    small_adata.obs["donor"] = pd.Categorical([f"d{i}" for i in donor])
    small_adata.obs["cell_type"] = pd.Categorical(np.where(donor % 2, "B", "NK"))
    return small_adata


def test_each_fold_is_predicted_as_by_a_training_on_the_others(small_adata, quick):
    found = run(small_adata, quick)
    generator = np.random.default_rng(0)
    codes = small_adata.obs["cell_type"].cat.codes.to_numpy()
    dealt = stats.stratified_folds(codes, 2, generator)
    assert (small_adata.obs["cellclf_cv_fold"].astype(int) == dealt + 1).all()
    for fold in range(2):
        alone = small_adata[:, :].copy()
        alone.obs["split"] = np.where(dealt == fold, "test", "train")
        classifier = cc.tl.train(alone, "cell_type", network=LINEAR, fit=quick, rng=generator)
        cc.tl.predict(alone, classifier)
        out = dealt == fold
        found_proba, expected = small_adata.obsm["cellclf_cv_proba"][out], alone.obsm["cellclf_proba"][out]
        np.testing.assert_allclose(found_proba, expected, rtol=1e-4, atol=1e-9)  # blocks of other rows round otherwise
        line = found.folds.query(f"model == 'network' and fold == '{fold + 1}'").iloc[0]
        assert (line["n_train"], line["n_test"]) == ((~out).sum(), out.sum())


def learnt(classifier):
    weights = [weight.numpy() for weight in classifier.network.state_dict().values()]
    return [*weights, *classifier.preprocessing.tensors().values(), classifier.prior, classifier.temperature]


def test_nothing_is_learnt_from_the_rows_left_out(small_adata, quick, study):
    fold = _folds.at_random(study.found, 3, 0, np.random.default_rng(0))[0]
    before = learnt(study.learn(fold.train, 1))
    values = small_adata.X.toarray()
    values[fold.test] = 50 - values[fold.test]
    small_adata.X = csr_matrix(values)
    small_adata.obs.loc[fold.test, "cell_type"] = "B"
    after = _study.study(small_adata, "cell_type", network=LINEAR, fit=quick, genes="auto", layer=None, use_rep=None)
    for one, other in zip(learnt(after.learn(fold.train, 1)), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_calibration_scores_that_nobody_reads_are_not_trained_for(small_adata, quick, study, monkeypatch):
    """With conformal folds each fold takes as many trainings as without, and the answers are the same."""
    asked = replace(quick, conformal_folds=2)
    assert replace(study, fit=asked).learn(np.ones(120, dtype=bool), 0).conformal is None
    monkeypatch.setattr(_conformal, "attempt", None)
    found = [run(small_adata, fit) for fit in (quick, asked)]
    pd.testing.assert_frame_equal(*(result.folds.drop(columns="seconds") for result in found))


def test_the_tables_are_what_scikit_learn_says(small_adata, quick):
    found = run(small_adata, quick)
    truth, predicted = small_adata.obs["cell_type"].astype(str), small_adata.obs["cellclf_cv"].astype(str)
    proba = small_adata.obsm["cellclf_cv_proba"]
    line = found.summary.query("model == 'network'").iloc[0]
    assert line["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert line["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert line["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert line["log_loss"] == pytest.approx(
        metrics.log_loss(truth, proba / proba.sum(axis=1, keepdims=True)), abs=1e-5
    )
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(truth, predicted))
    np.testing.assert_allclose(found.report["recall"], metrics.recall_score(truth, predicted, average=None))
    assert small_adata.obs["cellclf_cv_confidence"].to_numpy() == pytest.approx(proba.max(axis=1))
    one = small_adata.obs["cellclf_cv_fold"] == "1"
    first = found.folds.query("model == 'network' and fold == '1'").iloc[0]
    assert first["accuracy"] == pytest.approx((truth == predicted)[one].mean())
    own = found.folds.query("model == 'network'")["accuracy"]
    assert line["accuracy_sd"] == pytest.approx(np.std(own, ddof=1))
    assert (small_adata.uns["cellclf_cv_colors"] == small_adata.uns["cell_type_colors"]).all()


def test_a_donor_that_is_recognised_is_no_class_that_is_learnt(donors, quick):
    found = run(donors, quick, groups="donor")
    assert set(found.summary["scheme"]) == {"grouped", "random"}
    per_donor = donors.obs.groupby("donor", observed=True)["cellclf_cv_fold"].nunique()
    assert (per_donor == 1).all()
    gap = found.leakage.loc["accuracy"]
    by_scheme = found.summary.query("model == 'network'").set_index("scheme")["accuracy"]
    assert gap["random"] == pytest.approx(by_scheme["random"])
    assert by_scheme["random"] > 0.9
    assert gap["apart"] == pytest.approx(by_scheme["grouped"])
    assert gap["gap"] == pytest.approx(gap["random"] - gap["apart"])
    assert gap["gap"] > max(0.25, 2 * gap["gap_se"])


def test_the_error_of_the_gap_is_that_of_a_mean_over_groups():
    rng, n_groups, size = np.random.default_rng(5), 40, 25
    groups, truth = np.repeat(np.arange(n_groups), size), rng.integers(0, 2, n_groups * size)
    right = rng.random(n_groups * size) < np.repeat(rng.uniform(0.3, 1, n_groups), size)
    every = np.ones(len(truth), bool)
    done = [
        Judged(Fold(scheme, 0, "1", every, every), {"network": Answer(answer, None)}, truth)
        for scheme, answer in (("random", truth), ("grouped", np.where(right, truth, 1 - truth)))
    ]
    table = _controls.leakage(done, groups, 2, np.random.default_rng(0))
    means = right.reshape(n_groups, size).mean(axis=1)
    assert table.loc["accuracy", "gap"] == pytest.approx(1 - means.mean())
    assert table.loc["accuracy", "gap_se"] == pytest.approx(means.std() / np.sqrt(n_groups), rel=0.12)


def test_one_batch_at_a_time(small_adata, quick):
    small_adata.obs["run"] = ["one", "two", "three"] * 40
    found = run(small_adata, quick, batch="run", n_folds=2)
    assert (small_adata.obs["cellclf_cv_fold"].astype(str) == small_adata.obs["run"]).all()
    schemes = found.folds.query("model == 'network'").groupby("scheme")["fold"].apply(list)
    assert schemes.to_dict() == {"batch": ["one", "two", "three"], "random": ["1", "2"]}


def test_of_shuffled_labels_nothing_is_learnt(small_adata, quick):
    found = run(small_adata, quick, shuffled_label=True)
    by_scheme = found.summary.query("model == 'network'").set_index("scheme")
    assert by_scheme.loc["random", "accuracy"] > 0.9
    assert by_scheme.loc["shuffled", "accuracy"] < 0.5
    assert by_scheme.loc["shuffled", "log_loss"] > np.log(3) - 0.05
    plain = run(small_adata, quick)
    pd.testing.assert_frame_equal(
        plain.folds.drop(columns="seconds"), found.folds.query("scheme == 'random'").drop(columns="seconds")
    )


def test_repeats_are_averaged(small_adata, quick):
    found = run(small_adata, quick, n_folds=2, n_repeats=2)
    assert found.folds["repeat"].tolist() == [1] * 6 + [2] * 6
    halves = [np.array([True, False, False]), np.array([True, True, False])]
    answers = [np.array([[0.2, 0.8]]), np.array([[0.6, 0.4], [1.0, 0.0]])]
    done = [
        Judged(Fold("random", 0, "1", ~half, half), {"network": Answer(proba.argmax(axis=1), proba)}, None)
        for half, proba in zip(halves, answers, strict=True)
    ]
    np.testing.assert_allclose(_cross_validate._averaged(done, 3, 2), [[0.4, 0.6], [1.0, 0.0], [np.nan, np.nan]])


def test_the_same_seed_the_same_bits_dense_or_sparse(small_adata, quick):
    dense = small_adata.copy()
    dense.X = dense.X.toarray()
    for adata in (small_adata, dense):
        run(adata, quick)
    np.testing.assert_array_equal(small_adata.obsm["cellclf_cv_proba"], dense.obsm["cellclf_cv_proba"])
    run(dense, quick, rng=1)
    assert (small_adata.obs["cellclf_cv_fold"] != dense.obs["cellclf_cv_fold"]).any()


def test_a_selection_that_has_seen_all_cells_is_not_used(small_adata, quick):
    run(small_adata, quick, key_added="free")
    small_adata.var["selected"] = np.isin(np.arange(30), [0, 28])  # it tells one class from the rest
    run(small_adata, quick)
    np.testing.assert_array_equal(small_adata.obsm["cellclf_cv_proba"], small_adata.obsm["free_proba"])
    found = run(small_adata, quick, genes="selected")
    assert found.summary["accuracy"][0] < 0.8


def test_an_embedding_is_used(small_adata, quick):
    small_adata.obsm["X_few"] = small_adata.X[:, :9].toarray()
    found = run(small_adata, quick, use_rep="X_few")
    assert found.summary["accuracy"][0] > 0.9


def test_a_single_cell_always_trains_and_is_never_judged(small_adata, quick):
    label = small_adata.obs["cell_type"].astype(object)
    label.iloc[[0, 1]] = ["alone", None]
    small_adata.obs["cell_type"] = pd.Categorical(label)
    with pytest.warns(UserWarning, match=r"1 classes have a single cell \('alone'\)"):
        found = run(small_adata, quick)
    written = small_adata.obs[["cellclf_cv", "cellclf_cv_confidence", "cellclf_cv_fold"]]
    assert written.isna().all(axis=1).tolist() == [True, True] + [False] * 118
    assert np.isnan(small_adata.obsm["cellclf_cv_proba"]).all(axis=1).sum() == 2
    assert (small_adata.obsm["cellclf_cv_proba"][2:, list(found.report.index).index("alone")] > 0).all()
    assert (found.folds["n_train"] + found.folds["n_test"] == 119).all()


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(donors, quick, form, tmp_path):
    found = run(donors, quick, groups="donor")
    getattr(donors, f"write_{form}")(tmp_path / "x")
    back = getattr(anndata, f"read_{form}")(tmp_path / "x")
    for name in ("summary", "folds", "report", "confusion", "leakage"):
        pd.testing.assert_frame_equal(cc.get.cross_validation(back, table=name), getattr(found, name))
    assert [str(k) for k in back.obs["cellclf_cv"].cat.categories] == ["B", "NK"]
    np.testing.assert_array_equal(back.obsm["cellclf_cv_proba"], donors.obsm["cellclf_cv_proba"])


def stop_at(monkeypatch, number):
    learn, calls = Study.learn, []

    def stop(self, train, seed):
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt
        return learn(self, train, seed)

    monkeypatch.setattr(Study, "learn", stop)


def test_what_was_finished_is_kept(donors, quick, monkeypatch):
    stop_at(monkeypatch, 2)
    found = run(donors, quick, groups="donor")
    assert found.interrupted
    assert "unfinished" in str(found)
    assert found.leakage is None
    assert found.folds["fold"].unique().tolist() == ["1"]
    unfinished = donors.obs["cellclf_cv_fold"] == "2"
    assert (donors.obs["cellclf_cv"].isna() == unfinished).all()
    assert bool(donors.uns["cellclf_cv"]["interrupted"])
    with pytest.raises(KeyError, match="has no leakage"):
        cc.get.cross_validation(donors, table="leakage")


def test_a_stopped_control_is_left_out(small_adata, quick, monkeypatch):
    stop_at(monkeypatch, 3)
    found = run(small_adata, quick, shuffled_label=True)
    assert found.interrupted
    assert set(found.summary["scheme"]) == {"random"}


def test_without_a_fold_there_is_nothing(small_adata, quick, monkeypatch):
    stop_at(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run(small_adata, quick)
    assert "cellclf_cv" not in small_adata.uns


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_folds": 1}, ValueError, "n_folds=1"),
        ({"n_folds": 121}, ValueError, "only 120 rows"),
        ({"n_repeats": 0}, ValueError, "n_repeats=0"),
        ({"groups": "half", "batch": "half"}, ValueError, "Give one of them"),
        ({"groups": "nope"}, KeyError, "groups='nope' is not in adata.obs"),
        ({"groups": "half", "n_folds": 3}, ValueError, "only 2 groups"),
        ({"groups": "gap"}, ValueError, "groups='gap' is missing in 1 cells"),
        ({"groups": "one"}, ValueError, "groups='one' has one value only"),
        ({"groups": "cell_type"}, ValueError, "all cells of class 'B' are left out together"),
        ({"batch": "cell_type"}, ValueError, "all cells of class 'B' are left out together"),
        ({"batch": "half", "n_repeats": 2}, ValueError, "n_repeats=2 would leave out the same batches"),
        ({"network": cc.nn.Autoencoder(latent=2, head=False)}, ValueError, "learns without a label"),
        ({"genes": ["nope"]}, KeyError, "nope"),
        ({"layer": "nope"}, KeyError, "nope"),
        ({"label": "nope"}, KeyError, "nope"),
        ({"key_added": "cell_type"}, ValueError, "is the column of adata.obs with the label"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(small_adata, quick, options, error, message):
    small_adata.obs["half"] = ["a", "b"] * 60
    small_adata.obs["one"] = "same"
    small_adata.obs["gap"] = [None, *["a", "b", "c"] * 39, "a", "b"]
    before = list(small_adata.uns), list(small_adata.obs)
    with pytest.raises(error, match=message):
        run(small_adata, quick, **options)
    assert (list(small_adata.uns), list(small_adata.obs)) == before
