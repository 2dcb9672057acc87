from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

import cellclf as cc
from cellclf import stats
from cellclf.tl import _rivals, _study
from cellclf.tl._study import Study

LINEAR = cc.nn.Linear()
QUICK = cc.Fit(epochs=2)
pytestmark = pytest.mark.filterwarnings("ignore:The network's log loss on the validation rows")  # two epochs, few rows


def run(adata, **options):
    return cc.tl.baselines(
        adata,
        **{"label": "cell_type", "network": LINEAR, "fit": QUICK, "n_folds": 2, "models": ["nearest_neighbors"]}
        | options,
    )


def log_counts(adata):
    """Normalise counts as everyone does."""
    x = adata.X.toarray()
    return np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))


def test_each_fold_is_what_scikit_learn_says(small_adata):
    found = run(small_adata, models={"logistic": LogisticRegression(max_iter=500), "svc": SVC(kernel="linear")})
    x, y = log_counts(small_adata), small_adata.obs["cell_type"].cat.codes.to_numpy()
    dealt = stats.stratified_folds(y, 2, np.random.default_rng(0))
    for fold in range(2):
        out = dealt == fold
        peer = LogisticRegression(max_iter=500).fit(x[~out], y[~out])
        line = found.folds.query(f"model == 'logistic' and fold == '{fold + 1}'").iloc[0]
        assert line["accuracy"] == pytest.approx(peer.score(x[out], y[out]))
        own = peer.predict_proba(x[out])[np.arange(out.sum()), y[out]]
        assert line["log_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-3)
        line = found.folds.query(f"model == 'svc' and fold == '{fold + 1}'").iloc[0]
        assert line["accuracy"] == pytest.approx(SVC(kernel="linear").fit(x[~out], y[~out]).score(x[out], y[out]))
        assert np.isnan(line["log_loss"])


def test_folds_and_network_are_those_of_the_cross_validation(small_adata):
    found = run(small_adata)
    alone = cc.tl.cross_validate(small_adata, "cell_type", network=LINEAR, fit=QUICK, n_folds=2)
    ours = found.folds.query("model in ('network', 'linear', 'prior')").drop(columns=["seconds", "settings"])
    pd.testing.assert_frame_equal(ours.reset_index(drop=True), alone.folds.drop(columns="seconds"))


def test_nothing_is_learnt_from_the_rows_left_out(small_adata):
    """What is fitted is seen by a model that keeps it; its test rows, changed, change nothing of it."""
    seen = []

    class Keeps(DummyClassifier):
        def fit(self, x, y):
            seen.append((np.asarray(x.todense() if hasattr(x, "todense") else x), y))
            return super().fit(x, y)

    small_adata.obs["split"] = np.where(np.arange(120) < 90, "train", "test")
    run(small_adata, models={"keeps": Keeps()}, split="split", n_folds=5)
    values = small_adata.X.toarray()
    values[90:] = 60 - values[90:]
    small_adata.X = csr_matrix(values)
    run(small_adata, models={"keeps": Keeps()}, split="split", n_folds=5)
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_split_is_judged_on_its_validation_and_test_rows(small_adata):
    small_adata.obs["part"] = np.repeat(["train", "val", "test"], [80, 15, 25])
    found = run(small_adata, split="part", n_folds=5)
    assert found.summary["scheme"].tolist() == ["valid"] * 4 + ["test"] * 4
    assert found.folds["n_test"].tolist() == [15] * 4 + [25] * 4
    assert (found.folds["n_train"] == 80).all()
    x, y = log_counts(small_adata), small_adata.obs["cell_type"].cat.codes.to_numpy()
    peer = KNeighborsClassifier(15).fit(x[:80], y[:80])
    accuracy = found.summary.query("model == 'nearest_neighbors'")["accuracy"].tolist()
    assert accuracy == pytest.approx([peer.score(x[80:95], y[80:95]), peer.score(x[95:], y[95:])])


@pytest.mark.parametrize(("scale", "expected"), [("auto", True), ("zscore", True), ("none", False)])
def test_other_values_are_scaled_on_the_training_rows(small_adata, scale, expected):
    small_adata.X = small_adata.X.toarray() + 0.5
    study = _study.study(small_adata, "cell_type", network=LINEAR, fit=QUICK, genes="all", layer=None, use_rep=None)
    train = np.arange(120) < 70
    x, (test,) = _rivals.inputs(study, train, [~train], scale)
    mean, sd = small_adata.X[train].mean(axis=0), small_adata.X[train].std(axis=0)
    values = (small_adata.X - mean) / sd if expected else small_adata.X
    np.testing.assert_allclose(x, values[train], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(test, values[~train], rtol=1e-4, atol=1e-5)


def test_an_embedding_is_taken_as_it_is(small_adata):
    small_adata.obsm["X_few"] = 7.5 * log_counts(small_adata)[:, :9]
    found = run(small_adata, use_rep="X_few")
    x, y = small_adata.obsm["X_few"].astype(np.float32), small_adata.obs["cell_type"].cat.codes.to_numpy()
    out = stats.stratified_folds(y, 2, np.random.default_rng(0)) == 0
    peer = KNeighborsClassifier(15).fit(x[~out], y[~out]).score(x[out], y[out])
    assert found.folds.query("model == 'nearest_neighbors'")["accuracy"].iloc[0] == pytest.approx(peer)


def test_every_named_model_tells_the_classes_apart(small_adata):
    found = run(small_adata, models=_rivals.KNOWN)
    assert set(found.summary["model"]) == {"network", "linear", "prior", *_rivals.KNOWN}
    by_model = found.summary.set_index("model")
    assert (by_model.loc[list(_rivals.KNOWN), "accuracy"] > 0.9).all()
    assert (by_model.loc[list(_rivals.KNOWN), "seconds"] > 0).all()
    again = run(small_adata, models=_rivals.KNOWN)
    pd.testing.assert_frame_equal(again.folds.drop(columns="seconds"), found.folds.drop(columns="seconds"))


def test_a_grid_chooses_within_the_training_rows(small_adata, monkeypatch):
    monkeypatch.setitem(_rivals.GRIDS, "nearest_neighbors", {"n_neighbors": [5, 40, 1000]})
    found = run(small_adata, grid=True)
    lines = found.folds.query("model == 'nearest_neighbors'")
    chosen = [json.loads(settings)["n_neighbors"] for settings in lines["settings"]]
    x, y = log_counts(small_adata), small_adata.obs["cell_type"].cat.codes.to_numpy()
    dealt = stats.stratified_folds(y, 2, np.random.default_rng(0))
    for fold, neighbours in enumerate(chosen):
        out = dealt == fold
        peer = KNeighborsClassifier(neighbours).fit(x[~out], y[~out])
        assert neighbours in {5, 40}  # the inner training rows have not a thousand
        assert lines["accuracy"].iloc[fold] == pytest.approx(peer.score(x[out], y[out]))
    assert (found.folds.query("model == 'network'")["settings"] == "").all()


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(small_adata, form, tmp_path):
    found = run(small_adata)
    getattr(small_adata, f"write_{form}")(tmp_path / "x")
    back = getattr(anndata, f"read_{form}")(tmp_path / "x")
    pd.testing.assert_frame_equal(cc.get.baselines(back), found.summary)
    pd.testing.assert_frame_equal(cc.get.baselines(back, table="folds"), found.folds)


def test_what_was_finished_is_kept(small_adata, monkeypatch):
    learn, calls = Study.learn, []

    def stop(self, train, seed):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return learn(self, train, seed)

    monkeypatch.setattr(Study, "learn", stop)
    found = run(small_adata)
    assert found.interrupted
    assert found.folds["fold"].unique().tolist() == ["1"]
    calls[:] = [1]
    with pytest.raises(KeyboardInterrupt):
        run(small_adata)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"models": ["svm"]}, ValueError, "'svm' is no list of known models"),
        ({"models": "svc"}, ValueError, "'svc' is no list of known models"),
        ({"models": {"network": SVC()}}, ValueError, "the name 'network' is that of cellclf's own"),
        ({"models": {"x": 3}}, TypeError, r"models\['x'\] is a int"),
        ({"models": {"x": SVC()}, "grid": True}, ValueError, "grid=True has grids for named models only"),
        ({"scale": "robust"}, ValueError, "scale='robust'"),
        ({"split": "part"}, ValueError, "'n_folds' would do nothing"),
        ({"split": "nope", "n_folds": 5}, KeyError, "split='nope'"),
        ({"split": "part", "n_folds": 5}, ValueError, "marks no row of a class of the training rows"),
        ({"n_repeats": 0}, ValueError, "n_repeats=0"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(small_adata, options, error, message):
    small_adata.obs["part"] = "train"
    before = list(small_adata.uns), list(small_adata.obs)
    with pytest.raises(error, match=message):
        run(small_adata, **options)
    assert (list(small_adata.uns), list(small_adata.obs)) == before


@pytest.mark.realdata
def test_published_figures_on_the_embedding_are_reproduced(realdata):
    adata = anndata.read_h5ad(realdata / "depmap_embedding.h5ad")
    models = {"svc": SVC(gamma="auto", kernel="linear"), "39 neighbours": KNeighborsClassifier(39)}
    found = cc.tl.baselines(
        adata,
        "sample_collection_site",
        models=models,
        split="split",
        genes="all",
        scale="none",
        network=LINEAR,
        fit=QUICK,
    )
    accuracy = found.summary.set_index(["model", "scheme"])["accuracy"].round(4)
    published = {("svc", "valid"): 0.4643, ("svc", "test"): 0.3714}
    published |= {("39 neighbours", "valid"): 0.3571, ("39 neighbours", "test"): 0.3952}
    assert {key: accuracy[key] for key in published} == published
    assert round(accuracy["prior", "test"], 3) == 0.119  # the majority class
