"""Random data sets, and files to write them to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

settings.register_profile("io", deadline=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@st.composite
def _datasets(draw: Any, *, whole: bool = False) -> tuple[np.ndarray, list[str]]:
    """Draw a small float32 matrix, sparse or not, and a class for each row."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    zeros = draw(st.sampled_from([0.0, 0.3, 0.9]))
    values = (
        rng.integers(0, 2**20, shape) if whole else rng.normal(scale=draw(st.sampled_from([1e-6, 1, 1e9])), size=shape)
    )
    x = np.where(rng.random(shape) < zeros, 0, values).astype(np.float32)
    return x, rng.choice(["B", "a b", "ζ", "7"], shape[0]).tolist()


@pytest.fixture(scope="session")
def datasets() -> Any:
    """Give the strategy itself, for `data.draw`."""
    return _datasets
