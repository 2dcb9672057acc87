from __future__ import annotations

import pytest

import cellclf as cc


@pytest.fixture
def quick() -> cc.Fit:
    """Give a short training, enough to tell the classes of `small_adata` apart."""
    return cc.Fit(epochs=6, batch_size=16, members=1, learning_rate=0.02)
