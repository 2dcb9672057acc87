from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import FrozenInstanceError, replace

import anndata
import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

import cellclf as cc
from cellclf.tl import _conformal, _folds, _study
from cellclf.tl._study import Study

LINEAR = cc.nn.Linear()
QUICK = cc.Fit(epochs=2, batch_size=30)
RATE = cc.tl.Space(fit={"learning_rate": cc.tl.LogUniform(1e-4, 1e-1)})
pytestmark = pytest.mark.filterwarnings("ignore:The network's log loss on the validation rows")  # two epochs, few rows


def run(adata, **options):
    usual = {"label": "cell_type", "space": RATE, "n_trials": 3, "n_folds": 2, "network": LINEAR, "fit": QUICK}
    return cc.tl.tune(adata, **usual | options)


def trials_of(found):
    return found.trials.drop(columns="seconds")


def test_the_value_is_that_of_a_cross_validation_with_the_settings(small_adata):
    small_adata.obs["split"] = np.repeat(["train", "valid", "test"], [80, 20, 20])
    found = run(small_adata)
    seed = int(np.random.default_rng(0).integers(2**62))
    learning = np.arange(120) < 100
    study = _study.study(
        small_adata[learning].copy(), "cell_type", network=LINEAR, fit=found.fit, genes="auto", layer=None, use_rep=None
    )
    losses = []
    for fold in _folds.at_random(study.found, 2, 0, np.random.default_rng([seed, 0])):
        answer = study.answers(study.learn(fold.train, seed), fold.test, 0.0)["network"]
        losses.append(-np.log(answer.proba[np.arange(fold.test.sum()), study.found.codes[fold.test]]).mean())
    assert found.value == pytest.approx(np.mean(losses), rel=1e-4)
    complete = found.trials[found.trials["state"] == "complete"]
    assert found.value == complete["value"].min()
    assert found.fit.learning_rate == complete.loc[complete["value"].idxmin(), "fit.learning_rate"]
    assert (found.fit.epochs, found.network) == (2, LINEAR)


def test_nothing_is_learnt_from_test_rows(small_adata):
    small_adata.obs["split"] = np.repeat(["train", "test"], [90, 30])
    before = trials_of(run(small_adata))
    values = small_adata.X.toarray()
    values[90:] = 60 - values[90:]
    small_adata.X = csr_matrix(values)
    small_adata.obs.iloc[90:, small_adata.obs.columns.get_loc("cell_type")] = "B"
    pd.testing.assert_frame_equal(trials_of(run(small_adata)), before)


def test_a_missing_split_is_made_and_its_test_rows_are_left_out(small_adata):
    run(small_adata, n_trials=1)
    assert (small_adata.obs["split"] == "test").sum() == 12


def test_a_sensible_rate_is_found(small_adata):
    found = run(small_adata, n_trials=8, prune=False)
    assert found.fit.learning_rate > 1e-3
    worst = found.trials.sort_values("fit.learning_rate").iloc[0]
    assert worst["fit.learning_rate"] < 1e-3
    assert worst["value"] > 1.5 * found.value


def test_a_grid_runs_all_its_points(small_adata):
    space = cc.tl.Space(
        fit={"class_weight": cc.tl.Choice(["sqrt", None]), "epochs": cc.tl.Integers(1, 2)},
        network={"hidden": cc.tl.Choice([(4,), (4, 3)])},
    )
    found = run(small_adata, space=space, sampler="grid", network=cc.nn.MLP(), n_trials=None, prune=False)
    settings = ["fit.class_weight", "fit.epochs", "network.hidden"]
    points = {tuple(map(str, row)) for row in found.trials[settings].to_numpy()}
    assert len(points) == len(found.trials) == 8
    assert ("None", "2", "(4, 3)") in points
    best = found.trials.loc[found.trials["value"].idxmin()]
    assert repr(found.network.hidden) == best["network.hidden"]
    assert (repr(found.fit.class_weight), found.fit.epochs) == (best["fit.class_weight"], best["fit.epochs"])


def test_trials_that_do_badly_are_given_up(small_adata, monkeypatch):
    """The first five trials run all folds; of the later ones, those worse than their median after the first fold do not."""
    rates = []

    def value(chosen, *_):
        rates.append(chosen.fit.learning_rate)
        return abs(np.log10(chosen.fit.learning_rate) + 2.5)

    monkeypatch.setattr("cellclf.tl._search.value_of", value)
    found = run(small_adata, n_trials=12, sampler="random")
    values = found.trials["value"].to_numpy()
    complete = (found.trials["state"] == "complete").to_numpy()
    for number in range(12):
        earlier = values[:number][complete[:number]]
        assert complete[number] == (number < 5 or values[number] <= np.median(earlier))
    assert not complete.all()
    assert (found.trials["n_folds"] == np.where(complete, 2, 1)).all()
    assert len(rates) == found.trials["n_folds"].sum()


