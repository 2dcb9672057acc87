"""What holds for every network."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from torch.nn import functional

import cellclf as cc
from cellclf.nn import MLP, Autoencoder, CNN1d, Linear
from cellclf.nn._registry import from_header, to_header

NETWORKS = [
    pytest.param(Linear(), 1, id="linear"),
    pytest.param(Linear(), 2, id="linear, two members"),
    pytest.param(MLP(hidden=(8,)), 1, id="mlp"),
    pytest.param(MLP(hidden=(8, 6), batch_norm="after"), 3, id="two layers, three members, norm after"),
    pytest.param(MLP(hidden=(8, 6, 4), batch_norm=None, skip=False), 2, id="three layers, no norm, no skip"),
    pytest.param(
        MLP(hidden=(8, 6), dropout=(0.1, 0.0), batch_norm=("after", None), initialisation="xavier_normal"),
        2,
        id="settings by layer",
    ),
    pytest.param(CNN1d(channels=(3,), kernels=4, pools=2, hidden=(6,)), 1, id="one block"),
    pytest.param(
        CNN1d(channels=(1, 3), kernels=(4, 3), pools=(2, 1), padding=("same", "valid"), hidden=(7, 6)),
        3,
        id="two blocks, three members",
    ),
    pytest.param(Autoencoder(latent=4, hidden=(8,)), 1, id="autoencoder"),
    pytest.param(Autoencoder(latent=4, hidden=(), batch_norm=None), 2, id="linear autoencoder, two members"),
    pytest.param(Autoencoder(latent=4, hidden=(9, 8), head_hidden=(6,), reconstruction=0.0), 3, id="encoder and head"),
]
every_network = pytest.mark.parametrize(("description", "members"), NETWORKS)


def parts_of_member(name, tensor, member, description, members, n_classes=5):
    """Cut one member out of a tensor of a network of several."""
    if name.startswith("first_linear"):
        n_own = len(tensor) - (members * n_classes if getattr(description, "skip", False) else 0)
        own, skip = tensor[:n_own].unflatten(0, (members, -1)), tensor[n_own:].unflatten(0, (members, -1))
        return torch.cat([own[member], skip[member]]) if len(tensor) > n_own else own[member]
    if ".linears." in f".{name}":
        return tensor[member : member + 1]
    return tensor.unflatten(0, (members, -1))[member] if tensor.ndim else tensor


@every_network
def test_forward_is_first_linear_then_after_first(description, members, build):
    network, x = build(description, members).eval(), torch.randn(7, 12)
    assert network(x).shape == (7, 5)
    if network.first_linear is None:
        with pytest.raises(TypeError, match="no layers after a first linear one"):
            network.after_first(x)
    else:
        torch.testing.assert_close(network(x), network.after_first(network.first_linear(x)))


@every_network
def test_description_survives_json(description, members, build):
    back = from_header(json.loads(json.dumps(to_header(description))))
    assert back == description
    assert hash(back) == hash(description)
    build(back, members).load_state_dict(build(description, members).state_dict())


@every_network
def test_members_are_networks_of_their_own(description, members, build):
    """Members side by side give the mean of the probabilities of single networks with the same weights."""
    together, x = build(description, members).eval(), torch.randn(9, 12)
    probabilities, embeddings = [], []
    for member in range(members):
        one = description.build(12, 5).eval()
        state = together.state_dict()
        one.load_state_dict({k: parts_of_member(k, v, member, description, members) for k, v in state.items()})
        probabilities.append(torch.softmax(one(x), dim=1))
        embeddings.append(one.embed(x))
    torch.testing.assert_close(torch.softmax(together(x), dim=1), torch.stack(probabilities).mean(dim=0))
    if not isinstance(description, Linear):
        torch.testing.assert_close(together.embed(x), torch.cat(embeddings, dim=1))


@every_network
def test_loss_is_the_mean_of_the_members_cross_entropies(description, members, build):
    network, x, y = build(description, members).eval(), torch.randn(7, 12), torch.arange(7) % 5
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])
    slow = []
    for member in range(members):
        one = description.build(12, 5).eval()
        state = network.state_dict()
        one.load_state_dict({k: parts_of_member(k, v, member, description, members) for k, v in state.items()})
        target = 0.9 * functional.one_hot(y, 5) + 0.1 / 5
        of_cells = functional.cross_entropy(one(x), target, reduction="none")
        slow.append((of_cells * weight[y]).sum() / weight[y].sum())
        if isinstance(description, Autoencoder) and description.reconstruction:
            slow[-1] += (one.reconstruct(x) - x).square().mean()
    torch.testing.assert_close(network.loss(x, y, weight=weight, label_smoothing=0.1), torch.stack(slow).mean())


@every_network
def test_no_cells_give_no_rows(description, members, build):
    network = build(description, members).eval()
    with torch.no_grad():
        assert network(torch.empty(0, 12)).shape == (0, 5)
        assert len(network.embed(torch.empty(0, 12))) == 0


@every_network
def test_every_weight_learns(description, members):
    network, x, y = description.build(12, 5, members=members), torch.randn(40, 12), torch.arange(40) % 5
    network.loss(x, y).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
    assert sum(bool(parameter.grad.any()) for parameter in network.parameters()) > 1


@every_network
def test_counting_allocates_nothing_and_draws_nothing(description, members):
    network = description.build(12, 5, members=members)
    state = torch.get_rng_state()
    assert cc.nn.n_parameters(description, 12, 5, members=members) == sum(p.numel() for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@every_network
def test_a_gpu_gives_what_the_cpu_gives(description, members, build):
    network, x, y = build(description, members).eval(), torch.randn(7, 12), torch.arange(7) % 5
    here = network(x), network.embed(x), network.loss(x, y)
    there = network.cuda()(x.cuda()), network.embed(x.cuda()), network.loss(x.cuda(), y.cuda())
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(other.cpu(), one, rtol=1e-3, atol=1e-3)


def _dropless(description):
    return dataclasses.replace(description, dropout=0.0)


MEMORISERS = [
    pytest.param(_dropless(MLP(hidden=(32,))), id="mlp"),
    pytest.param(dataclasses.replace(cc.nn.named("chromatin"), hidden=(20, 20)), id="chromatin, wider"),
    pytest.param(_dropless(MLP(hidden=(32, 16), batch_norm=("after", None))), id="norm after"),
    pytest.param(_dropless(CNN1d(channels=(8, 8), kernels=(4, 3), pools=2, hidden=(32,))), id="cnn1d"),
    pytest.param(_dropless(Autoencoder(latent=16, hidden=(64,))), id="autoencoder"),
    pytest.param(_dropless(Autoencoder(latent=16, hidden=(64,), reconstruction=0.0)), id="encoder and head"),
    pytest.param(Linear(), id="linear"),
]


@pytest.mark.parametrize("network", MEMORISERS)
def test_a_small_set_is_learnt_by_heart(network):
    """Labels by chance, more genes than cells: whatever does not reach 100 % here cannot learn."""
    rng = np.random.default_rng(0)
    n_classes = 2 if network == cc.nn.named("chromatin") else 4
    obs = pd.DataFrame(
        {"label": pd.Categorical([f"c{i}" for i in np.arange(40) % n_classes])}, index=map(str, range(40))
    )
    adata = AnnData(rng.normal(size=(40, 50)).astype(np.float32), obs=obs)
    options = cc.Fit(
        epochs=60,
        batch_size=20,
        learning_rate=0.02,
        schedule="constant",
        input_dropout=0.0,
        label_smoothing=0.0,
        weight_decay=0.0,
        information_power=0.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no better than guessing on other cells, as it must be
        classifier = cc.tl.train(adata, "label", network=network, genes="all", split=None, fit=options)
    cc.tl.predict(adata, classifier)
    assert (adata.obs["cellclf"].astype(str) == adata.obs["label"].astype(str)).all()


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(CNN1d(channels=(4,), kernels=4, pools=2, hidden=(8,)), id="cnn1d"),
        pytest.param(Autoencoder(latent=5, hidden=(16,)), id="autoencoder"),
        pytest.param(MLP(hidden=(8, 4), dropout=(0.2, 0.0), initialisation="orthogonal"), id="mlp"),
    ],
)
@pytest.mark.parametrize("members", [1, 2])
def test_the_whole_way(network, members, small_adata, tmp_path):
    """Train, save, load, predict, importance: the same bits from memory and from a file."""
    fit = cc.Fit(epochs=8, batch_size=16, learning_rate=0.02, members=members)
    classifier = cc.tl.train(small_adata, "cell_type", network=network, genes="all", fit=fit)
    classifier.save(tmp_path / "m.safetensors")
    back = cc.Classifier.load(tmp_path / "m.safetensors")
    assert back.description == network
    cc.tl.predict(small_adata)
    other = small_adata.copy()
    cc.tl.predict(other, back)
    assert other.obsm["cellclf_proba"].tobytes() == small_adata.obsm["cellclf_proba"].tobytes()
    assert other.obsm["X_cellclf"].tobytes() == small_adata.obsm["X_cellclf"].tobytes()
    width = {"CNN1d": 8, "Autoencoder": 5, "MLP": 4}[type(network).__name__]
    assert small_adata.obsm["X_cellclf"].shape == (120, members * width)
    assert np.isfinite(small_adata.obs["cellclf_unknown_score"]).all()
    assert (small_adata.obs["cellclf"].astype(str) == small_adata.obs["cell_type"].astype(str)).mean() > 0.9
    cc.tl.importance(small_adata, n_repeats=2)
    marker = small_adata.var["importance"].to_numpy()[:9]
    assert marker.mean() > 5 * abs(small_adata.var["importance"].to_numpy()[9:]).mean()
