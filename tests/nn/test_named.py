"""The seeds' networks, and their sizes counted by hand."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

import cellclf as cc
from cellclf.nn._named import NAMED
from cellclf.nn._registry import from_header, to_header


def dense(*widths):
    """Count weights and biases of layers from each width to the next."""
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(widths))


SIZES = [
    # three of the four hidden layers are normalised: a scale and a shift for each unit
    pytest.param(
        "tumours", 20531, 5, dense(20531, 5000, 1000, 100, 10, 5) + 2 * (5000 + 1000 + 100), 107_774_365, id="tumours"
    ),
    pytest.param("cells", 1000, 10, dense(1000, 2048, 512, 10), 3_104_266, id="cells"),
    # convolutions see 10, 10, 2 and 5 neighbours; 19232 → 4808 → 1202 → 1201 → 300 → 100 places of 128 channels remain
    pytest.param(
        "cells_cnn",
        19232,
        10,
        dense(10, 16) + dense(16 * 10, 32) + dense(32 * 2, 64) + dense(64 * 5, 128) + dense(128 * 100, 512, 10),
        6_609_818,
        id="cells_cnn",
    ),
    pytest.param("breast_cancer", 30, 2, dense(30, 30, 2), 992, id="breast_cancer"),
    # encoder, decoder and classifier; both layers of 2048 and the one of 128 units are normalised
    pytest.param(
        "cell_lines",
        18292,
        39,
        dense(18292, 2048, 512) + dense(512, 2048, 18292) + dense(512, 128, 39) + 2 * (2048 + 2048 + 128),
        77_123_227,
        id="cell_lines",
    ),
    pytest.param("chromatin", 1372, 2, dense(1372, 5, 5, 2), 6_907, id="chromatin"),
]


@pytest.mark.parametrize(("name", "n_genes", "n_classes", "by_hand", "total"), SIZES)
def test_numbers_of_parameters(name, n_genes, n_classes, by_hand, total):
    assert cc.nn.n_parameters(cc.nn.named(name), n_genes, n_classes) == by_hand == total


def test_every_named_network_is_counted():
    assert {parameter.values[0] for parameter in SIZES} == set(NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_named_networks_survive_json(name):
    description = cc.nn.named(name)
    assert from_header(json.loads(json.dumps(to_header(description)))) == description


def test_lengths_of_the_cells_cnn_are_those_of_the_seed():
    assert cc.nn.named("cells_cnn").lengths(19232) == (4808, 1202, 300, 100)


def test_tumours_against_the_seed_layer_by_layer():
    """The seed's module in plain torch, at a hundredth of its inputs, with the same weights: the same logits."""
    from torch.nn import BatchNorm1d, Linear, ReLU, Sequential

    seed = Sequential(
        *(Linear(205, 5000), ReLU(), BatchNorm1d(5000), Linear(5000, 1000), ReLU(), BatchNorm1d(1000)),
        *(Linear(1000, 100), ReLU(), BatchNorm1d(100), Linear(100, 10), ReLU(), Linear(10, 5)),
    )
    ours = cc.nn.named("tumours").build(205, 5)
    with torch.no_grad():
        for theirs, mine in zip(
            [module for module in seed if isinstance(module, Linear)], [ours.first_linear, *ours.linears], strict=True
        ):
            mine.weight.copy_(theirs.weight.view_as(mine.weight))
            mine.bias.copy_(theirs.bias.view_as(mine.bias))
    x = torch.randn(8, 205)
    torch.testing.assert_close(ours.train()(x), seed.train()(x))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'breast_cancer'"):
        cc.nn.named("brain")


def test_members_are_counted():
    assert cc.nn.n_parameters(cc.nn.Linear(), 1000, 10) == 10_010
    assert cc.nn.n_parameters(cc.nn.Linear(), 1000, 10, members=3) == 30_030


def test_counting_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="too few"):
        cc.nn.n_parameters(cc.nn.named("cells_cnn"), 100, 10)
