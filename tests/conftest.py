from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:  # before numpy is loaded, which reads it
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

import numpy as np
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile("cellclf", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("cellclf")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, and say why."""
    no_data = pytest.mark.skip(reason="CELLCLF_REALDATA does not name a folder")
    no_gpu = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if item.get_closest_marker("realdata") and not Path(os.environ.get("CELLCLF_REALDATA", "/nowhere")).is_dir():
            item.add_marker(no_data)
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(no_gpu)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Leave no figure open for the next test."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(autouse=True)
def same_threads() -> None:
    """Let each test compute on as many threads as the first: sums of floats depend on how many share them."""
    if "torch" in sys.modules and "OMP_NUM_THREADS" in os.environ:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture
def realdata() -> Path:
    """Give the folder of real files; ask for it together with the mark `realdata`."""
    return Path(os.environ["CELLCLF_REALDATA"])


@pytest.fixture
def small_adata() -> AnnData:
    """Give 120 cells × 30 genes of counts, three classes that the first nine genes tell apart, in CSR."""
    import pandas as pd
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    label = np.repeat(["B", "NK", "T/CD4"], 40)
    rates = np.full((120, 30), 0.6)
    for number in range(3):
        rates[number * 40 : (number + 1) * 40, number * 3 : (number + 1) * 3] = 6.0
    order = rng.permutation(120)
    obs = pd.DataFrame({"cell_type": pd.Categorical(label[order])}, index=[f"cell{i}" for i in range(120)])
    var = pd.DataFrame(index=[f"gene{j}" for j in range(30)])
    colors = np.array(["#1f77b4", "#ff7f0e", "#279e68"], dtype=object)
    counts = csr_matrix(rng.poisson(rates[order]).astype(np.float32))
    return AnnData(counts, obs=obs, var=var, uns={"cell_type_colors": colors})
