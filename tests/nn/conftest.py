from __future__ import annotations

import pytest
import torch

from cellclf.nn import _registry


@pytest.fixture
def empty_registry(monkeypatch):
    """Let a test register networks of its own; afterwards they are forgotten."""
    monkeypatch.setattr(_registry, "_DESCRIPTIONS", dict(_registry._OWN))


@pytest.fixture
def build():
    """Give a function that builds a network with random weights everywhere, always the same."""

    def build(description, members=1, n_genes=12, n_classes=5):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = description.build(n_genes, n_classes, members=members)
            for parameter in network.parameters():  # a skip at zero would hide an error
                torch.nn.init.normal_(parameter)
        return network

    return build
