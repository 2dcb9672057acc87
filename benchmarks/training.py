"""Default training against linear models on the same folds of real files; prints a markdown table.

CELLCLF_REALDATA=FOLDER python benchmarks/training.py [--seed 0] [--files pbmc3k gtex_26tissues] [--methods cellclf] [--save FOLDER]

Stratified five folds over classes of more than ten cells, predictions pooled over folds. Everything learnt is learnt inside the
fold; the linear models see log1p of 10 000 per cell (counts, sparse) or z-scored values (other files), all genes, and once more the
very inputs of the network (weighted genes). The last column is the network's macro-F1 less that of the method, with the interval that
holds 95 % of 1000 paired resamplings of the cells. Scores are of pooled predictions; times are means over the folds.
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
from sklearn.multiclass import OneVsRestClassifier
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
    "pbmc_zheng_sorted": "cell_type",
    "cellbench_celseq2": "cell_line_demuxlet",
    "srbct_khan": "label",
}
SLOW = {"tcga11", "depmap_embedding"}  # here LinearSVC takes minutes a fold, and is left out
N_RESAMPLED = 1000


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
    x, totals = values_of(held_out, classifier)
    (block,) = [*classifier.blocks(classifier.normalised(x, totals))]
    linear = classifier.classes[block.linear_proba.argmax(axis=1)]
    return {"network": held_out.obs["cellclf"].astype(str).to_numpy(), "linear network": linear.astype(str)}


def values_of(cells: ad.AnnData, classifier: cc.Classifier) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a classifier's genes, and the sum of each cell over all genes."""
    x, totals = cells[:, classifier.genes].X, np.asarray(cells.X.sum(axis=1), dtype=np.float64).ravel()
    return np.array(x.toarray() if sparse.issparse(x) else x, dtype=np.float32), totals


def usual_inputs(adata: ad.AnnData, test: np.ndarray, seed: int) -> tuple[object, object]:
    """Give a linear model what it usually sees: all genes, counts as logarithms, other values scaled."""
    x = adata.X
    values = x.data if sparse.issparse(x) else x
    if not ((values >= 0).all() and (values == np.rint(values)).all()):
        scaler = StandardScaler().fit(x[~test])
        return scaler.transform(x[~test]), scaler.transform(x[test])
    x = sparse.csr_matrix(x, dtype=np.float64)
    totals = np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)
    x = sparse.diags(1e4 / totals) @ x
    x.data = np.log1p(x.data)
    return x[~test], x[test]


def weighted_inputs(adata: ad.AnnData, test: np.ndarray, seed: int) -> tuple[object, object]:
    """Give it what the network sees: the genes that training chooses, scaled and weighted by their information."""
    cells = adata.copy()
    cells.obs["split"] = np.where(test, "test", "train")
    classifier = cc.tl.train(cells, "label", network=cc.nn.Linear(), fit=cc.Fit(epochs=1), rng=seed)
    x, totals = values_of(cells, classifier)
    inputs = classifier.inputs(classifier.normalised(x, totals))
    return inputs[~test], inputs[test]


