from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import ClassVar

import numpy as np
import pytest
import torch
from captum.attr import FeaturePermutation
from scipy.special import log_softmax
from sklearn.metrics import f1_score
from torch.nn.functional import cross_entropy

from cellclf.attribution import Increases, _permutation, _probe, permutation_importance
from cellclf.nn import MLP, Autoencoder, CNN1d, Linear
from cellclf.nn._network import Network

N_ROWS, N_GENES, N_CLASSES = 57, 13, 4


def rows(density: float = 1.0, *, n_rows: int = N_ROWS, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw inputs with this share of entries away from the common value, and classes."""
    generator = np.random.default_rng(seed)
    x = np.where(generator.random((n_rows, N_GENES)) < density, generator.normal(size=(n_rows, N_GENES)), -0.3)
    return torch.from_numpy(x), torch.from_numpy(generator.integers(0, N_CLASSES, n_rows))


def measured(logits: np.ndarray, y: np.ndarray, measure: str) -> tuple[float, np.ndarray]:
    """Return loss, accuracy or macro-F1 over all rows, and for each class, by scikit-learn."""
    per_row = -log_softmax(logits, axis=1)[np.arange(len(y)), y]
    if measure == "accuracy":
        per_row = (logits.argmax(axis=1) != y).astype(float)
    if measure == "macro_f1":
        guess = logits.argmax(axis=1)
        each = f1_score(y, guess, average=None, labels=np.arange(N_CLASSES), zero_division=0)
        return 1 - f1_score(y, guess, average="macro", zero_division=0), 1 - each
    return per_row.mean(), np.array([per_row[y == k].mean() for k in range(N_CLASSES)])


def slow(
    network: Network,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    n_repeats: int,
    seed: int,
    temperature: float = 1.0,
    measure: str = "loss",
    groups: list[np.ndarray] | None = None,
    strata: np.ndarray | None = None,
) -> Increases:
    """Shuffle columns in turn and run the whole network."""

    def judged(inputs: torch.Tensor) -> tuple[float, np.ndarray]:
        with torch.no_grad():
            return measured((network(inputs) / temperature).numpy(), y.numpy(), measure)

    before, each = judged(x)
    groups = [np.array([gene]) for gene in range(x.shape[1])] if groups is None else groups
    by_repeat, by_class = np.zeros((len(groups), n_repeats)), np.zeros((len(groups), N_CLASSES))
    for repeat in range(n_repeats):
        generator = np.random.default_rng([seed, repeat])
        order = generator.permutation(len(x))
        if strata is not None:
            order, generator = np.arange(len(x)), np.random.default_rng([seed, repeat])
            for stratum in sorted(set(strata.tolist())):
                order[strata == stratum] = generator.permutation(np.flatnonzero(strata == stratum))
        for line, columns in enumerate(groups):
            changed = x.clone()
            changed[:, columns] = x[order][:, columns]
            after, of_class = judged(changed)
            by_repeat[line, repeat] = after - before
            by_class[line] += (of_class - each) / n_repeats
    return Increases(by_repeat, by_class, before if measure == "loss" else 1 - before)


def assert_same(found: Increases, expected: Increases, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(found.by_repeat, expected.by_repeat, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.by_class, expected.by_class, rtol=0, atol=tolerance)
    assert found.baseline == pytest.approx(expected.baseline, abs=tolerance)


DESCRIPTIONS = [
    pytest.param(Linear(), id="linear"),
    pytest.param(MLP(hidden=(9,)), id="one-layer"),
    pytest.param(MLP(hidden=(9,), skip=False, batch_norm=None), id="one-layer-plain"),
    pytest.param(MLP(hidden=(9, 6), batch_norm="after", activation="tanh"), id="two-layers-norm-after"),
    pytest.param(MLP(hidden=(9, 6), skip=False, batch_norm="before", activation="gelu"), id="two-layers-no-skip"),
    pytest.param(MLP(hidden=(9, 6, 5), batch_norm=None, activation="silu"), id="three-layers"),
    pytest.param(MLP(hidden=(9, 6, 5), skip=False, batch_norm="after"), id="three-layers-no-skip"),
    pytest.param(Autoencoder(latent=5, hidden=(9,)), id="autoencoder"),
    pytest.param(Autoencoder(latent=5, hidden=(), head_hidden=(6,), reconstruction=0), id="encoder-and-head"),
    pytest.param(CNN1d(channels=(4, 5), kernels=(3, 2), pools=(2, 2), hidden=(6,)), id="convolution"),
]


@pytest.mark.parametrize("density", [pytest.param(1.0, id="dense"), pytest.param(0.1, id="sparse")])
@pytest.mark.parametrize("members", [pytest.param(1, id="alone"), pytest.param(2, id="two-members")])
@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_equals_running_the_whole_network(
    description: Linear | MLP | Autoencoder | CNN1d,
    members: int,
    density: float,
    randomise: Callable[[Network], Network],
) -> None:
    network = randomise(description.build(N_GENES, N_CLASSES, members=members))
    x, y = rows(density)
    options = {"n_repeats": 2, "seed": 3, "temperature": 1.7}
    expected = slow(network, x, y, **options)
    assert np.abs(expected.by_repeat).max() > 1e-4
    assert_same(permutation_importance(network, x, y, **options), expected)


@pytest.mark.parametrize("kind", ["convolution", "in-place"])
@pytest.mark.parametrize("density", [pytest.param(1.0, id="dense"), pytest.param(0.1, id="sparse")])
def test_equals_running_the_whole_network_for_foreign_networks(
    kind: str, density: float, randomise: Callable[[Network], Network], odd_networks: dict[str, type[Network]]
) -> None:
    network = randomise(odd_networks[kind](N_GENES, N_CLASSES))
    x, y = rows(density)
    options = {"n_repeats": 2, "seed": 3, "temperature": 1.7}
    assert_same(permutation_importance(network, x, y, **options), slow(network, x, y, **options))


@pytest.mark.parametrize("measure", ["loss", "accuracy", "macro_f1"])
@pytest.mark.parametrize("grouped", [pytest.param(False, id="alone"), pytest.param(True, id="groups")])
@pytest.mark.parametrize("within", [pytest.param(False, id="all"), pytest.param(True, id="within")])
@pytest.mark.parametrize("kind", ["mlp", "convolution"])
@pytest.mark.parametrize("density", [pytest.param(1.0, id="dense"), pytest.param(0.1, id="sparse")])
def test_every_measure_in_groups_and_within_strata(
    measure: str,
    grouped: bool,
    within: bool,
    kind: str,
    density: float,
    randomise: Callable[[Network], Network],
    odd_networks: dict[str, type[Network]],
) -> None:
    build = MLP(hidden=(9, 6)).build if kind == "mlp" else odd_networks["convolution"]
    network = randomise(build(N_GENES, N_CLASSES))
    x, y = rows(density)
    groups = [np.array(group) for group in ([3], [0, 5, 9], [1], [2, 4], [6], [], [7, 8, 10, 11, 12])]
    options = {
        "n_repeats": 2,
        "seed": 3,
        "measure": measure,
        "groups": [group.astype(np.int64) for group in groups] if grouped else None,
        "strata": np.arange(N_ROWS) % 3 if within else None,
    }
    expected = slow(network, x, y, **options)
    assert np.abs(expected.by_repeat).max() > 1e-4
    assert_same(permutation_importance(network, x, y, **options), expected)


def test_a_network_that_reads_its_hidden_values_twice(randomise: Callable[[Network], Network]) -> None:
    class Residual(Network):
        def __init__(self) -> None:
            super().__init__()
            self.first_linear, self.relu = torch.nn.Linear(N_GENES, N_CLASSES), torch.nn.ReLU()

        def after_first(self, hidden: torch.Tensor) -> torch.Tensor:
            return self.relu(hidden) + hidden

        def embed(self, x: torch.Tensor) -> torch.Tensor:
            return self.first_linear(x)

    network = randomise(Residual())
    x, y = rows(0.1)
    assert_same(permutation_importance(network, x, y), slow(network, x, y, n_repeats=5, seed=0))


class Counting(Network):
    """A network that writes down how many rows it is given, whole or behind its first layer."""

    seen: ClassVar[list[int]] = []  # shared with copies

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.map = torch.nn.Linear(N_GENES, N_CLASSES)
        self.first_linear = self.map if kind == "first-layer" else None

    def after_first(self, hidden: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(hidden))
        return torch.tanh(hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after_first(self.map(x))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        return self(x)


@pytest.mark.parametrize("n_repeats", [1, 3])
@pytest.mark.parametrize("kind", ["first-layer", "whole"])
def test_only_rows_whose_value_changed_are_run(
    kind: str, n_repeats: int, randomise: Callable[[Network], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = randomise(Counting(kind))
    x, y = rows(0.1)
    x[:, 4] = 0.7
    values = x.numpy()
    runs = 0
    for repeat in range(n_repeats):
        order = np.random.default_rng([0, repeat]).permutation(N_ROWS)
        for row, gene in zip(*np.nonzero(values[order] != values), strict=True):
            common = values[order[row], gene] == -0.3
            runs += n_repeats == 1 or not common
    if n_repeats > 1:  # to lose one's value to that of most cells is the same in every repeat
        runs += int(((values != -0.3) & (np.ptp(values, axis=0) > 0)).sum())
    monkeypatch.setattr(Counting, "seen", [])
    permutation_importance(network, x, y, n_repeats=n_repeats)
    assert sum(Counting.seen) == N_ROWS + runs < N_ROWS * (1 + n_repeats * N_GENES / 4)


def test_an_unknown_measure() -> None:
    with pytest.raises(ValueError, match="measure='auc' is not known"):
        permutation_importance(Linear().build(N_GENES, N_CLASSES).double(), *rows(), measure="auc")


@pytest.mark.parametrize("members", [pytest.param(1, id="alone"), pytest.param(2, id="two-members")])
@pytest.mark.parametrize("hidden", [(9, 6), (40, 33), (64, 48, 32)], ids=str)
def test_single_precision_is_close(
    hidden: tuple[int, ...], members: int, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(MLP(hidden=hidden).build(N_GENES, N_CLASSES, members=members))
    with torch.no_grad():
        for linear in network.linears:
            linear.weight /= linear.weight.shape[-1] ** 0.5  # logits of a size that float32 knows to five digits
    x, y = rows()
    expected = slow(network, x, y, n_repeats=1, seed=0, temperature=1.0)
    assert np.abs(expected.by_repeat).max() > 1e-3
    found = permutation_importance(network.float(), x.float(), y, n_repeats=1)
    assert_same(found, expected, tolerance=1e-5)


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_equals_captum(
    description: Linear | MLP | Autoencoder | CNN1d, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(description.build(N_GENES, N_CLASSES))
    x, y = rows()
    order = torch.from_numpy(np.random.default_rng([0, 0]).permutation(len(x)))

    def shuffle(inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask.bool(), inputs[order], inputs)

    with torch.no_grad():
        peer = FeaturePermutation(lambda inputs: cross_entropy(network(inputs), y), perm_func=shuffle)
        expected = -peer.attribute(x)[0].numpy()
    found = permutation_importance(network, x, y, n_repeats=1)
    np.testing.assert_allclose(found.by_repeat[:, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("DENSE", -1.0, id="never-gathered"),
        pytest.param("DENSE", 2.0, id="always-gathered"),
        pytest.param("COMMON", 2.0, id="nothing-kept-for-all-repeats"),
        pytest.param("FEW", 1, id="inputs-one-by-one"),
        pytest.param("PAIRS", 1, id="one-gene-at-once"),
        pytest.param("PAIRS", 5 * N_ROWS, id="five-genes-at-once"),
        pytest.param("RUNS", 0, id="one-gene-for-lack-of-runs"),
        pytest.param("CPU_BYTES", 1, id="one-row-at-once"),
        pytest.param("CPU_BYTES", 13 * 8 * 10, id="ten-rows-at-once"),
        pytest.param("CPU_BYTES", 13 * 8 * 130, id="two-genes-at-once"),
    ],
)
@pytest.mark.parametrize("density", [pytest.param(1.0, id="dense"), pytest.param(0.3, id="sparse")])
def test_blocks_do_not_matter(
    name: str, value: float, density: float, randomise: Callable[[Network], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = randomise(MLP(hidden=(9,)).build(N_GENES, N_CLASSES))  # 9 + 4 values per row
    x, y = rows(density)
    expected = permutation_importance(network, x, y, n_repeats=2)
    monkeypatch.setattr(_probe if name in {"CPU_BYTES", "FEW"} else _permutation, name, value)
    assert_same(permutation_importance(network, x, y, n_repeats=2), expected)


@pytest.mark.parametrize("measure", ["loss", "accuracy", "macro_f1"])
@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_constant_gene_is_exactly_zero_in_every_network(
    description: Linear | MLP | Autoencoder | CNN1d, measure: str, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(description.build(N_GENES, N_CLASSES)).float()
    x, y = rows(0.5)
    x = x.float()
    x[:, 4] = 1.1
    found = permutation_importance(network, x, y, measure=measure)
    together = permutation_importance(network, x, y, measure=measure, groups=[np.array([4]), np.array([], dtype=int)])
    assert (found.by_repeat[4] == 0).all()
    assert (found.by_class[4] == 0).all()
    assert (together.by_repeat == 0).all()
    if measure == "loss":  # which other genes always move
        assert (found.by_repeat[[3, 5]] != 0).all()


@pytest.mark.parametrize("share", [pytest.param(-1.0, id="grid"), pytest.param(2.0, id="pairs")])
def test_constant_and_unconnected_genes_are_exactly_zero(
    share: float, randomise: Callable[[Network], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_permutation, "DENSE", share)
    network = randomise(MLP(hidden=(9, 6)).build(N_GENES, N_CLASSES)).float()
    x, y = rows()
    x = x.float()
    x[:, 4] = 1.1
    with torch.no_grad():
        network.first_linear.weight[:, 7] = 0
    found = permutation_importance(network, x, y)
    silent = np.flatnonzero((found.by_repeat == 0).all(axis=1))
    assert silent.tolist() == [4, 7]
    assert (found.by_class[[4, 7]] == 0).all()


@pytest.mark.parametrize("density", [pytest.param(1.0, id="dense"), pytest.param(0.1, id="sparse")])
@pytest.mark.parametrize("description", [d for d in DESCRIPTIONS if not isinstance(d.values[0], CNN1d)])
def test_the_order_of_the_genes_does_not_matter(
    description: Linear | MLP | Autoencoder, density: float, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(description.build(N_GENES, N_CLASSES))
    x, y = rows(density)
    order = np.random.default_rng(5).permutation(N_GENES)
    turned = deepcopy(network)
    with torch.no_grad():
        turned.first_linear.weight[:] = network.first_linear.weight[:, order]
    expected = permutation_importance(network, x, y)
    found = permutation_importance(turned, x[:, order], y)
    np.testing.assert_allclose(found.by_repeat, expected.by_repeat[order], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.by_class, expected.by_class[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("description", [*DESCRIPTIONS, pytest.param(MLP(hidden=(40, 33)), id="wide")])
def test_same_seed_same_bits(
    description: Linear | MLP | Autoencoder | CNN1d, randomise: Callable[[Network], Network]
) -> None:
    network = randomise(description.build(N_GENES, N_CLASSES)).float()
    x, y = rows(0.5)
    first = permutation_importance(network, x.float(), y, seed=1)
    again = permutation_importance(network, x.float(), y, seed=1)
    other = permutation_importance(network, x.float(), y, seed=2)
    assert first.by_repeat.tobytes() == again.by_repeat.tobytes()
    assert first.by_class.tobytes() == again.by_class.tobytes()
    assert (first.by_repeat != other.by_repeat).any()


@pytest.mark.parametrize("kind", ["mlp", "convolution"])
@pytest.mark.parametrize("grouped", [pytest.param(False, id="alone"), pytest.param(True, id="groups")])
@pytest.mark.parametrize("measure", ["loss", "macro_f1"])
@pytest.mark.parametrize("after", [0, 3])
def test_interruption_keeps_the_inputs_that_are_finished(
    after: int,
    measure: str,
    grouped: bool,
    kind: str,
    randomise: Callable[[Network], Network],
    odd_networks: dict[str, type[Network]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = randomise((MLP(hidden=(9,)).build if kind == "mlp" else odd_networks["convolution"])(N_GENES, N_CLASSES))
    x, y = rows(0.4)
    groups = [np.array(group) for group in ([0, 5], [3], [1], [2, 4], [6])] if grouped else None
    options = {"n_repeats": 3, "measure": measure, "groups": groups}
    whole = permutation_importance(network, x, y, **options)
    assert not whole.interrupted
    order = [1, 2, 4, 0, 3] if grouped else list(range(N_GENES))  # single inputs come before groups
    of_inputs, calls = _permutation._rises, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return of_inputs(*arguments)

    monkeypatch.setattr(_permutation, "PAIRS", 1)
    monkeypatch.setattr(_permutation, "_rises", interrupted)
    if after == 0:
        with pytest.raises(KeyboardInterrupt):
            permutation_importance(network, x, y, **options)
        return
    found = permutation_importance(network, x, y, **options)
    assert found.interrupted
    assert found.baseline == whole.baseline
    for part, expected in ((found.by_repeat, whole.by_repeat), (found.by_class, whole.by_class)):
        np.testing.assert_allclose(part[order[:after]], expected[order[:after]], rtol=0, atol=1e-12)
        assert np.isnan(part[order[after:]]).all()


def test_more_repeats_keep_the_first_ones(randomise: Callable[[Network], Network]) -> None:
    network = randomise(Linear().build(N_GENES, N_CLASSES))
    x, y = rows()
    two, four = (permutation_importance(network, x, y, n_repeats=n).by_repeat for n in (2, 4))
    assert (four[:, :2] == two).all()
    assert four.dtype == np.float64


def test_planted_genes_come_first() -> None:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 300)
    x = generator.normal(size=(300, 40)).astype(np.float32)
    x[np.arange(300), y] += 3  # gene k is high in class k
    network = Linear().build(40, 3)
    with torch.no_grad():
        network.first_linear.weight[:, :3] = torch.eye(3)
        network.first_linear.weight[:, 3:] = torch.from_numpy(generator.normal(0, 0.01, (3, 37)))
    found = permutation_importance(network, x, y)
    mean = found.by_repeat.mean(axis=1)
    assert set(np.argsort(-mean)[:3]) == {0, 1, 2}
    assert mean[:3].min() > 10 * np.abs(mean[3:]).max()
    assert found.by_class[:3].argmax(axis=1).tolist() == [0, 1, 2]


def test_classes_add_up_and_one_without_rows_is_nan(randomise: Callable[[Network], Network]) -> None:
    network = randomise(MLP(hidden=(9,)).build(N_GENES, N_CLASSES))
    x, y = rows()
    y = torch.where(y == 2, 0, y)
    found = permutation_importance(network, x, y, n_repeats=3)
    assert np.isnan(found.by_class[:, 2]).all()
    sizes = np.bincount(y, minlength=N_CLASSES)
    total = np.nansum(found.by_class * sizes, axis=1) / sizes.sum()
    np.testing.assert_allclose(total, found.by_repeat.mean(axis=1), rtol=0, atol=1e-14)


def test_a_sure_classifier_still_ranks_its_genes() -> None:
    x = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(20, 1)
    y = torch.tensor([0, 1]).repeat(20)
    network = Linear().build(2, 2)
    with torch.no_grad():
        network.first_linear.weight[:] = torch.tensor([[10.0, 1.0], [-10.0, -1.0]])
    mean = permutation_importance(network, x, y).by_repeat.mean(axis=1)
    most = np.log1p(np.exp(-18.0))  # gene 1 turned round: logits 18 apart, a loss that float32 rounds to 0
    assert 0.2 * most < mean[1] < 0.8 * most < 1e-7 < mean[0]


def test_modes_and_generators() -> None:
    network = MLP(hidden=(9,), dropout=0.5).build(N_GENES, N_CLASSES).train()
    x, y = rows()
    before, state = x.clone(), torch.get_rng_state()
    legacy = np.random.get_state()[1].copy()  # noqa: NPY002 (the global generator is what is looked at)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = permutation_importance(network, x.float(), y)
    assert not network.training
    assert (first.by_repeat == permutation_importance(network, x.float(), y).by_repeat).all()
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == legacy).all()  # noqa: NPY002
    assert torch.equal(x, before)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


@pytest.mark.gpu
@pytest.mark.parametrize("measure", ["loss", "accuracy", "macro_f1"])
@pytest.mark.parametrize("density", [pytest.param(1.0, id="dense"), pytest.param(0.1, id="sparse")])
@pytest.mark.parametrize("kind", ["mlp", "convolution"])
def test_a_device_gives_the_same(
    measure: str,
    density: float,
    kind: str,
    randomise: Callable[[Network], Network],
    odd_networks: dict[str, type[Network]],
) -> None:
    mlp = MLP(hidden=(9, 6)).build(N_GENES, N_CLASSES, members=2)
    network = randomise(mlp if kind == "mlp" else odd_networks["convolution"](N_GENES, N_CLASSES))
    x, y = rows(density)
    expected = permutation_importance(network, x, y, measure=measure)
    assert_same(permutation_importance(network.cuda(), x, y, measure=measure), expected)


@pytest.mark.gpu
def test_a_device_in_blocks_and_groups(
    randomise: Callable[[Network], Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = randomise(MLP(hidden=(9, 6)).build(N_GENES, N_CLASSES))
    x, y = rows(0.3)
    options = {"groups": [np.array([0, 5, 9]), np.array([1]), np.array([2, 4])], "strata": np.arange(N_ROWS) % 3}
    expected = permutation_importance(network, x, y, **options)
    monkeypatch.setattr(_probe, "DEVICE_BYTES", 13 * 8 * 10)
    monkeypatch.setattr(_permutation, "PAIRS", 5 * N_ROWS)
    assert_same(permutation_importance(network.cuda(), x, y, **options), expected)
