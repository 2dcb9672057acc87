from __future__ import annotations

import numpy as np
import pytest
import torch

from cellclf.fit._transfer import Shape, transfer
from cellclf.nn import MLP, Autoencoder, Linear
from cellclf.nn._registry import build

OLD_GENES, NEW_GENES = np.array(list("abcdef"), dtype=object), np.array(list("fxbya"), dtype=object)
OLD_CLASSES, NEW_CLASSES = np.array(["T", "B", "NK"], dtype=object), np.array(["B", "new", "T", "old"], dtype=object)


def made(description, genes, classes, members, seed):
    torch.manual_seed(seed)
    network = build(description, len(genes), len(classes), members)
    for weight in network.parameters():
        torch.nn.init.normal_(weight)
    return Shape(description, genes, classes, members), network.eval()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    "description",
    [MLP((4,)), MLP((4, 3), skip=False), Linear(), Autoencoder(latent=3, hidden=(4,))],
    ids=["mlp", "no skip", "linear", "autoencoder"],
)
def test_shared_genes_and_classes_mean_what_they_meant(description, members):
    """Where new genes are silent and the others as before, the odds among shared classes are those of the old network."""
    old, before = made(description, OLD_GENES, OLD_CLASSES, members, seed=0)
    new, after = made(description, NEW_GENES, NEW_CLASSES, members, seed=1)
    fresh = {name: weight.clone() for name, weight in after.state_dict().items()}
    state = transfer(before.state_dict(), old, new)(after)
    assert {name: weight.shape for name, weight in state.items()} == {
        name: weight.shape for name, weight in fresh.items()
    }
    after.load_state_dict(state)
    values = dict(zip("abcdef", torch.randn(6, 7), strict=True)) | {"x": torch.zeros(7), "y": torch.zeros(7)}
    for lost in "cde":
        values[lost] = torch.zeros(7)
    one = before(torch.stack([values[gene] for gene in OLD_GENES], dim=1))
    two = after(torch.stack([values[gene] for gene in NEW_GENES], dim=1))
    shared = two[:, [2, 0]] - one[:, :2]  # T and B; with several members, these are logarithms of their mean
    if members == 1:
        torch.testing.assert_close(shared, torch.zeros(7, 2), atol=1e-5, rtol=0)
    column = list(NEW_GENES).index("x")
    torch.testing.assert_close(after.first_linear.weight[:, column], fresh["first_linear.weight"][:, column])


def test_the_same_genes_and_classes_take_everything_over():
    shape, network = made(MLP((4,)), OLD_GENES, OLD_CLASSES, 2, seed=0)
    _, fresh = made(MLP((4,)), OLD_GENES, OLD_CLASSES, 2, seed=1)
    state = transfer(network.state_dict(), shape, shape)(fresh)
    for name, weight in network.state_dict().items():
        assert torch.equal(state[name], weight), name


def test_a_head_on_an_encoder_that_learnt_without_label():
    none = np.array([], dtype=object)
    old, encoder = made(Autoencoder(latent=3, hidden=(4,), head=False), OLD_GENES, none, 1, seed=0)
    new, fresh = made(Autoencoder(latent=3, hidden=(4,)), OLD_GENES, OLD_CLASSES, 1, seed=1)
    heads = {name: weight.clone() for name, weight in fresh.state_dict().items() if name.startswith("head")}
    fresh.load_state_dict(transfer(encoder.state_dict(), old, new)(fresh))
    x = torch.randn(5, 6)
    assert heads
    assert torch.equal(fresh.embed(x), encoder.embed(x))
    assert all(torch.equal(fresh.state_dict()[name], weight) for name, weight in heads.items())


def test_networks_that_share_no_layer_are_refused():
    old, network = made(MLP((4,)), OLD_GENES, OLD_CLASSES, 1, seed=0)
    with pytest.raises(ValueError, match=r"share no layer\. Leave network= out"):
        transfer(network.state_dict(), old, old._replace(description=Linear()))
