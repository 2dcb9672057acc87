"""Default training against linear models on the same folds of real files; prints a markdown table.

CELLCLF_REALDATA=FOLDER python benchmarks/training.py [--seed 0] [--files pbmc3k gtex_26tissues] [--methods cellclf]

Stratified five folds over classes of more than ten cells, predictions pooled over folds. Everything learnt is learnt inside the
fold; the linear models see log1p of 10 000 per cell (counts, sparse) or z-scored values (other files), all genes.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import cellclf as cc

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = {
    "pbmc3k": "classified",
    "pbmc_ifnb": "cell_type",
    "worm_neurons": "cell_type",
    "pancreas_baron": "cell_type",
    "gtex_26tissues": "tissue",
    "tcga11": "cancer_tissue",
    "depmap_embedding": "sample_collection_site",
}


def load(folder: Path, name: str) -> ad.AnnData:
    """Read a file and keep the classes of more than ten cells."""
    adata = ad.read_h5ad(folder / f"{name}.h5ad")
    label = adata.obs[FILES[name]].astype(str)
    adata = adata[(label.map(label.value_counts()) > 10).to_numpy()].copy()
    cells = ad.AnnData(adata.X, var=adata.var[[]], obs=pd.DataFrame(index=adata.obs_names))
    cells.obs["label"] = pd.Categorical(adata.obs[FILES[name]].astype(str))
    return cells


def by_cellclf(adata: ad.AnnData, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Train with all defaults; the linear network of the same inputs comes along."""
    cells = adata.copy()
    cells.obs["split"] = np.where(test, "test", "train")
    classifier = cc.tl.train(cells, "label", rng=seed)
    held_out = cells[test].copy()
    cc.tl.predict(held_out, classifier)
    cc.tl.predict(held_out, linear_only(classifier), key_added="linear")
    return {"network": held_out.obs["cellclf"].astype(str), "linear network": held_out.obs["linear"].astype(str)}


def linear_only(classifier: cc.Classifier) -> cc.Classifier:
    """Put the linear network in the place of the network."""
    from dataclasses import replace

    options = replace(classifier.options, members=1)
    n_classes = len(classifier.classes)
    means = np.zeros((n_classes, n_classes), dtype=np.float32)
    novelty = replace(
        classifier.novelty,
        means=means,
        within=np.eye(n_classes, dtype=np.float32),
        centre=means[0],
        overall=np.eye(n_classes, dtype=np.float32),
    )
    return replace(classifier, network=classifier.linear, description=cc.nn.Linear(), options=options, novelty=novelty)


def by_linear_model(make: Callable[[], object]) -> Callable[[ad.AnnData, np.ndarray, int], dict[str, np.ndarray]]:
    """Fit one of scikit-learn's linear models on its usual input."""

    def fit(adata: ad.AnnData, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        x, y = adata.X, adata.obs["label"].astype(str).to_numpy()
        values = x.data if sparse.issparse(x) else x
        if (values >= 0).all() and (values == np.rint(values)).all():
            x = sparse.csr_matrix(x, dtype=np.float64)
            totals = np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)
            x = sparse.diags(1e4 / totals) @ x
            x.data = np.log1p(x.data)
            train, held_out = x[~test], x[test]
        else:
            scaler = StandardScaler().fit(x[~test])
            train, held_out = scaler.transform(x[~test]), scaler.transform(x[test])
        return {"": make().fit(train, y[~test]).predict(held_out)}

    return fit


METHODS = {
    "cellclf": by_cellclf,
    "LinearSVC": by_linear_model(lambda: LinearSVC(max_iter=500)),
    "LogisticRegression(C=0.1)": by_linear_model(lambda: LogisticRegression(C=0.1, max_iter=200)),
}


def main() -> None:
    """Run every method on every file and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # linear models that stop before they converge say so once a fold
    folder = Path(os.environ["CELLCLF_REALDATA"])
    print("| file | method | accuracy | macro-F1 | seconds a fold |\n|---|---|---|---|---|")
    for name in options.files:
        adata = load(folder, name)
        y = adata.obs["label"].astype(str).to_numpy()
        folds = list(StratifiedKFold(5, shuffle=True, random_state=options.seed).split(y, y))
        for method, run in ((name, METHODS[name]) for name in options.methods):
            predicted: dict[str, np.ndarray] = {}
            start = time.perf_counter()
            for _, rows in folds:
                test = np.isin(np.arange(len(y)), rows)
                for part, labels in run(adata, test, options.seed).items():
                    predicted.setdefault(part, np.empty(len(y), dtype=object))[test] = labels
            seconds = (time.perf_counter() - start) / len(folds)
            for part, labels in predicted.items():
                labels = labels.astype(str)
                score = f1_score(y, labels, average="macro")
                title = f"{method}, {part}" if part else method
                print(f"| {name} | {title} | {np.mean(labels == y):.4f} | {score:.4f} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
