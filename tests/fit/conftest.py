from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cellclf.fit import Rows, Trained


@pytest.fixture
def blobs() -> Callable[..., Rows]:
    """Give cells of three classes, each with a gene of its own."""

    def make(n: int = 90, n_genes: int = 12, n_classes: int = 3, seed: int = 0, shift: float = 3.0) -> Rows:
        rng = np.random.default_rng(seed)
        y = np.arange(n) % n_classes
        x = rng.normal(size=(n, n_genes)).astype(np.float32)
        x[np.arange(n), y] += shift
        return Rows(x, y)

    return make


@pytest.fixture
def weights() -> Callable[[Trained], dict[str, bytes]]:
    """Give the weights of a trained network as bytes."""

    def read(trained: Trained) -> dict[str, bytes]:
        return {name: tensor.numpy().tobytes() for name, tensor in trained.network.state_dict().items()}

    return read


@pytest.fixture
def one_thread() -> None:
    """Compute in one thread, as a test of sums in another order needs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
