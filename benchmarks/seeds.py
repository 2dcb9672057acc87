"""The five seeds' networks at full size, on simulated data of the size of the originals: seconds and loss, beside guessing.

python benchmarks/seeds.py [--epochs N] [--seed-system tumours cells ...]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

import cellclf as cc

PLAIN = cc.Fit(
    optimiser="adam",
    learning_rate=1e-3,
    schedule="constant",
    weight_decay=0,
    label_smoothing=0,
    input_dropout=0,
    class_weight=None,
    information_power=0,
    refit=False,
)


def tumours() -> AnnData:
    """801 samples × 20531 genes, log values, five kinds."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 5, 801)
    x = (rng.gamma(4, 2, 20_531) + rng.normal(0, 1, (801, 20_531))).astype(np.float32)
    for k in range(5):
        x[kind == k, 200 * k : 200 * (k + 1)] += 1
    return _named(x, kind)


def cells(n_genes: int = 19_232) -> AnnData:
    """20 000 cells × 19232 genes, counts, ten kinds."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 10, 20_000)
    rates = np.tile(rng.gamma(0.05, 1, n_genes), (10, 1))
    for k in range(10):
        rates[k, 100 * k : 100 * (k + 1)] += 0.3
    blocks = [
        sparse.csr_array(rng.poisson(rates[kind[i : i + 1000]]).astype(np.float32)) for i in range(0, 20_000, 1000)
    ]
    return _named(sparse.vstack(blocks, format="csr"), kind)


def cell_lines() -> AnnData:
    """1402 samples × 18292 genes, log values, 39 kinds."""
    rng = np.random.default_rng(0)
    kind = np.concatenate([np.arange(39).repeat(3), rng.integers(0, 39, 1402 - 117)])
    x = (rng.gamma(2, 1, 18_292) + rng.normal(0, 0.7, (1402, 18_292))).astype(np.float32)
    for k in range(39):
        x[kind == k, 100 * k : 100 * (k + 1)] += 1
    return _named(x, kind)


def _named(x: np.ndarray | sparse.csr_array, kind: np.ndarray) -> AnnData:
    """Give rows and columns names, and a split of 80, 10 and 10 %."""
    obs = pd.DataFrame({"kind": [f"kind {k}" for k in kind]}, index=[f"row{i}" for i in range(x.shape[0])])
    adata = AnnData(x, obs=obs, var=pd.DataFrame(index=[f"gene{j}" for j in range(x.shape[1])]))
    cc.pp.split(adata, "kind")
    return adata


SYSTEMS = {
    "tumours": (
        tumours,
        "tumours",
        replace(PLAIN, batch_size=32, weight_decay=1e-5, l1=0.01, scale="minmax"),
        "all",
        25,
    ),
    "cells": (cells, "cells", PLAIN, 1000, 10),
    "cells, CNN": (cells, "cells_cnn", PLAIN, "all", 10),
    "breast cancer": (cc.datasets.breast_cancer, "breast_cancer", replace(PLAIN, batch_size=None), "all", 1000),
    "cell lines": (cell_lines, "cell_lines", PLAIN, "all", 20),
    "chromatin": (
        lambda: cc.datasets.chromatin(12_000),
        "chromatin",
        replace(PLAIN, batch_size=None, learning_rate=1e-4, preprocess="none", scale="none"),
        "all",
        5000,
    ),
}


def run(name: str, epochs: int | None) -> str:
    """Train one system and write its row."""
    make, network, fit, genes, usual = SYSTEMS[name]
    adata = make()
    label = next(column for column in ("kind", "diagnosis", "chromatin") if column in adata.obs)
    if isinstance(genes, int):
        cc.pp.gene_scores(adata, label)
        cc.pp.select_genes(adata, genes, by="jsd", balance=False)
        genes = "selected"
    description, fit = cc.nn.named(network), replace(fit, epochs=min(usual, epochs or usual))
    start = time.perf_counter()
    clf = cc.tl.train(adata, label, network=description, fit=fit, genes=genes)
    seconds = time.perf_counter() - start
    summary = cc.tl.evaluate(adata, n_bootstrap=0).summary
    parameters = cc.nn.n_parameters(description, len(clf.genes), len(clf.classes))
    size = f"{adata.n_obs:,} × {len(clf.genes):,}"
    scores = " | ".join(f"{summary.loc[model, 'log_loss']:.4f}" for model in ("network", "linear", "prior"))
    return f"| {name} | {size} | {parameters:,} | {fit.epochs} of {usual} | {seconds:.0f} | {summary.loc['network', 'accuracy']:.3f} | {scores} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="at most so many epochs (default: as the original)")
    parser.add_argument("--seed-system", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    options = parser.parse_args()
    print(
        "| system | rows × inputs | parameters | epochs | seconds | accuracy | log loss | of the linear network | of guessing |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in options.seed_system:
        print(run(name, options.epochs), flush=True)


if __name__ == "__main__":
    main()
