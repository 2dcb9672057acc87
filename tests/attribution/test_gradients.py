from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
from captum.attr import DeepLift, GradientShap, IntegratedGradients

from cellclf.attribution import _gradients, attributions
from cellclf.nn import MLP, Autoencoder, CNN1d, Linear
from cellclf.nn._network import Network

N_ROWS, N_GENES, N_CLASSES = 23, 7, 3
METHODS = ["integrated_gradients", "deep_lift", "gradient_shap"]
every_method = pytest.mark.parametrize("method", METHODS)


def rows() -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.normal(size=(N_ROWS, N_GENES)))
    y = torch.from_numpy(generator.integers(0, N_CLASSES, N_ROWS))
    return x, y, [generator.normal(size=(1, N_GENES)) for _ in range(N_CLASSES)]


def score(network: Network, x: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    logits = network(x) / temperature
    return logits - logits.mean(dim=1, keepdim=True)


@every_method
def test_a_linear_network_is_parted_exactly(method: str, randomise: Callable[[Network], Network]) -> None:
    network = randomise(Linear().build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    found = attributions(network, x, y, baselines, method=method, n_steps=20, temperature=2.0)
    weight = network.first_linear.weight.detach().numpy() / 2
    weight = weight - weight.mean(axis=0)
    expected = np.array([(x[i].numpy() - baselines[k][0]) * weight[k] for i, k in enumerate(y.tolist())])
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-8)  # captum weighs its steps in float32
    np.testing.assert_allclose(found.change, expected.sum(axis=1), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("method", "peer"),
    [
        pytest.param("integrated_gradients", IntegratedGradients, id="ig"),
        pytest.param("deep_lift", DeepLift, id="deep-lift"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_equals_captum(method: str, peer: type, randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(9, 6)).build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    shared = [baselines[0]] * N_CLASSES
    logits = peer(network)
    parts = torch.stack(
        [
            logits.attribute(x, torch.from_numpy(baselines[0]), target=torch.full((N_ROWS,), k)).detach()
            for k in range(N_CLASSES)
        ]
    )
    expected = (parts - parts.mean(dim=0))[y, torch.arange(N_ROWS)]
    found = attributions(network, x, y, shared, method=method)
    np.testing.assert_allclose(found.values, expected.numpy(), rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gradient_shap_equals_captum(randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(9, 6)).build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    many = [np.concatenate(baselines)] * N_CLASSES
    expected = torch.empty_like(x)
    peer = GradientShap(lambda inputs: score(network, inputs))
    with torch.random.fork_rng():
        legacy = np.random.get_state()  # noqa: NPY002 (captum draws from it)
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        for k in range(N_CLASSES):
            options = {"n_samples": 30, "stdevs": 0.0, "target": k}
            expected[y == k] = peer.attribute(x[y == k], baselines=torch.from_numpy(many[k]), **options).detach()
        np.random.set_state(legacy)  # noqa: NPY002
    found = attributions(network, x, y, many, method="gradient_shap", n_steps=30, seed=5)
    np.testing.assert_allclose(found.values, expected.numpy(), rtol=0, atol=1e-10)


NETWORKS = [
    pytest.param(Linear(), id="linear"),
    pytest.param(MLP(hidden=(9,), skip=False, batch_norm=None), id="one-layer-plain"),
    pytest.param(MLP(hidden=(9, 6), batch_norm="after", activation="tanh"), id="tanh"),
    pytest.param(MLP(hidden=(9, 6), activation="gelu"), id="gelu"),
    pytest.param(MLP(hidden=(9, 6, 5), activation="silu"), id="three-layers"),
    pytest.param(Autoencoder(latent=5, hidden=(9,)), id="autoencoder"),
    pytest.param(CNN1d(channels=(4, 5), kernels=(3, 2), pools=(1, 1), hidden=(6,)), id="convolution"),
]


@every_method
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("description", [*NETWORKS, "in-place"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_equals_captum_on_the_whole_network_class_by_class(
    description: Linear | MLP | Autoencoder | CNN1d | str,
    members: int,
    method: str,
    randomise: Callable[[Network], Network],
    odd_networks: dict[str, type[Network]],
) -> None:
    own = description == "in-place"
    network = randomise(
        odd_networks[description](N_GENES, N_CLASSES) if own else description.build(N_GENES, N_CLASSES, members=members)
    )
    x, y, baselines = rows()
    baselines[2] = baselines[0]
    found = attributions(network, x, y, baselines, method=method, n_steps=None if method == "deep_lift" else 12, seed=3)

    class Score(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return score(self.network, inputs)

    peer = {"integrated_gradients": IntegratedGradients, "deep_lift": DeepLift, "gradient_shap": GradientShap}[method]
    options = {
        "integrated_gradients": {"n_steps": 12},
        "deep_lift": {},
        "gradient_shap": {"n_samples": 12, "stdevs": 0.0},
    }
    expected = torch.empty_like(x)
    legacy = np.random.get_state()  # noqa: NPY002 (captum draws from it)
    np.random.seed(3)  # noqa: NPY002
    for k in range(N_CLASSES):
        given = {"baselines": torch.from_numpy(baselines[k]), "target": k} | options[method]
        expected[y == k] = peer(Score()).attribute(x[y == k], **given).detach()
    np.random.set_state(legacy)  # noqa: NPY002
    assert expected.abs().max() > 1e-3
    np.testing.assert_allclose(found.values, expected.numpy(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_shap"])
def test_the_first_layer_is_not_run_for_each_step(method: str, randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(9,)).build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    seen = []
    network.first_linear.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    attributions(network, x, y, baselines, method=method, n_steps=50)
    assert sum(seen) == 2 * (N_ROWS + N_CLASSES)  # for the attributions, and for how far the scores are apart


@pytest.mark.parametrize("kind", ["narrow", "wide", "convolution"])
@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_shap"])
def test_what_is_expanded_into_steps_is_bounded(
    method: str,
    kind: str,
    randomise: Callable[[Network], Network],
    odd_networks: dict[str, type[Network]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = odd_networks["convolution"] if kind == "convolution" else MLP(hidden=(3 if kind == "narrow" else 40,)).build
    network, seen = randomise(build(N_GENES, N_CLASSES)), []
    entry = "forward" if kind == "convolution" else "after_first"
    run = getattr(network, entry)

    def watched(inputs: torch.Tensor) -> torch.Tensor:
        seen.append(inputs.numel() * inputs.element_size())
        return run(inputs)

    monkeypatch.setattr(network, entry, watched)
    monkeypatch.setattr(_gradients, "CPU_BYTES", 2**14)
    x, y, baselines = rows()
    attributions(network, x.repeat(9, 1), y.repeat(9), baselines, method=method, n_steps=10)
    assert 2**12 < max(seen) <= 2**14


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("description", NETWORKS)
def test_integrated_gradients_are_complete_in_every_network(
    description: Linear | MLP | Autoencoder | CNN1d, members: int, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(description.build(N_GENES, N_CLASSES, members=members))
    x, y, baselines = rows()
    gaps = []
    for n_steps in (10, 1000):
        found = attributions(network, x, y, baselines, n_steps=n_steps)
        gaps.append(np.abs(found.values.sum(axis=1) - found.change).sum() / np.abs(found.change).sum())
    assert gaps[1] < 2e-3
    assert gaps[1] <= max(gaps[0], 1e-6)


@pytest.mark.parametrize(
    ("method", "gap"), [("integrated_gradients", 0.03), ("deep_lift", 1e-10), ("gradient_shap", 0.5)], ids=METHODS
)
@pytest.mark.parametrize("kind", ["relu", "convolution"])
def test_completeness(
    method: str,
    gap: float,
    kind: str,
    randomise: Callable[[Network], Network],
    odd_networks: dict[str, type[Network]],
) -> None:
    build = MLP(hidden=(9, 6)).build if kind == "relu" else odd_networks["convolution"]
    network = randomise(build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    found = attributions(network, x, y, baselines, method=method, n_steps=100)
    with torch.no_grad():
        above, below = score(network, x), score(network, torch.from_numpy(np.concatenate(baselines)))
    index = torch.arange(N_ROWS)
    np.testing.assert_allclose(found.change, above[index, y] - below[y, y], rtol=0, atol=1e-12)
    share = np.abs(found.values.sum(axis=1) - found.change).sum() / np.abs(found.change).sum()
    if kind == "relu" or method != "deep_lift":  # its tanh is a function, which DeepLift does not see
        assert share < gap


@every_method
def test_blocks_do_not_matter(
    method: str, randomise: Callable[[Network], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = randomise(Linear().build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    expected = attributions(network, x, y, baselines, method=method)
    monkeypatch.setattr(_gradients, "CPU_BYTES", 1)
    np.testing.assert_allclose(
        attributions(network, x, y, baselines, method=method).values, expected.values, atol=1e-12
    )


@every_method
def test_a_gene_at_its_baseline_has_no_part(method: str, randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(9,)).build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    x[:, 4] = 1.5
    for baseline in baselines:
        baseline[:, 4] = 1.5
    found = attributions(network, x, y, baselines, method=method).values
    assert (found[:, 4] == 0).all()
    assert (found[:, 3] != 0).any()


@every_method
def test_the_order_of_the_genes_does_not_matter(method: str, randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(9,)).build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    order = np.random.default_rng(5).permutation(N_GENES)
    turned = deepcopy(network)
    with torch.no_grad():
        turned.first_linear.weight[:] = network.first_linear.weight[:, order]
    expected = attributions(network, x, y, baselines, method=method).values[:, order]
    found = attributions(turned, x[:, order], y, [b[:, order] for b in baselines], method=method).values
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_shap_draws_from_all_baselines_and_the_others_take_their_mean(randomise: Callable[[Network], Network]) -> None:
    network = randomise(Linear().build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    many = [np.concatenate([baselines[0], baselines[1]])] * N_CLASSES
    mean = [many[0].mean(axis=0, keepdims=True)] * N_CLASSES
    one, other = (attributions(network, x, y, b, method="deep_lift") for b in (many, mean))
    np.testing.assert_allclose(one.values, other.values, atol=1e-12)
    drawn = attributions(network, x, y, many, method="gradient_shap", n_steps=2000)
    np.testing.assert_allclose(drawn.change, one.change, atol=1e-12)
    np.testing.assert_allclose(drawn.values, one.values, atol=0.1)


@every_method
def test_same_seed_same_bits_and_generators_are_left_alone(
    method: str, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(MLP(hidden=(9,), dropout=0.5).build(N_GENES, N_CLASSES)).train()
    x, y, baselines = rows()
    state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (attributions(network, x, y, baselines, method=method, seed=s) for s in (1, 1, 2))
    assert first.values.tobytes() == again.values.tobytes()
    assert (first.values != other.values).any() == (method == "gradient_shap")
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == legacy).all()  # noqa: NPY002
    assert not network.training


@pytest.mark.gpu
@every_method
def test_a_device_gives_the_same(method: str, randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(9, 6)).build(N_GENES, N_CLASSES))
    x, y, baselines = rows()
    expected = attributions(network, x, y, baselines, method=method)
    found = attributions(network.cuda(), x, y, baselines, method=method)
    np.testing.assert_allclose(found.change, expected.change, rtol=0, atol=1e-10)
    tolerance = 0.2 if method == "gradient_shap" else 1e-10  # which draws its samples on the device
    np.testing.assert_allclose(found.values, expected.values, rtol=0, atol=tolerance)
