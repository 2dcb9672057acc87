from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cellclf as cc
from cellclf.nn import CNN1d, _cnn1d
from cellclf.nn._cnn1d import _Block


def slow_block(x, weight, bias, padding, pool):
    """Convolve one cell (n_in, length) with loops, as Keras does, and take ReLU and the maximum."""
    n_out, n_in, kernel = weight.shape
    left = (kernel - 1) // 2 if padding == "same" else 0
    length = x.shape[1] if padding == "same" else x.shape[1] - kernel + 1
    out = np.zeros((n_out, length))
    for channel in range(n_out):
        for place in range(length):
            total = bias[channel]
            for other in range(n_in):
                for step in range(kernel):
                    at = place + step - left
                    if 0 <= at < x.shape[1]:
                        total += weight[channel, other, step] * x[other, at]
            out[channel, place] = max(total, 0)
    return out[:, : length // pool * pool].reshape(n_out, -1, pool).max(axis=2)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5, 10])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_blocks_against_loops(kernel, padding, build):
    description = CNN1d(channels=(2, 3), kernels=(kernel, 2), padding=(padding, "valid"), pools=(2, 1), batch_norm=None)
    network, x = build(description, n_genes=17).eval().double(), torch.randn(3, 17, dtype=torch.float64)
    for cell in range(3):
        fast, slow = x[cell][None, None], x[cell].numpy()[None]
        for block, (_, _, pads, pool) in zip(network.blocks, description.blocks(), strict=True):
            weights = block.convolution.weight.detach().numpy(), block.convolution.bias.detach().numpy()
            fast, slow = block(fast), slow_block(slow, *weights, pads, pool)
        np.testing.assert_allclose(fast[0].detach().numpy(), slow, rtol=1e-10, atol=1e-12)
        assert slow.shape[1] == description.lengths(17)[-1]


@pytest.mark.parametrize("kernel", [2, 3, 4, 7])
def test_padding_is_that_of_torch(kernel):
    block, x = _Block(2, 3, kernel, "same", 1, 1, torch.nn.Sequential()), torch.randn(4, 2, 11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own "same" warns of even kernels
        expected = torch.nn.functional.conv1d(x, block.convolution.weight, block.convolution.bias, padding="same")
    torch.testing.assert_close(block(x), expected)


def test_embedding_is_what_the_last_layer_sees(build):
    network, x = build(CNN1d(channels=(2,), hidden=(6, 4))).eval(), torch.randn(4, 12)
    torch.testing.assert_close(network.linears[-1](network.embed(x)[:, None])[:, 0], network(x))


def test_the_order_of_the_genes_matters(build):
    network, x = build(CNN1d(channels=(2,), hidden=(6,))).eval(), torch.randn(4, 12)
    assert not torch.allclose(network(x), network(x.flip(1)))


def test_pieces_give_what_the_whole_gives(build, monkeypatch):
    network, x = build(CNN1d(channels=(2,), hidden=(6,))).eval(), torch.randn(10, 12)
    whole = network(x)  # with gradients: in one piece
    sizes = []
    network.blocks[0].register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    monkeypatch.setattr(_cnn1d, "CPU_VALUES", 4 * 2 * 12 + 1)  # four cells of two channels
    with torch.no_grad():
        torch.testing.assert_close(network(x), whole)
        assert network.embed(x).shape == (10, 6)
    assert sizes == [4, 4, 2] * 2


def test_the_widest_block_counts():
    network = CNN1d(channels=(2, 64), kernels=3, padding=("same", "valid"), pools=(1, 2)).build(100, 3, members=2)
    sizes = []
    for block in network.blocks:
        block.convolution.register_forward_hook(lambda module, inputs, output: sizes.append(output[0].numel()))
    network(torch.randn(2, 100))
    assert max(sizes) <= network.values_per_cell == 2 * 64 * 100


def test_genes_are_put_into_the_order_of_the_model(small_adata):
    network = CNN1d(channels=(4,), kernels=4, pools=2, hidden=(8,))
    fit = cc.Fit(epochs=6, batch_size=16, learning_rate=0.02)
    names = list(small_adata.var_names[::-1])
    classifier = cc.tl.train(small_adata, "cell_type", network=network, genes=names, fit=fit)
    assert list(classifier.genes) == names
    shuffled = small_adata[:, np.random.default_rng(1).permutation(30)].copy()
    cc.tl.predict(small_adata)
    cc.tl.predict(shuffled, classifier)
    assert shuffled.obsm["cellclf_proba"].tobytes() == small_adata.obsm["cellclf_proba"].tobytes()


def test_genes_are_not_chosen_for_a_network_that_needs_their_order(small_adata):
    with pytest.raises(ValueError, match=r"CNN1d reads genes in their order.*genes='all'"):
        cc.tl.train(small_adata, "cell_type", network=CNN1d(channels=(4,), hidden=(8,)))
    assert list(small_adata.uns) == ["cell_type_colors"]


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")  # of one epoch
def test_genes_chosen_before_do_not_pass_for_an_order(small_adata):
    """`var["selected"]` of an earlier training: nobody said that the order of these genes means something."""
    cc.tl.train(small_adata, "cell_type", fit=cc.Fit(epochs=1))
    network = CNN1d(channels=(4,), hidden=(8,))
    with pytest.raises(ValueError, match=r"CNN1d reads genes in their order.*genes='all'"):
        cc.tl.train(small_adata, "cell_type", network=network, key_added="cnn")
    with pytest.raises(ValueError, match=r"CNN1d reads genes in their order.*genes='all'"):
        cc.tl.cross_validate(small_adata, "cell_type", network=network)
    fit = cc.Fit(epochs=1)
    assert list(cc.tl.train(small_adata, network=network, genes="selected", fit=fit).genes) == list(
        small_adata.var_names
    )


@pytest.mark.filterwarnings("ignore:The network's log loss:UserWarning")  # of weights that are meant to stay
@pytest.mark.parametrize("n_genes", [30, 29])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_it_goes_on_from_itself(small_adata, n_genes, padding):
    """With 29 genes, one more would lengthen what is pooled: the dense layer is taken over all the same."""
    adata = small_adata[:, :n_genes].copy()
    network = CNN1d(channels=(4,), kernels=4, padding=padding, pools=2, hidden=(8,))
    first = cc.tl.train(adata, "cell_type", network=network, genes="all", fit=cc.Fit(epochs=3, batch_size=16))
    labels = adata.obs["cell_type"].astype(str).to_numpy()
    labels[np.flatnonzero(labels == "B")[:15]] = "a new class"
    adata.obs["cell_type"] = labels
    still = cc.Fit(epochs=1, learning_rate=1e-12, weight_decay=0, refit=False)
    again = cc.tl.train(adata, "cell_type", start=first, fit=still).network.state_dict()
    for name, weight in first.network.named_parameters():
        kept = again[name][:, [0, 1, 2]] if name.startswith("linears.1") else again[name]
        torch.testing.assert_close(kept, weight.detach(), atol=1e-6, rtol=0, msg=name)


def test_a_missing_gene_keeps_its_place(small_adata):
    network = CNN1d(channels=(4,), kernels=4, pools=2, hidden=(8,))
    fit = cc.Fit(epochs=6, batch_size=16, learning_rate=0.02, preprocess="none")
    classifier = cc.tl.train(small_adata, "cell_type", network=network, genes="all", fit=fit)
    fewer = small_adata[:, small_adata.var_names != "gene20"].copy()
    with pytest.warns(UserWarning, match="1 of the classifier's 30 genes .* of the input weight"):
        cc.tl.predict(fewer, classifier)
    filled = small_adata.X.toarray()
    filled[:, 20] = classifier.preprocessing.fill[20]
    assert classifier.predict_proba(filled).tobytes() == fewer.obsm["cellclf_proba"].tobytes()


def test_one_row_per_batch_is_refused_under_batch_norm(small_adata):
    network = CNN1d(channels=(4,), hidden=(8,))
    with pytest.raises(ValueError, match="two rows per batch"):
        cc.tl.train(small_adata, "cell_type", network=network, genes="all", fit=cc.Fit(epochs=1, batch_size=1))


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 6), st.sampled_from(["same", "valid"]), st.integers(1, 4)),
        min_size=1,
        max_size=3,
    ),
    st.integers(0, 40),
)
@settings(max_examples=25)
def test_lengths_are_those_of_the_network(blocks, n_genes):
    channels, kernels, padding, pools = zip(*blocks, strict=True)
    description = CNN1d(channels=channels, kernels=kernels, padding=padding, pools=pools, hidden=(2,), batch_norm=None)
    try:
        lengths = description.lengths(n_genes)
    except ValueError:
        with pytest.raises(ValueError, match="too few"):
            description.build(n_genes, 2)
        return
    network, hidden = description.build(n_genes, 2), torch.randn(2, 1, n_genes)
    for block, length in zip(network.blocks, lengths, strict=True):
        hidden = block(hidden)
        assert hidden.shape[2] == length > 0
    assert network(torch.randn(2, n_genes)).shape == (2, 2)


@pytest.mark.parametrize(
    ("n_genes", "word"), [(3, "reach block 2"), (0, "0 genes are too few"), (1, "1 genes are too few")]
)
def test_too_few_genes_are_refused(n_genes, word):
    with pytest.raises(ValueError, match=word):
        CNN1d(channels=(2, 2), pools=2).build(n_genes, 3)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"channels": ()}, "at least one layer"),
        ({"hidden": ()}, "at least one layer"),
        ({"kernels": 0}, "kernels=0"),
        ({"kernels": (3, 3, 3)}, "3 entries for 2 layers"),
        ({"kernels": 2.5}, "kernels=2.5"),
        ({"kernels": "9"}, "kernels='9'"),
        ({"pools": (2, 0)}, "pools=0"),
        ({"padding": "full"}, "'valid'"),
        ({"padding": None}, "'valid'"),
        ({"dropout": 1}, "dropout=1"),
        ({"batch_norm": "around"}, "'before'"),
        ({"activation": "swish"}, "'relu'"),
        ({"initialisation": "ones"}, "'orthogonal'"),
    ],
    ids=str,
)
def test_impossible_networks_are_refused(options, word):
    with pytest.raises(ValueError, match=word):
        CNN1d(**options)
