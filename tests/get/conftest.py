from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from cellclf import _slots

CLASSES = ["B", "NK/T", "Mono"]
METRICS = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error"]


def _written() -> AnnData:
    obs = pd.DataFrame(
        {
            "cellclf": pd.Categorical(["B", "Mono", "B", "NK/T", "B", "B"], categories=CLASSES),
            "cellclf_confidence": np.linspace(0.5, 1, 6, dtype=np.float32),
            "cellclf_unknown_score": np.linspace(1, 2, 6),
        },
        index=[f"cell{i}" for i in range(6)],
    )
    var = pd.DataFrame(
        {
            "mi": [0.1, 0.4, 0.4, np.nan],
            "mi_corrected": [0.05, 0.3, 0.35, np.nan],
            "mi_pvalue": [0.5, 0.01, 0.001, np.nan],
            "mi_qvalue": [0.5, 0.02, 0.003, np.nan],
            "jsd": [0.2, 0.1, 0.3, np.nan],
            "importance": [0.0, -0.01, 0.25, 0.5],
            "importance_se": [0.0, 0.01, 0.02, 0.03],
        },
        index=["CD3D", "CD79A", "LYZ", "NKG7"],
    )
    adata = AnnData(np.ones((6, 4), dtype=np.float32), obs=obs, var=var)
    adata.varm["mi_by_class"] = np.arange(12.0).reshape(4, 3)
    adata.varm["importance_by_class"] = -np.arange(12.0).reshape(4, 3)
    epochs = np.array([1.0, 2.0, 3.0])
    history = {
        "epoch": epochs,
        "train_loss": 2 / epochs,
        "train_accuracy": epochs / 3,
        "train_macro_f1": epochs / 6,
        "valid_loss": 3 / epochs,
        "valid_accuracy": epochs / 4,
        "valid_macro_f1": epochs / 5,
        "learning_rate": epochs / 1000,
        "seconds": epochs,
        "cells_per_second": 100 * epochs,
    }
    confusion = np.array([[3, 1, 0], [0, 0, 0], [1, 0, 4]])
    adata.uns |= {
        "gene_scores": _slots.record("pp.gene_scores", {}, classes=CLASSES),
        "importance": _slots.record("tl.importance", {}, classes=CLASSES, method="permutation"),
        "cellclf": _slots.record("tl.train", {}, classes=CLASSES, history=history, best_epoch=3),
        "cellclf_predict": _slots.record("tl.predict", {}, classes=CLASSES),
        "cellclf_evaluation": _slots.record(
            "tl.evaluate",
            {},
            classes=CLASSES,
            models=np.array(["network", "linear", "prior"], dtype=object),
            metrics=np.array(METRICS, dtype=object),
            summary=np.arange(15.0).reshape(3, 5),
            report=np.array([[0.75, 0.75, 0.75, 4], [0, 0, 0, 0], [1, 0.8, 8 / 9, 5]]),
            confusion=confusion,
            n_rows=9,
        ),
    }
    return adata


def _h5ad(adata: AnnData, folder: Path) -> AnnData:
    adata.write_h5ad(folder / "a.h5ad")
    return anndata.read_h5ad(folder / "a.h5ad")


def _zarr(adata: AnnData, folder: Path) -> AnnData:
    adata.write_zarr(folder / "a.zarr")
    return anndata.read_zarr(folder / "a.zarr")


THROUGH: dict[str, Callable[[AnnData, Path], AnnData]] = {"memory": lambda a, _: a, "h5ad": _h5ad, "zarr": _zarr}


@pytest.fixture(scope="session")
def come_back(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AnnData]:
    """Send the slots through each storage, once."""
    return {name: through(_written(), tmp_path_factory.mktemp(name)) for name, through in THROUGH.items()}


@pytest.fixture
def written() -> AnnData:
    """Give 6 cells × 4 genes with every slot that the verbs write, filled by hand."""
    return _written()


@pytest.fixture(params=THROUGH)
def adata(request: pytest.FixtureRequest, come_back: dict[str, AnnData]) -> AnnData:
    """Give the same as it comes back from memory, h5ad and zarr."""
    return come_back[request.param].copy()