def test_a_training_that_diverges_is_given_up(small_adata, monkeypatch):
    def value(chosen, *_):
        if chosen.fit.learning_rate > 3e-3:
            raise FloatingPointError
        return 1.0

    monkeypatch.setattr("cellclf.tl._search.value_of", value)
    found = run(small_adata, n_trials=8, sampler="random")
    assert set(found.trials["state"]) == {"complete", "pruned"}
    assert found.fit.learning_rate <= 3e-3
    monkeypatch.setattr("cellclf.tl._search.value_of", lambda *_: (_ for _ in ()).throw(FloatingPointError))
    with pytest.raises(FloatingPointError, match="No trial ran to its end"):
        run(small_adata)


def test_a_stopped_search_goes_on_with_the_same_trials(small_adata, tmp_path, monkeypatch):
    whole = run(small_adata, n_trials=3)
    learn, calls = Study.learn, []

    def stop(self, train, seed):
        calls.append(1)
        if len(calls) == 4:  # within the second trial
            raise KeyboardInterrupt
        return learn(self, train, seed)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "learn", stop)
        found = run(small_adata, n_trials=3, storage=tmp_path / "trials.db")
    assert found.interrupted
    assert len(found.trials) == 1
    again = run(small_adata, n_trials=3, storage=tmp_path / "trials.db")
    pd.testing.assert_frame_equal(trials_of(again), trials_of(whole))
    longer = run(small_adata, n_trials=4, storage=tmp_path / "trials.db")
    pd.testing.assert_frame_equal(trials_of(longer).iloc[:3], trials_of(whole))
    with pytest.raises(ValueError, match="storage holds another search: 'metric' differ"):
        run(small_adata, metric="macro_f1", storage=tmp_path / "trials.db")
    with pytest.raises(ValueError, match="'cells and labels' differ"):
        run(small_adata[:100].copy(), split=None, storage=tmp_path / "trials.db")


def test_a_killed_search_goes_on(small_adata, tmp_path):
    small_adata.write_h5ad(tmp_path / "cells.h5ad")
    script = textwrap.dedent(f"""
        import anndata, cellclf as cc
        adata = anndata.read_h5ad({str(tmp_path / "cells.h5ad")!r})
        space = cc.tl.Space(fit={{"learning_rate": cc.tl.LogUniform(1e-4, 1e-1)}})
        cc.tl.tune(adata, "cell_type", space=space, n_trials=500, n_folds=2, network=cc.nn.Linear(),
                   fit=cc.Fit(epochs=2, batch_size=30), storage={str(tmp_path / "trials.db")!r})
    """)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None and n_kept(tmp_path / "trials.db") < 2:
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = n_kept(tmp_path / "trials.db")
    assert kept >= 2
    found = run(small_adata, n_trials=kept + 1, storage=tmp_path / "trials.db")
    whole = run(small_adata, n_trials=kept + 1)
    pd.testing.assert_frame_equal(trials_of(found), trials_of(whole))


def n_kept(path):
    if not path.exists():
        return 0
    try:
        study = optuna.load_study(study_name="search", storage=f"sqlite:///{path}")
    except Exception:  # noqa: BLE001 - the tables are just being made
        return 0
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


