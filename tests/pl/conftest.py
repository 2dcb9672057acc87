from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from anndata import AnnData

from cellclf import _slots

METRICS = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error"]


def _draw_slots(classes: list[str], n_genes: int = 30, *, valid: bool = True) -> AnnData:
    """Fill every slot that is drawn, for any classes; the last class has no cell."""
    rng, k = np.random.default_rng(0), len(classes)
    adata = AnnData(np.ones((4, n_genes), dtype=np.float32))
    adata.var_names = [f"GENE{i}" for i in range(n_genes)]
    for name in ("mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd"):
        adata.var[name] = rng.random(n_genes)
    adata.var["importance"] = rng.normal(0.05, 0.03, n_genes)
    adata.var["importance_se"] = rng.random(n_genes) / 100
    adata.varm["mi_by_class"] = rng.random((n_genes, k))
    adata.varm["importance_by_class"] = rng.normal(0, 0.1, (n_genes, k))
    adata.varm["importance_by_class"][:, -1] = np.nan
    epochs = np.arange(1.0, 11.0)
    judged = {"valid_loss": (epochs - 6) ** 2 + 1, "valid_accuracy": epochs / 20, "valid_macro_f1": epochs / 30}
    trained = {"train_loss": 10 / epochs, "train_accuracy": epochs / 25, "train_macro_f1": epochs / 35}
    history = (
        {"epoch": epochs}
        | trained
        | {name: values if valid else np.full(10, np.nan) for name, values in judged.items()}
    )
    confusion = rng.poisson(0.3, (k, k)) + np.diag(np.arange(5, 5 + k))
    confusion[-1] = 0
    adata.uns |= {
        "gene_scores": _slots.record("pp.gene_scores", {}, classes=classes),
        "importance": _slots.record("tl.importance", {}, classes=classes, method="permutation"),
        "cellclf": _slots.record("tl.train", {}, classes=classes, history=history, best_epoch=7),
        "cellclf_evaluation": _slots.record(
            "tl.evaluate",
            {},
            classes=classes,
            models=np.array(["network"], dtype=object),
            metrics=np.array(METRICS, dtype=object),
            summary=np.ones((1, 5)),
            report=np.ones((k, 4)),
            confusion=confusion,
            n_rows=int(confusion.sum()),
        ),
    }
    return adata


@pytest.fixture
def draw_slots() -> Callable[..., AnnData]:
    """Give the maker of AnnData with every slot that is drawn."""
    return _draw_slots


@pytest.fixture
def adata() -> AnnData:
    """Give one with four classes, one of them long and one with dollar signs."""
    return _draw_slots(
        ["B", "Effector memory CD8-positive, alpha-beta T cell, terminally differentiated", "$a$/b", "DC"]
    )
