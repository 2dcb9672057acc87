"""Every kind of network against its formula, written out in NumPy with the same weights."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch

import cellclf as cc
from cellclf.nn import MLP, Autoencoder, CNN1d, Linear
from cellclf.nn._layers import ACTIVATIONS

X = np.random.default_rng(0).normal(size=(9, 12))
ERF = np.vectorize(math.erf)
FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + ERF(x / np.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
}
settings = pytest.mark.parametrize(
    ("activation", "norm"), [*((name, "before") for name in FORMULAS), ("relu", "after"), ("tanh", None)]
)


def weights(network):
    return {name: weight.detach().numpy() for name, weight in network.double().named_parameters()}


def normalised(x, values, place):
    """Normalise over the batch (and the places along the genes), with the scale and shift of a unit."""
    axes, shape = tuple(axis for axis in range(x.ndim) if axis != 1), [1, -1, *[1] * (x.ndim - 2)]
    centred = x - x.mean(axis=axes, keepdims=True)
    centred /= np.sqrt((centred**2).mean(axis=axes, keepdims=True) + 1e-5)
    return centred * values[f"{place}.weight"].reshape(shape) + values[f"{place}.bias"].reshape(shape)


def between(x, values, place, activation, norm):
    """Apply an activation, with a normalisation before or after it."""
    if norm == "before":
        return FORMULAS[activation](normalised(x, values, f"{place}.0"))
    return FORMULAS[activation](x) if norm is None else normalised(FORMULAS[activation](x), values, f"{place}.1")


def linear(x, values, place):
    """Apply a layer of one member."""
    weight, bias = values[f"{place}.weight"], values[f"{place}.bias"]
    return x @ weight.reshape(weight.shape[-2:]).T + bias.ravel()


def test_every_activation_has_a_formula():
    assert set(FORMULAS) == set(ACTIVATIONS)


@settings
@pytest.mark.parametrize("skip", [True, False])
def test_perceptron(activation, norm, skip, build):
    network = build(MLP((8, 6), activation=activation, batch_norm=norm, dropout=0.0, skip=skip))
    values = weights(network)
    first = linear(X, values, "first_linear")
    hidden = between(first[:, :8], values, "activations.0", activation, norm)
    hidden = between(linear(hidden, values, "linears.0"), values, "activations.1", activation, norm)
    expected = linear(hidden, values, "linears.1") + (first[:, 8:] if skip else 0)
    np.testing.assert_allclose(network(torch.from_numpy(X)).detach(), expected, rtol=1e-8, atol=1e-10)


@settings
def test_convolution(activation, norm, build):
    description = CNN1d((2, 3), kernels=(4, 3), pools=2, hidden=(6,), activation=activation, batch_norm=norm, dropout=0)
    network = build(description)
    values, hidden = weights(network), X[:, None]
    for block, (pad, kernel) in enumerate([((1, 2), 4), ((1, 1), 3)]):
        padded = np.pad(hidden, ((0, 0), (0, 0), pad))
        seen = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=2)  # cells, channels, places, neighbours
        weight, bias = (values[f"blocks.{block}.convolution.{name}"] for name in ("weight", "bias"))
        hidden = np.einsum("ncpk,dck->ndp", seen, weight) + bias[:, None]
        hidden = between(hidden, values, f"blocks.{block}.step", activation, norm)
        hidden = hidden.reshape(*hidden.shape[:2], -1, 2).max(axis=3)
    hidden = between(linear(hidden.reshape(9, -1), values, "linears.0"), values, "activations.0", activation, norm)
    expected = linear(hidden, values, "linears.1")
    np.testing.assert_allclose(network(torch.from_numpy(X)).detach(), expected, rtol=1e-8, atol=1e-10)


@settings
def test_autoencoder(activation, norm, build):
    """The latent layer is linear, and so is what is given back; a head classifies from the latent layer."""
    description = Autoencoder(3, hidden=(8, 6), head_hidden=(7,), activation=activation, batch_norm=norm, dropout=0.0)
    network = build(description)
    values = weights(network)

    def step(x, place):
        return between(x, values, place, activation, norm)

    hidden = step(linear(X, values, "first_linear"), "encoder.activations.0")
    hidden = step(linear(hidden, values, "encoder.linears.0"), "encoder.activations.1")
    latent = linear(hidden, values, "encoder.linears.1")
    back = step(linear(latent, values, "decoder.linears.0"), "decoder.activations.0")
    back = step(linear(back, values, "decoder.linears.1"), "decoder.activations.1")
    back = linear(back, values, "decoder.linears.2")
    logits = linear(step(linear(latent, values, "head.linears.0"), "head.activations.0"), values, "head.linears.1")
    x, y = torch.from_numpy(X), np.arange(9) % 5
    scores = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -scores[np.arange(9), y].mean() + ((back - X) ** 2).mean()
    for found, expected in [
        (network.embed(x), latent),
        (network.reconstruct(x), back),
        (network(x), logits),
        (network.row_losses(x), ((back - X) ** 2).mean(axis=1)),
        (network.loss(x, torch.from_numpy(y)), loss),
    ]:
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-8, atol=1e-10)


def test_linear(build):
    network = build(Linear())
    values = weights(network)
    expected = X @ values["first_linear.weight"].T + values["first_linear.bias"]
    np.testing.assert_allclose(network(torch.from_numpy(X)).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("description", [Linear(), MLP(), CNN1d(), Autoencoder()], ids=lambda d: type(d).__name__)
def test_modules_are_final_and_build_on_the_interface_alone(description):
    module = type(description.build(100, 3))
    assert inspect.getmro(module)[1] is cc.nn.Network
    assert module.__final__


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("initialisation", ["default", "orthogonal"])
def test_a_network_larger_than_any_memory_is_counted(initialisation, members):
    """Two layers of a million units each would take eight terabytes."""
    n = 10**6
    by_hand = members * ((n + 1) * n + 2 * n + (n + 1) * n + 2 * n + (n + 1) * 7 + (n + 1) * 7)
    network = MLP((n, n), initialisation=initialisation)
    assert cc.nn.n_parameters(network, n, 7, members=members) == by_hand
