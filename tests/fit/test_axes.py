from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn.functional import batch_norm, cross_entropy, relu

from cellclf.fit import Fit, Rows, train
from cellclf.fit._axes import ThroughAxes, n_axes, read_genes, read_through_axes
from cellclf.fit._batches import batches, n_batches
from cellclf.fit._schedule import learning_rate
from cellclf.fit._several import train_several
from cellclf.fit._task import Task
from cellclf.nn import MLP, CNN1d, Linear

N_GENES, N_AXES = 30, 6
STILL = Fit(epochs=3, batch_size=16, axes=N_AXES, input_dropout=0.0, device="cpu")


@pytest.fixture
def rows() -> Rows:
    """Draw cells of three classes, whose genes vary together."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    factors = rng.normal(size=(90, N_AXES)) + 2 * np.eye(3, N_AXES)[y]
    x = factors @ rng.normal(size=(N_AXES, N_GENES)) + 0.1 * rng.normal(size=(90, N_GENES))
    return Rows(x.astype(np.float32), y)


def axes_of(rows: Rows) -> np.ndarray:
    """Return the axes by scikit-learn (n_axes, n_genes)."""
    return PCA(N_AXES, svd_solver="full").fit(rows.x).components_


def hidden_weights(network: torch.nn.Module) -> np.ndarray:
    """Return the weights of the hidden units (n_units, n_genes)."""
    return network.first_linear.weight.detach().numpy()[: -network.n_skip or None]


def beside(weights: np.ndarray, axes: np.ndarray) -> float:
    """Return the share of the weights that lies outside the axes."""
    return float(np.square(weights - weights @ axes.T @ axes).sum() / np.square(weights).sum())


@pytest.mark.parametrize(("width", "members"), [(8, 1), (7, 1), (1, 1), (5, 2)])
def test_half_of_the_hidden_units_learn_only_within_the_axes(width, members, rows):
    options = Fit(**{**vars(STILL), "members": members})
    network = train(MLP((width,)), rows, None, options, n_classes=3, seed=0).network
    assert type(network.first_linear) is torch.nn.Linear
    for hidden in np.split(hidden_weights(network), members):
        first, second = hidden[: width - width // 2], hidden[width - width // 2 :]
        assert beside(first, axes_of(rows)) > 0.1
        assert len(second) == 0 or beside(second, axes_of(rows)) < 1e-6
    skip = network.first_linear.weight.detach().numpy()[-network.n_skip :]
    assert beside(skip, axes_of(rows)) > 1e-6  # the skip reads genes too


@pytest.mark.parametrize("members", [1, 3])
def test_afterwards_each_gene_has_the_weights_that_this_comes_to(members, rows):
    network = MLP((5,)).build(N_GENES, 3, members=members)
    before = network.first_linear
    read_through_axes(network, rows, N_AXES, members=members)
    assert isinstance(network.first_linear, ThroughAxes)
    torch.testing.assert_close(network.first_linear.bias, before.bias)
    for weight in network.first_linear.parameters():
        torch.nn.init.normal_(weight)
    x = torch.from_numpy(rows.x)
    through = network.first_linear(x).detach()
    plain = read_genes(deepcopy(network))
    assert set(plain.state_dict()) == set(MLP((5,)).build(N_GENES, 3, members=members).state_dict())
    torch.testing.assert_close(plain.first_linear(x), through, rtol=1e-4, atol=1e-4)


def test_equals_a_bare_loop(rows):
    """Written out: genes and axes as inputs, by halves, of the hidden layer, and both of the skip."""
    options = Fit(**{**vars(STILL), "class_weight": None})
    description = MLP((8,), dropout=0.0)
    found = train(description, rows, None, options, n_classes=3, seed=4).network
    first = Task(description, rows, None, options, 3, 4, None, None, "").first_weights()
    names = [
        name
        for name in first
        if name.split(".")[-1] not in {"axes", "running_mean", "running_var", "num_batches_tracked"}
    ]
    w = {name: first[name].clone().requires_grad_() for name in names}
    axes, genes, quiet = first["first_linear.axes"], torch.from_numpy(rows.x), (N_AXES / N_GENES) ** 0.5

    bias = w["first_linear.bias"]

    def logits(x: torch.Tensor) -> torch.Tensor:
        read = x @ axes
        by_genes, by_axes = x @ w["first_linear.of_genes"].T, read @ w["first_linear.of_axes"].T
        hidden = torch.cat([by_genes[:, :4], by_axes[:, :4]], dim=1) + bias[:8]
        norm = w["activations.0.0.weight"], w["activations.0.0.bias"]
        hidden = relu(batch_norm(hidden, None, None, *norm, training=True))
        skip = quiet * by_genes[:, 4:] + by_axes[:, 4:] + bias[8:]
        return hidden @ w["linears.0.weight"][0].T + w["linears.0.bias"] + skip

    rule = torch.optim.AdamW(list(w.values()), betas=(0.9, 0.99), weight_decay=options.weight_decay)
    step, steps = 0, 3 * n_batches(90, 16)
    for epoch in (1, 2, 3):
        for index in batches(90, 16, seed=4, epoch=epoch):
            rule.param_groups[0]["lr"] = learning_rate(options, step, steps)
            loss = cross_entropy(
                logits(genes[index]), torch.from_numpy(rows.y[index]), label_smoothing=STILL.label_smoothing
            )
            rule.zero_grad()
            loss.backward()
            rule.step()
            step += 1
    of_genes, of_axes = w["first_linear.of_genes"], w["first_linear.of_axes"] @ axes.T
    expected = of_genes[:4], of_axes[:4], quiet * of_genes[4:] + of_axes[4:]
    torch.testing.assert_close(found.first_linear.weight, torch.cat(expected), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("description", "changes"),
    [
        pytest.param(MLP((8,), skip=False), {}, id="no skip"),
        pytest.param(Linear(), {}, id="linear"),
        pytest.param(CNN1d(channels=(2,)), {}, id="convolution"),
        pytest.param(MLP((8,)), {"axes": 0}, id="not asked for"),
        pytest.param(MLP((8,)), {"axes": N_GENES}, id="no fewer than genes"),
        pytest.param(MLP((8,)), {"l1": 1e-3}, id="l1"),
        pytest.param(MLP((8,)), {"l2": {"first_linear": 1e-3}}, id="l2"),
        pytest.param(MLP((8,)), {"group_l1": 1e-3}, id="group_l1"),
    ],
)
def test_genes_are_read_for_themselves_where_they_must_be(description, changes, rows):
    options = Fit(**{**vars(STILL), **changes})
    assert n_axes(description.build(N_GENES, 3), rows, options) == 0
    task = Task(description, rows, None, options, 3, 0, None, None, "")
    assert not any(isinstance(module, ThroughAxes) for module in task.build().modules())


def test_no_more_axes_than_cells_span(rows):
    few = Rows(rows.x[:4], rows.y[:4])
    assert n_axes(MLP((8,)).build(N_GENES, 3), few, STILL) == 3
    network = train(MLP((8,)), few, None, STILL, n_classes=3, seed=0).network
    assert np.isfinite(hidden_weights(network)).all()


def test_given_weights_are_gone_on_from_as_they_are(rows):
    first = train(MLP((8,)), rows, None, Fit(**{**vars(STILL), "axes": 0}), n_classes=3, seed=0).network
    again = train(MLP((8,)), rows, None, STILL, n_classes=3, seed=0, initial=first.state_dict()).network
    assert beside(hidden_weights(again), axes_of(rows)) > 0.1


def test_side_by_side_as_alone(rows):
    options = Fit(**vars(STILL))
    description = MLP((8,), dropout=0.0)
    parts = [Rows(rows.x[start : start + 70], rows.y[start : start + 70]) for start in (0, 10, 20)]
    found = train_several(description, parts, options, n_classes=3, seeds=(5, 6, 9), epochs=None, title="")
    for network, part, seed in zip(found.networks, parts, (5, 6, 9), strict=True):
        alone = train(description, part, None, options, n_classes=3, seed=seed).network
        assert type(network.first_linear) is torch.nn.Linear
        torch.testing.assert_close(network.first_linear.weight, alone.first_linear.weight, rtol=1e-3, atol=1e-5)
