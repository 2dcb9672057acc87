from __future__ import annotations

import numpy as np
import pytest
import torch

from cellclf.nn import Autoencoder


def test_a_linear_autoencoder_finds_the_principal_components():
    """Its smallest error is that of PCA: the variance outside of the first components."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 9)) + 0.3 * rng.normal(size=(60, 9))
    values -= values.mean(axis=0)
    singular = np.linalg.svd(values, compute_uv=False)
    best = (singular[2:] ** 2).sum() / values.size
    torch.manual_seed(0)
    network = Autoencoder(latent=2, hidden=(), head=False).build(9, 0).double()
    x = torch.from_numpy(values)
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = network.loss(x, torch.zeros(60))
        loss.backward()
        return loss

    optimizer.step(closure)
    reached = network.loss(x, torch.zeros(60)).item()
    assert best - 1e-9 < reached < best * 1.001


@pytest.mark.parametrize("members", [1, 2])
def test_loss_adds_the_weighted_error_of_the_clean_inputs(members, build):
    description = Autoencoder(latent=3, hidden=(6,), reconstruction=0.5)
    network = build(description, members).eval()
    x, clean, y = torch.randn(7, 12), torch.randn(7, 12), torch.arange(7) % 5
    alone = build(Autoencoder(latent=3, hidden=(6,), reconstruction=0.0), members).eval()
    alone.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("decoder")})
    decoded = network.decoder(network.embed(x).unflatten(1, (members, 3)))
    error = sum(((decoded[:, m] - clean) ** 2).mean() for m in range(members)) / members
    torch.testing.assert_close(network.loss(x, y, target=clean), alone.loss(x, y) + 0.5 * error)
    torch.testing.assert_close(network.loss(x, y), network.loss(x, y, target=x))
    assert network.reconstructs
    assert not alone.reconstructs


def test_without_a_head_there_are_no_classes(build):
    network, x = build(Autoencoder(latent=3, hidden=(6,), head=False), 2, n_classes=0).eval(), torch.randn(7, 12)
    assert network(x).shape == (7, 0)
    assert network.embed(x).shape == (7, 6)
    y = torch.zeros(7, dtype=torch.int64)
    torch.testing.assert_close(network.row_losses(x).mean(), network.loss(x, y))
    torch.testing.assert_close(network.reconstruct(x).shape, x.shape)


def test_encoder_and_decoder_mirror_each_other():
    network = Autoencoder(latent=3, hidden=(8, 6), head=False).build(12, 0)
    shapes = [tuple(linear.weight.shape[1:]) for linear in (*network.encoder.linears, *network.decoder.linears)]
    assert [tuple(network.first_linear.weight.shape), *shapes] == [(8, 12), (6, 8), (3, 6), (6, 3), (8, 6), (12, 8)]


def test_head_and_decoder_do_not_change_the_names_of_the_encoder():
    """So that a head can be put on an autoencoder that was trained without."""
    without = Autoencoder(latent=3, hidden=(8,), head=False).build(12, 0).state_dict()
    with_head = Autoencoder(latent=3, hidden=(8,)).build(12, 5).state_dict()
    assert {name: w.shape for name, w in without.items()}.items() <= {n: w.shape for n, w in with_head.items()}.items()
    assert all(name.startswith("head.") for name in with_head.keys() - without.keys())


def test_without_a_decoder_nothing_is_reconstructed(build):
    network = build(Autoencoder(latent=3, hidden=(6,), reconstruction=0.0))
    with pytest.raises(TypeError, match="no decoder"):
        network.reconstruct(torch.randn(3, 12))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"latent": 0}, "latent=0"),
        ({"latent": 2.5}, "latent=2.5"),
        ({"hidden": (0,)}, "hidden"),
        ({"head_hidden": (0,)}, "head_hidden"),
        ({"head": False, "head_hidden": (8,)}, "head=False"),
        ({"head": False, "reconstruction": 0.0}, "nothing to learn"),
        ({"reconstruction": -1.0}, "reconstruction=-1.0"),
        ({"reconstruction": float("nan")}, "reconstruction=nan"),
        ({"dropout": 1.0}, "share"),
        ({"dropout": (0.1, 0.2)}, "2 entries for 1 layers"),
        ({"activation": "swish"}, "'relu'"),
        ({"batch_norm": "around"}, "'before'"),
        ({"initialisation": "ones"}, "'orthogonal'"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        Autoencoder(**options)
