"""Default training with many classes, against logistic regression; simulated counts; prints a markdown table.

python benchmarks/many_classes.py [--cells 12000] [--genes 3000] [--classes 60] [--seeds 0 1]

Classes come in families of six that share 80 genes; each has 25 genes of its own, 2.5 times as frequent as elsewhere. Sizes are
lognormal, twelve cells at least. Counts are negative binomial, 2000 a cell on average. A quarter of the cells is judged.
"""

from __future__ import annotations

import argparse
import time
import warnings

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

import cellclf as cc

FAMILY, OF_FAMILY, OF_CLASS, FOLD, SMALLEST = 6, 80, 25, 2.5, 12
SETTINGS = {
    "cellclf": cc.Fit(),
    "cellclf, no linear models in the skip": cc.Fit(stacking=False),
    "cellclf, genes unweighted": cc.Fit(information_power=0),
}


def simulate(n_cells: int, n_genes: int, n_classes: int, seed: int) -> ad.AnnData:
    """Draw counts of classes in families."""
    rng = np.random.default_rng(seed)
    share = np.exp(rng.normal(0, 1.2, n_classes))
    drawn = rng.choice(n_classes, n_cells - SMALLEST * n_classes, p=share / share.sum())
    y = np.concatenate([np.repeat(np.arange(n_classes), SMALLEST), drawn])
    families = np.ones((n_classes // FAMILY + 1, n_genes))
    for family in families:
        family[rng.choice(n_genes, OF_FAMILY, replace=False)] = 1.5 * FOLD
    classes = families[np.arange(n_classes) // FAMILY]
    for one in classes:
        one[rng.choice(n_genes, OF_CLASS, replace=False)] *= FOLD
    classes *= np.exp(rng.normal(-1, 1.5, n_genes))
    blocks = []
    for own in np.array_split(y, max(1, n_cells // 2000)):
        rate = classes[own] / classes[own].sum(axis=1, keepdims=True)
        rate *= np.exp(rng.normal(np.log(2000), 0.4, (len(own), 1))) * rng.gamma(2, 0.5, rate.shape)
        blocks.append(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))
    obs = pd.DataFrame({"kind": pd.Categorical([f"class {k}" for k in y])}, index=[f"cell{i}" for i in range(n_cells)])
    obs["split"] = np.where(rng.random(n_cells) < 0.25, "test", "train")
    return ad.AnnData(sparse.vstack(blocks, format="csr"), obs=obs)


def by_logistic_regression(adata: ad.AnnData, test: np.ndarray) -> np.ndarray:
    """Predict test cells by logistic regression on log1p of 10 000 per cell."""
    x = sparse.diags(1e4 / np.asarray(adata.X.sum(axis=1)).ravel()) @ adata.X
    x = x.tocsr().log1p()
    truth = adata.obs["kind"].astype(str).to_numpy()
    return LogisticRegression(C=0.1, max_iter=200).fit(x[~test], truth[~test]).predict(x[test])


def by_cellclf(adata: ad.AnnData, test: np.ndarray, fit: cc.Fit) -> np.ndarray:
    """Predict test cells by a network."""
    classifier = cc.tl.train(adata.copy(), "kind", fit=fit)
    query = adata[test].copy()
    cc.tl.predict(query, classifier)
    return query.obs["cellclf"].astype(str).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=12_000)
    parser.add_argument("--genes", type=int, default=3000)
    parser.add_argument("--classes", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| seed | method | accuracy | macro-F1 | CPU seconds |\n|---|---|---|---|---|")
    for seed in options.seeds:
        adata = simulate(options.cells, options.genes, options.classes, seed)
        test = (adata.obs["split"] == "test").to_numpy()
        truth = adata.obs["kind"].astype(str).to_numpy()[test]
        methods = {"LogisticRegression(C=0.1)": by_logistic_regression} | {
            name: lambda adata, test, fit=fit: by_cellclf(adata, test, fit) for name, fit in SETTINGS.items()
        }
        for name, method in methods.items():
            start = time.process_time()
            found = method(adata, test)
            seconds = time.process_time() - start
            f1 = f1_score(truth, found, average="macro", zero_division=0)
            print(f"| {seed} | {name} | {accuracy_score(truth, found):.4f} | {f1:.4f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
