"""Which bins? Quality of 200 selected genes and stability of the ranking under each way of cutting; prints a markdown table.

CELLCLF_REALDATA=FOLDER python benchmarks/bins.py [--seed 0] [--files pbmc3k ...]

Quality: macro-F1 of the linear classifier of benchmarks/selection.py on 200 genes, chosen in each of five folds by the default of
`select_genes` ("default") and by `mi_corrected`. Stability: genes are scored on either half of the cells (stratified, three times);
Spearman's correlation of `mi_corrected` over the genes seen in both halves, and the share of its 200 best that the halves share.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from selection import FILES, Task
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedShuffleSplit
from threadpoolctl import threadpool_limits

import cellclf as cc

N_GENES = 200
CUTS: dict[str, dict[str, Any]] = {
    "auto": {},
    "auto, 4": {"n_bins": 4},
    "auto, 8": {"n_bins": 8},
    "counts": {"bins": "counts"},
    "quantile, 2": {"bins": "quantile", "n_bins": 2},
    "quantile, 3": {"bins": "quantile", "n_bins": 3},
    "quantile, 4": {"bins": "quantile", "n_bins": 4},
    "quantile, 8": {"bins": "quantile", "n_bins": 8},
    "quantile": {"bins": "quantile"},
    "uniform": {"bins": "uniform"},
}
USED = [
    "gtex_26tissues",
    "pbmc_zheng_sorted",
    "tcga11 cancer_tissue",
    "pancreas_baron",
    "pbmc3k",
    "pbmc_ifnb",
    "worm_neurons",
]


def quality(task: Task, cut: dict[str, Any]) -> dict[str, float]:
    """Return macro-F1 for genes chosen in two ways."""
    scored = [task.training(fold, normalised=False) for fold in range(len(task.folds))]
    for adata in scored:
        cc.pp.gene_scores(adata, "label", **cut)
    return {
        by: f1_score(task.codes, task.predict([chosen(adata, by) for adata in scored]), average="macro") for by in BY
    }


BY: dict[str, dict[str, Any]] = {"default": {}, "mi_corrected": {"by": "mi_corrected"}}


def chosen(adata: ad.AnnData, by: str) -> np.ndarray:
    """Select genes."""
    cc.pp.select_genes(adata, N_GENES, **BY[by])
    return np.flatnonzero(adata.var["selected"])


def stability(task: Task, cut: dict[str, Any]) -> tuple[float, float]:
    """Return how far the rankings of two halves agree: Spearman's correlation, and overlap of the best."""
    correlation, overlap = [], []
    for first, second in StratifiedShuffleSplit(3, test_size=0.5, random_state=0).split(task.codes, task.codes):
        scores = [half_scores(task, rows, cut) for rows in (first, second)]
        seen = np.logical_and(*(np.asarray((task.x[rows] != 0).sum(axis=0)).ravel() > 0 for rows in (first, second)))
        correlation.append(spearmanr(scores[0][seen], scores[1][seen]).statistic)
        best = [set(np.argsort(-score, kind="stable")[:N_GENES]) for score in scores]
        overlap.append(len(best[0] & best[1]) / N_GENES)
    return float(np.mean(correlation)), float(np.mean(overlap))


def half_scores(task: Task, rows: np.ndarray, cut: dict[str, Any]) -> np.ndarray:
    """Score genes on some rows."""
    obs = pd.DataFrame({"label": task.classes[task.codes[rows]]}, index=rows.astype(str))
    half = ad.AnnData(task.x[rows], obs=obs)
    cc.pp.gene_scores(half, "label", **cut)
    return half.var["mi_corrected"].to_numpy()


def main() -> None:
    """Try every way of cutting on every file and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    parser.add_argument("--files", nargs="+", default=USED, choices=list(FILES))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "| file | bins | F1 default | F1 mi_corrected | Spearman of halves | overlap of best 200 |\n|---|---|---|---|---|---|"
    )
    lines = []
    with threadpool_limits(1):
        for name in options.files:
            task = Task(Path(os.environ["CELLCLF_REALDATA"]), name, options.seed)
            for title, cut in CUTS.items():
                if not task.counts and title.startswith(("auto,", "counts")):
                    continue  # the same as quantile, and impossible
                f1, (correlation, overlap) = quality(task, cut), stability(task, cut)
                lines.append((name, title, f1["default"], f1["mi_corrected"], correlation, overlap))
                print("| " + " | ".join([name, title, *(f"{value:.4f}" for value in lines[-1][2:])]) + " |", flush=True)
    whole = pd.DataFrame(lines, columns=["file", "bins", "default", "corrected", "spearman", "overlap"])
    print("\n| bins | files | F1 default | F1 mi_corrected | Spearman | overlap |\n|---|---|---|---|---|---|")
    for title, part in whole.groupby("bins", sort=False):
        means = " | ".join(f"{value:.4f}" for value in part.iloc[:, 2:].mean())
        print(f"| {title} | {len(part)} | {means} |")


if __name__ == "__main__":
    main()