@pytest.fixture
def one_thread(monkeypatch):
    """Give every process one thread: sums of floats depend on how many share them."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.usefixtures("one_thread")
def test_trials_side_by_side_reach_what_they_reach_alone(small_adata):
    space = cc.tl.Space(fit={"epochs": cc.tl.Integers(1, 3)}, network={"hidden": cc.tl.Choice([(4,), (4, 3)])})
    usual = {"space": space, "sampler": "grid", "network": cc.nn.MLP(), "n_trials": None, "prune": False}
    alone, together = run(small_adata, **usual), run(small_adata, n_jobs=2, **usual)
    names = ["fit.epochs", "network.hidden"]
    pd.testing.assert_frame_equal(
        trials_of(together).sort_values(names, ignore_index=True),
        trials_of(alone).sort_values(names, ignore_index=True),
        rtol=1e-6,
    )
    assert (together.fit, together.network) == (alone.fit, alone.network)


def test_a_process_that_ends_is_said(small_adata, monkeypatch):
    from cellclf.tl._trial_processes import TrialProcess

    value = TrialProcess.value

    def killed(self, chosen, fold):
        self.process.kill()
        self.process.wait()
        return value(self, chosen, fold)

    monkeypatch.setattr(TrialProcess, "value", killed)
    with pytest.raises(RuntimeError, match="A process that tries settings has ended"):
        run(small_adata, n_jobs=2)
    assert "tune" not in small_adata.uns


def test_calibration_folds_are_left_for_the_training_that_follows(small_adata, monkeypatch):
    monkeypatch.setattr(_conformal, "attempt", None)
    asked = replace(QUICK, conformal_folds=3)
    before, found = run(small_adata), run(small_adata, fit=asked)
    assert found.fit == replace(before.fit, conformal_folds=3)
    pd.testing.assert_frame_equal(trials_of(found), trials_of(before))


def test_the_search_is_judged_on_cells_that_had_no_part_in_it(small_adata):
    found = run(small_adata, n_outer=2, n_trials=2, split=None)
    assert found.nested["fold"].tolist() == ["1"] * 3 + ["2"] * 3
    own = found.nested[found.nested["model"] == "network"]
    assert (own["n_train"] + own["n_test"] == 120).all()
    assert all("fit.learning_rate" in json.loads(text) for text in own["settings"])
    assert "had no part" in str(found)
    pd.testing.assert_frame_equal(trials_of(run(small_adata, n_trials=2, split=None)), trials_of(found))


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_round_trip(small_adata, form, tmp_path):
    rate = cc.tl.LogUniform(1e-3, 1e-2)
    space = cc.tl.Space(fit={"class_weight": cc.tl.Choice(["sqrt", None]), "learning_rate": rate}, network={})
    found = run(small_adata, space=space, n_trials=2)
    getattr(small_adata, f"write_{form}")(tmp_path / "x")
    back = getattr(anndata, f"read_{form}")(tmp_path / "x")
    pd.testing.assert_frame_equal(cc.get.tune(back), found.trials)
    assert cc.get.tune(back).attrs == {"metric": "log_loss", "value": found.value, "logarithmic": ["fit.learning_rate"]}
    best = {"fit.class_weight": repr(found.fit.class_weight), "fit.learning_rate": found.fit.learning_rate}
    assert json.loads(str(back.uns["tune"]["best"])) == best


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cc.tl.Uniform(1, 0), ValueError, "in order"),
        (lambda: cc.tl.Uniform(0, float("inf")), ValueError, "in order"),
        (lambda: cc.tl.LogUniform(0, 1), ValueError, "above 0"),
        (lambda: cc.tl.Integers(1, 2.5), ValueError, "not whole"),
        (lambda: cc.tl.Integers(3, 3), ValueError, "in order"),
        (lambda: cc.tl.Choice(["a"]), ValueError, "no choice"),
        (lambda: cc.tl.Choice(["a", "a"]), ValueError, "twice"),
        (lambda: cc.tl.Space(fit={"speed": cc.tl.Uniform(0, 1)}), ValueError, "Fit has no setting 'speed'"),
        (lambda: cc.tl.Space(fit={"learning_rate": 0.1}), TypeError, "is no distribution"),
    ],
    ids=["order", "infinite", "zero", "decimal", "one-value", "one-option", "twice", "no-setting", "no-distribution"],
)
def test_spaces_without_meaning_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_spaces_are_frozen_and_equal_by_value():
    one, other = (cc.tl.Space(fit={"epochs": cc.tl.Integers(1, 3)}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(FrozenInstanceError):
        one.fit = ()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_trials": 0.5}, ValueError, "n_trials=0.5"),
        ({"n_folds": 1}, ValueError, "n_folds=1"),
        ({"n_outer": 1}, ValueError, "n_outer=1"),
        ({"n_jobs": 0}, ValueError, "n_jobs=0"),
        ({"sampler": "bayes"}, ValueError, "sampler='bayes'"),
        ({"metric": "auc"}, ValueError, "metric='auc'"),
        ({"sampler": "grid"}, ValueError, "cannot list all values of fit.learning_rate"),
        ({"space": cc.tl.Space(fit={}, network={})}, ValueError, "names no setting"),
        ({"space": cc.tl.Space(network={"width": cc.tl.Integers(1, 2)})}, ValueError, "Linear has no setting 'width'"),
        ({"storage": "nowhere/at/all.db"}, FileNotFoundError, "lies in no folder"),
    ],
    ids=str,
)
def test_bad_calls_leave_no_trace(small_adata, options, error, message):
    before = list(small_adata.uns), list(small_adata.obs)
    with pytest.raises(error, match=message):
        run(small_adata, **options)
    assert (list(small_adata.uns), list(small_adata.obs)) == before


def test_without_optuna_it_is_said_what_to_install(small_adata, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'cellclf\[tune\]'"):
        run(small_adata)