def by_linear_model(make: Callable[[], object], inputs: Callable) -> Callable:
    """Fit one of scikit-learn's linear models on one of the inputs."""

    def fit(adata: ad.AnnData, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        train, held_out = inputs(adata, test, seed)
        return {"": make().fit(train, adata.obs["label"].astype(str).to_numpy()[~test]).predict(held_out)}

    return fit


def svc() -> LinearSVC:
    """Make the support vector machine."""
    return LinearSVC(max_iter=500)


def short_svc() -> LinearSVC:
    """Make the same for dense inputs of unequal size, on which it never says that it converged; after this it calls the same classes."""
    return LinearSVC(max_iter=100)


def logistic() -> LogisticRegression:
    """Make the logistic regression."""
    return LogisticRegression(C=0.1, max_iter=200)


def sparse_logistic() -> OneVsRestClassifier:
    """Make the logistic regression with an L1 penalty, one class against the rest, by the solver that is fast for it."""
    return OneVsRestClassifier(LogisticRegression(l1_ratio=1.0, solver="liblinear", max_iter=200))


METHODS = {
    "cellclf": by_cellclf,
    "LinearSVC": by_linear_model(svc, usual_inputs),
    "LogisticRegression(C=0.1)": by_linear_model(logistic, usual_inputs),
    "LogisticRegression(L1)": by_linear_model(sparse_logistic, usual_inputs),
    "LinearSVC, weighted inputs": by_linear_model(short_svc, weighted_inputs),
    "LogisticRegression(C=0.1), weighted inputs": by_linear_model(logistic, weighted_inputs),
}


def macro_f1(truth: np.ndarray, predicted: np.ndarray, n: int) -> float:
    """Return the mean F1 over the classes that occur, from codes."""
    right, taken, there = (np.bincount(rows, minlength=n) for rows in (truth[truth == predicted], predicted, truth))
    return float((2 * right / np.maximum(taken + there, 1))[taken + there > 0].mean())


def difference(truth: np.ndarray, one: np.ndarray, other: np.ndarray) -> str:
    """Compare two sets of predictions of the same cells: the macro-F1 of the one less that of the other."""
    names, codes = np.unique(np.concatenate([truth, one, other]), return_inverse=True)
    cells = codes.reshape(3, -1)
    draws, n = np.random.default_rng(0), cells.shape[1]
    found = []
    for _ in range(N_RESAMPLED):
        y, a, b = cells[:, draws.integers(n, size=n)]
        found.append(macro_f1(y, a, len(names)) - macro_f1(y, b, len(names)))
    low, high = np.quantile(found, [0.025, 0.975])
    value = macro_f1(cells[0], cells[1], len(names)) - macro_f1(cells[0], cells[2], len(names))
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def pooled(
    adata: ad.AnnData, folds: list, run: Callable, seed: int
) -> tuple[dict[str, np.ndarray], tuple[float, float]]:
    """Run a method on every fold; return its predictions of all cells, and seconds and processor seconds a fold."""
    predicted: dict[str, np.ndarray] = {}
    start, spent = time.perf_counter(), time.process_time()
    for _, rows in folds:
        test = np.isin(np.arange(adata.n_obs), rows)
        for part, labels in run(adata, test, seed).items():
            predicted.setdefault(part, np.empty(adata.n_obs, dtype=object))[test] = labels
    seconds = (time.perf_counter() - start) / len(folds), (time.process_time() - spent) / len(folds)
    return {part: labels.astype(str) for part, labels in predicted.items()}, seconds


def main() -> None:
    """Run every method on every file and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--save", type=Path, help="folder for the pooled predictions, a table for each file and method")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # linear models that stop before they converge say so once a fold
    folder = Path(os.environ["CELLCLF_REALDATA"])
    print(
        "| file | method | accuracy | macro-F1 | seconds a fold | CPU seconds a fold | network's macro-F1 less (95 %) |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in options.files:
        adata = load(folder, name)
        y = adata.obs["label"].astype(str).to_numpy()
        folds = list(StratifiedKFold(5, shuffle=True, random_state=options.seed).split(y, y))
        network = None
        for method in options.methods:
            if name in SLOW and method == "LinearSVC":
                continue
            predicted, seconds = pooled(adata, folds, METHODS[method], options.seed)
            for part, labels in predicted.items():
                network = labels if part == "network" else network
                title = f"{method}, {part}" if part else method
                less = "" if network is None or part == "network" else difference(y, network, labels)
                scores = f"{np.mean(labels == y):.4f} | {f1_score(y, labels, average='macro'):.4f}"
                print(f"| {name} | {title} | {scores} | {seconds[0]:.2f} | {seconds[1]:.2f} | {less} |", flush=True)
                if options.save:
                    options.save.mkdir(parents=True, exist_ok=True)
                    table = pd.DataFrame({"truth": y, "predicted": labels})
                    file = f"{name}.{title.replace(', ', '-').replace(' ', '-')}.{options.seed}.csv"
                    table.to_csv(options.save / file, index=False)


if __name__ == "__main__":
    main()
