from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from cellclf.fit import Fit


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 0},
        {"batch_size": 2.5},
        {"members": True},
        {"members": None},
        {"devices": 0},
        {"devices": None},
        {"optimiser": "lbfgs"},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": None},
        {"schedule": "linear"},
        {"weight_decay": -1},
        {"l1": -0.1},
        {"l1": float("inf")},
        {"group_l1": float("nan")},
        {"l2": {"first_linear": -1}},
        {"l2": {3: 1.0}},
        {"l2": 0.1},
        {"l2": {"first_linear": "much"}},
        {"label_smoothing": 1.0},
        {"input_dropout": -0.1},
        {"sampling": "bootstrap"},
        {"class_weight": "equal"},
        {"clip_norm": 0},
        {"patience": 0},
        {"valid_fraction": 0},
        {"preprocess": "log"},
        {"scale": None},
        {"information_power": -1},
        {"precision": "float64"},
        {"axes": -1},
        {"axes": 0.5},
    ],
    ids=lambda options: "{}={}".format(*next(iter(options.items()))),
)
def test_settings_out_of_range_are_refused_by_name(options):
    with pytest.raises(ValueError, match=rf"Fit\({next(iter(options))}="):
        Fit(**options)


def test_a_numbered_device_is_one_device():
    with pytest.raises(ValueError, match=r"device='cuda' without a number"):
        Fit(device="cuda:1", devices=2)


@pytest.mark.parametrize("l2", [{}, {"linears.0": 1e-3, "first_linear": 2}], ids=["none", "two layers"])
def test_settings_can_be_hashed_and_come_back_from_json(l2):
    fit = Fit(l2=l2, epochs=3)
    assert hash(fit) == hash(Fit(l2=dict(l2), epochs=3))
    assert dict(fit.l2) == l2
    assert Fit(**json.loads(json.dumps(asdict(fit)))) == fit


def test_defaults_are_what_the_benchmarks_were_run_with():
    """Whoever changes a default has to run the benchmarks again."""
    assert asdict(Fit()) == {
        "epochs": None,
        "batch_size": 128,
        "optimiser": "adamw",
        "learning_rate": 2e-3,
        "schedule": "one_cycle",
        "weight_decay": 0.01,
        "l2": (),
        "l1": 0.0,
        "group_l1": 0.0,
        "label_smoothing": 0.02,
        "input_dropout": 0.2,
        "sampling": "shuffle",
        "class_weight": "sqrt",
        "clip_norm": None,
        "patience": None,
        "members": 1,
        "refit": True,
        "conformal_folds": 0,
        "valid_fraction": 0.1,
        "preprocess": "auto",
        "scale": "zscore",
        "information_power": 0.75,
        "axes": 128,
        "stacking": True,
        "precision": "float32",
        "device": "auto",
        "devices": 1,
    }
