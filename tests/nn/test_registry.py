from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import cellclf as cc
from cellclf.nn._registry import build, from_header, to_header

pytestmark = pytest.mark.usefixtures("empty_registry")
FIT = cc.Fit(epochs=12, batch_size=16, learning_rate=0.02)


class SquareNetwork(cc.nn.Network):
    """A network that does not begin with a linear layer."""

    def __init__(self, n_genes: int, n_classes: int) -> None:
        super().__init__()
        self.last = torch.nn.Linear(2 * n_genes, n_classes)

    def embed(self, x):
        return torch.cat([x, x.square()], dim=1)

    def forward(self, x):
        return self.last(self.embed(x))


@dataclass(frozen=True)
class Square:
    powers: tuple[int, ...] = (1, 2)

    def build(self, n_genes, n_classes):
        return SquareNetwork(n_genes, n_classes)


def test_a_network_of_ones_own_goes_the_whole_way(small_adata, tmp_path):
    assert cc.nn.register(Square) is Square
    classifier = cc.tl.train(small_adata, "cell_type", network=Square(), fit=FIT)
    classifier.save(tmp_path / "m.safetensors")
    cc.tl.predict(small_adata)
    other = small_adata.copy()
    cc.tl.predict(other, tmp_path / "m.safetensors")
    assert other.obsm["cellclf_proba"].tobytes() == small_adata.obsm["cellclf_proba"].tobytes()
    assert (small_adata.obs["cellclf"].astype(str) == small_adata.obs["cell_type"].astype(str)).mean() > 0.9
    assert small_adata.obsm["X_cellclf"].shape == (120, 60)
    cc.tl.importance(small_adata, n_repeats=2)
    importance = small_adata.var["importance"].to_numpy()
    assert importance[:9].mean() > 5 * np.abs(importance[9:]).mean()
    with pytest.raises(TypeError, match="no first linear layer"):
        cc.tl.importance(small_adata, method="weights")


def test_a_model_of_an_unregistered_network_says_what_to_register(small_adata, tmp_path, monkeypatch):
    from cellclf.nn import _registry

    cc.nn.register(Square)
    cc.tl.train(small_adata, "cell_type", network=Square(), fit=FIT).save(tmp_path / "m.safetensors")
    monkeypatch.setattr(_registry, "_DESCRIPTIONS", dict(_registry._OWN))
    with pytest.raises(ValueError, match=r"'Square', which is not known here\. .*class Square under @cc\.nn\.register"):
        cc.Classifier.load(tmp_path / "m.safetensors")


def test_unknown_networks_are_refused_before_any_work(small_adata):
    old = set(small_adata.uns)
    with pytest.raises(TypeError, match=r"Square is no known network.*@cc\.nn\.register"):
        cc.tl.train(small_adata, "cell_type", network=Square())
    with pytest.raises(TypeError, match=r"class MLP\. Give an instance: MLP\(\)"):
        cc.tl.train(small_adata, "cell_type", network=cc.nn.MLP)
    assert set(small_adata.uns) == old


def test_registering_again_replaces():
    """As when a cell of a notebook is run again."""

    def define(width):
        @cc.nn.register
        @dataclass(frozen=True)
        class Again:
            n: int = width

            def build(self, n_genes, n_classes):
                return SquareNetwork(n_genes, n_classes)

        return Again

    first, second = define(1), define(2)
    assert from_header({"name": "Again"}) == second()
    with pytest.raises(TypeError, match="Again is no known network"):
        to_header(first())


def _frozen(**fields: Any) -> type:
    return dataclasses.make_dataclass("Mine", fields, frozen=True, namespace={"build": Square.build})


@pytest.mark.parametrize(
    ("thing", "error", "word"),
    [
        pytest.param(Square(), TypeError, "no frozen dataclass", id="an-instance"),
        pytest.param(SquareNetwork, TypeError, "SquareNetwork is no frozen dataclass", id="the-module"),
        pytest.param(dataclasses.make_dataclass("Soft", []), TypeError, "Soft is no frozen", id="not-frozen"),
        pytest.param(
            dataclasses.make_dataclass("Mute", [], frozen=True), TypeError, "no method `build`", id="no-build"
        ),
        pytest.param(
            dataclasses.make_dataclass("MLP", [], frozen=True, namespace={"build": Square.build}),
            ValueError,
            "'MLP' is known already",
            id="a-name-of-ours",
        ),
    ],
)
def test_what_cannot_be_registered(thing, error, word):
    with pytest.raises(error, match=word):
        cc.nn.register(thing)


def test_a_name_of_another_module_is_refused():
    cc.nn.register(Square)
    other = dataclasses.make_dataclass("Square", [], frozen=True, namespace={"build": Square.build})
    other.__module__ = "elsewhere"
    with pytest.raises(ValueError, match="'Square' is known already"):
        cc.nn.register(other)


@pytest.mark.parametrize(
    "value", [pytest.param(np.arange(3), id="array"), pytest.param({1, 2}, id="set"), pytest.param({1: 2}, id="keys")]
)
def test_fields_that_json_cannot_hold_are_refused(value):
    @cc.nn.register
    @dataclass(frozen=True)
    class Holder:
        value: Any

        def build(self, n_genes, n_classes):
            return SquareNetwork(n_genes, n_classes)

    with pytest.raises(TypeError, match="JSON"):
        to_header(Holder(value))


def test_one_network_at_a_time_where_build_takes_no_members():
    with pytest.raises(ValueError, match=r"Square trains one network at a time.*members=3"):
        build(Square(), 4, 3, 3)


@pytest.mark.parametrize(
    ("made", "error", "word"),
    [
        pytest.param(lambda: torch.nn.Linear(4, 3), TypeError, "returned a Linear", id="no-network"),
        pytest.param(lambda: cc.nn.Linear().build(5, 3), ValueError, "takes 5 inputs; there are 4", id="other-width"),
    ],
)
def test_modules_that_do_not_fit_are_refused(made, error, word):
    description = dataclasses.make_dataclass("Odd", [], frozen=True, namespace={"build": lambda *_: made()})()
    with pytest.raises(error, match=word):
        build(description, 4, 3)


def test_a_network_must_say_how_it_runs():
    class Silent(cc.nn.Network):
        def embed(self, x):
            return x

    with pytest.raises(TypeError, match="Silent has no `first_linear`; it must define `forward`"):
        Silent()(torch.ones(2, 3))
