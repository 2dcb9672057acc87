"""Linear models that speak through the linear skip of a trained network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellclf import stats
from cellclf.fit import Fit, Rows
from cellclf.fit._logistic import logistic
from cellclf.fit._stacking import MODELS, has_room, linear_models, loudness, speak
from cellclf.nn import MLP, Autoencoder, Linear

CPU = torch.device("cpu")


@pytest.fixture
def rows() -> Rows:
    """Draw cells of three classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    return Rows((2 * np.eye(3, 12)[y] + rng.normal(size=(90, 12))).astype(np.float32), y)


@pytest.mark.parametrize("members", [1, 3])
def test_every_member_says_its_own_and_what_the_models_say(rows, members):
    torch.manual_seed(0)
    network = MLP(hidden=(7, 5)).build(12, 3, members=members).eval()
    x = torch.from_numpy(rows.x)
    with torch.no_grad():
        before, hidden = network.by_member(x), network.embed(x)
        models = linear_models(rows, 3)
        speak(network, models, {"discriminant": 0.4, "logistic": 0.7})
        after = network.by_member(x)
        torch.testing.assert_close(network.embed(x), hidden)
    said = 0.4 * models["discriminant"](rows.x) + 0.7 * models["logistic"](rows.x)
    expected = before + torch.from_numpy(said.astype(np.float32))[:, None]
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-4)


def test_silence_leaves_every_bit(rows):
    network = MLP(hidden=(7,)).build(12, 3)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    speak(network, linear_models(rows, 3), dict.fromkeys(MODELS, 0.0))
    speak(network, linear_models(rows, 3, []), {})
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_what_does_not_speak_is_not_learnt(rows, monkeypatch):
    assert list(linear_models(rows, 3, ["logistic"])) == ["logistic"]
    monkeypatch.setattr(Rows, "axes", None)  # would fail if it were asked
    assert linear_models(rows, 3, []) == {}


def test_they_are_learnt_from_some_of_many_cells_with_the_sizes_of_all(rows, monkeypatch):
    monkeypatch.setattr(stats, "N_LEARNT", 40)
    chosen = stats.evenly(rows.y, 40)
    found = linear_models(rows, 3)
    assert list(found) == ["discriminant", "logistic"]
    for name, learn in (("discriminant", stats.discriminant), ("logistic", logistic)):
        expected = learn(rows.x[chosen], rows.y[chosen], np.bincount(rows.y), rows.axes(12))
        np.testing.assert_array_equal(found[name].weight, expected[0])
        np.testing.assert_array_equal(found[name].bias, expected[1])


def test_they_see_what_tells_classes_apart_and_varies_little(monkeypatch):
    monkeypatch.setattr(stats, "N_AXES", 2)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    cells = rng.normal(size=(300, 12)) * np.repeat([2.0, 0.1], [2, 10]) + np.eye(3, 12, 5)[y]
    rows = Rows(cells.astype(np.float32), y)
    assert abs(rows.axes(2)[5:]).max() < 0.1
    for model in linear_models(rows, 3).values():
        assert (model(rows.x).argmax(axis=1) == y).mean() > 0.99


def test_how_loud_is_what_validation_rows_want(rows, monkeypatch):
    torch.manual_seed(0)
    network = MLP(hidden=(7,)).build(12, 3).eval()  # knows nothing yet
    models, valid = linear_models(Rows(rows.x[:60], rows.y[:60]), 3), Rows(rows.x[60:], rows.y[60:])
    loud = loudness(network, models, valid, CPU)
    with torch.no_grad():
        first = network(torch.from_numpy(valid.x)).double().numpy()
    told = [model(valid.x) for model in models.values()]
    expected = stats.stacking_weights([first, *told], valid.y)
    assert expected[0] == 1
    assert list(loud.values()) == pytest.approx(expected[1:], rel=1e-3)
    assert sum(loud.values()) > 0.3
    monkeypatch.setattr("cellclf.fit._stacking.N_JUDGED", 10)
    few = loudness(network, models, valid, CPU)
    some = np.unique(np.linspace(0, 29, 10).astype(int))
    expected = stats.stacking_weights([values[some] for values in (first, *told)], valid.y[some])
    assert list(few.values()) == pytest.approx(expected[1:], rel=1e-3)
    assert few != loud


@pytest.mark.parametrize(
    ("network", "fit", "room"),
    [
        (MLP(), Fit(), True),
        (MLP(), Fit(stacking=False), False),
        (MLP(skip=False), Fit(), False),
        (Linear(), Fit(), False),
        (Autoencoder(hidden=(4,), latent=2), Fit(), False),
        (MLP(), Fit(l1=1.0), False),
        (MLP(), Fit(l2={"first_linear": 1.0}), False),
        (MLP(), Fit(group_l1=1.0), False),
    ],
)
def test_only_a_skip_without_penalties_has_room(network, fit, room):
    assert has_room(network.build(12, 3), fit) == room


def test_a_setting_that_is_no_truth_value_is_refused():
    with pytest.raises(ValueError, match="Fit\\(stacking=1\\) is out of range"):
        Fit(stacking=1)  # type: ignore[arg-type]


def test_axes_are_found_once_and_again_only_for_more(rows, monkeypatch):
    calls, found = [], stats.principal_axes

    def counted(*args, **options):
        calls.append(args[1])
        return found(*args, **options)

    monkeypatch.setattr(stats, "principal_axes", counted)
    six, three = rows.axes(6), rows.axes(3)
    assert np.array_equal(six[:, :3], three)
    assert rows.axes(40).shape == (12, 12)
    assert calls == [6, 12]
    centred = rows.x - rows.x.mean(axis=0)
    spread = (centred @ rows.axes(12)).var(axis=0)
    np.testing.assert_allclose(spread, np.linalg.svd(centred, compute_uv=False) ** 2 / len(centred), rtol=1e-4)


def test_axes_of_many_cells_are_those_of_some(rows, monkeypatch):
    monkeypatch.setattr("cellclf.fit._rows.N_LOOKED_AT", 30)
    some = rows.x[stats.evenly(rows.y, 30)]
    expected = stats.principal_axes(some - some.mean(axis=0), 4, n_iterations=2)
    np.testing.assert_array_equal(rows.axes(4), expected)
