"""Rare classes: weights in the loss, balanced batches and a chosen threshold, side by side; prints markdown tables.

CELLCLF_REALDATA=FOLDER python benchmarks/imbalance.py [--seeds 0 1 2] [--files chromatin pbmc3k] [--ratios 11 100]

Two classes at 1 : ratio. From the files, one class against another that is hard to tell from it, the rarer subsampled in the
training rows; `chromatin` is the simulation of that name, whose classes lie at 1 : 11 from the start. Half of the
cells of each class are kept apart, at their full number, and judged. Average precision is that of the rare class, its base rate
beside. The threshold is the probability above which a cell is called rare that has the best balanced accuracy among
out-of-fold probabilities of the training rows (three folds), for the network trained with no weights.
"""

from __future__ import annotations

import argparse
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, log_loss

import cellclf as cc

if TYPE_CHECKING:
    from collections.abc import Iterator

# file: column of the label, common class, rare class
PAIRS = {
    "pbmc3k": ("classified", "Naive CD4 T", "Memory CD4 T"),
    "pbmc_ifnb": ("cell_type", "CD4 Naive T", "CD4 Memory T"),
    "pancreas_baron": ("cell_type", "alpha", "gamma"),
}
SETTINGS = {
    "no weights": cc.Fit(class_weight=None),
    "sqrt weights (default)": cc.Fit(class_weight="sqrt"),
    "balanced weights": cc.Fit(class_weight="balanced"),
    "balanced batches": cc.Fit(sampling="balanced"),
}


@dataclass
class Task:
    """Cells of two classes, 1 the rare one, and the rows to learn from and to be judged."""

    adata: ad.AnnData
    truth: np.ndarray
    train: np.ndarray
    test: np.ndarray


def from_file(folder: Path, name: str, ratio: int, seed: int) -> Task:
    """Take two classes of a file, and keep few training cells of one."""
    column, common, rare = PAIRS[name]
    adata = ad.read_h5ad(folder / f"{name}.h5ad")
    adata = adata[adata.obs[column].astype(str).isin([common, rare]).to_numpy()].copy()
    truth = (adata.obs[column].astype(str) == rare).to_numpy().astype(int)
    rng = np.random.default_rng([seed, 11])
    half = rng.permutation(len(truth)) % 2 == 0
    n_rare = max(3, round((half & (truth == 0)).sum() / ratio))
    kept = rng.choice(np.flatnonzero(half & (truth == 1)), n_rare, replace=False)
    train = half & ((truth == 0) | np.isin(np.arange(len(truth)), kept))
    return Task(adata, truth, train, ~half)


def simulated(ratio: int, seed: int) -> Task:
    """Simulate motifs of open and closed chromatin, open the rare one."""
    adata = cc.datasets.chromatin(6000, rng=seed)
    label = adata.obs[str(adata.uns["cellclf_label"])].astype(str)
    truth = (label == label.value_counts().index[-1]).to_numpy().astype(int)
    rng = np.random.default_rng([seed, 11])
    half = rng.permutation(len(truth)) % 2 == 0
    n_rare = min(max(3, round((half & (truth == 0)).sum() / ratio)), int((half & (truth == 1)).sum()))
    kept = rng.choice(np.flatnonzero(half & (truth == 1)), n_rare, replace=False)
    return Task(adata, truth, half & ((truth == 0) | np.isin(np.arange(len(truth)), kept)), ~half)


def answers(task: Task, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Train with each setting; yield its probability of the rare class and its calls."""
    cells = ad.AnnData(task.adata.X, obs=pd.DataFrame(index=task.adata.obs_names), var=task.adata.var[[]])
    cells.obs["label"] = pd.Categorical(np.where(task.truth == 1, "rare", "common"))
    cells.obs["split"] = pd.Series(
        np.where(task.train, "train", np.where(task.test, "test", None)), index=cells.obs_names
    )
    for name, fit in SETTINGS.items():
        classifier = cc.tl.train(cells, "label", fit=fit, rng=seed)
        cc.tl.predict(cells, classifier)
        rare = cells.obsm["cellclf_proba"][:, list(classifier.classes).index("rare")]
        yield name, rare[task.test], (rare > 0.5).astype(int)[task.test]
        if name == "no weights":
            threshold = chosen_threshold(cells[task.train].copy(), fit, seed)
            yield "no weights, threshold chosen", rare[task.test], (rare >= threshold).astype(int)[task.test]


def chosen_threshold(cells: ad.AnnData, fit: cc.Fit, seed: int) -> float:
    """Find the probability that parts the classes best, on out-of-fold probabilities."""
    cc.tl.cross_validate(cells, "label", fit=fit, n_folds=3, rng=seed)
    truth = (cells.obs["label"] == "rare").to_numpy()
    rare = cells.obsm["cellclf_cv_proba"][:, list(cells.uns["cellclf_cv"]["classes"]).index("rare")]
    values = np.unique(rare)
    scores = [((rare >= v) & truth).sum() / truth.sum() + ((rare < v) & ~truth).sum() / (~truth).sum() for v in values]
    return float(values[int(np.argmax(scores))])


def main() -> None:
    """Run all tasks and print a table of every run, and one of the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--files", nargs="+", default=["chromatin", "pbmc3k", "pbmc_ifnb"])
    parser.add_argument("--ratios", type=int, nargs="+", default=[11, 100])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder, lines = Path(os.environ["CELLCLF_REALDATA"]), []
    print(
        "| file | ratio | seed | rare in training | setting | balanced accuracy | average precision | base rate | F1 of rare | log loss |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.files:
        for ratio in options.ratios:
            for seed in options.seeds:
                task = simulated(ratio, seed) if name == "chromatin" else from_file(folder, name, ratio, seed)
                truth, n_rare = task.truth[task.test], int(task.truth[task.train].sum())
                for setting, rare, called in answers(task, seed):
                    line = {
                        "balanced accuracy": balanced_accuracy_score(truth, called),
                        "average precision": average_precision_score(truth, rare),
                        "base rate": truth.mean(),
                        "F1 of rare": f1_score(truth, called),
                        "log loss": log_loss(truth, np.clip(rare, 1e-7, 1 - 1e-7)),
                    }
                    lines.append({"file": name, "ratio": ratio, "setting": setting} | line)
                    values = " | ".join(f"{value:.3f}" for value in line.values())
                    print(f"| {name} | 1 : {ratio} | {seed} | {n_rare} | {setting} | {values} |", flush=True)
    means = pd.DataFrame(lines).groupby(["ratio", "setting"], sort=False).mean(numeric_only=True).round(3)
    print("\nMeans over files and seeds\n")
    print("| ratio | setting |", " | ".join(means.columns), "|\n|---|---|" + "---|" * len(means.columns))
    for (ratio, setting), row in means.iterrows():
        print(f"| 1 : {ratio} | {setting} | {' | '.join(f'{value:.3f}' for value in row)} |")


if __name__ == "__main__":
    main()
