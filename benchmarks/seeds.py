"""The networks of the five systems at full size, on simulated data of the size of the originals: processor seconds and loss, beside guessing.

python benchmarks/seeds.py [--epochs N] [--systems tumours "cells, CNN" ...]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

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
    """801 samples × 20531 genes, log values, five kinds, as easy to tell as the original's."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 5, 801)
    x = (rng.gamma(4, 2, 20_531) + rng.normal(0, 1, (801, 20_531))).astype(np.float32)
    for k in range(5):
        x[kind == k, 200 * k : 200 * (k + 1)] += 1
    return _named(x, kind)


def cells(n_genes: int = 19_232) -> AnnData:
    """20 000 cells × 19232 genes, counts, ten kinds that some five counts in a thousand tell apart."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 10, 20_000)
    rates = np.tile(rng.gamma(0.05, 1, n_genes), (10, 1))
    for k in range(10):
        rates[k, 100 * k : 100 * (k + 1)] += 0.05
    blocks = [
        sparse.csr_array(rng.poisson(rates[kind[i : i + 1000]]).astype(np.float32)) for i in range(0, 20_000, 1000)
    ]
    return _named(sparse.vstack(blocks, format="csr"), kind)


def cell_lines() -> AnnData:
    """1402 samples × 18292 genes, log values, 39 kinds, each raised by 0.4 standard deviations in 100 genes."""
    rng = np.random.default_rng(0)
    kind = np.concatenate([np.arange(39).repeat(3), rng.integers(0, 39, 1402 - 117)])
    x = (rng.gamma(2, 1, 18_292) + rng.normal(0, 0.7, (1402, 18_292))).astype(np.float32)
    for k in range(39):
        x[kind == k, 100 * k : 100 * (k + 1)] += 0.3
    return _named(x, kind)


def _named(x: np.ndarray | sparse.csr_array, kind: np.ndarray) -> AnnData:
    """Give rows and columns names, and a split of 80, 10 and 10 %."""
    obs = pd.DataFrame({"kind": [f"kind {k}" for k in kind]}, index=[f"row{i}" for i in range(x.shape[0])])
    adata = AnnData(x, obs=obs, var=pd.DataFrame(index=[f"gene{j}" for j in range(x.shape[1])]))
    cc.pp.split(adata, "kind")
    return adata


@dataclass(frozen=True)
class System:
    """What one of the five systems trained, and how."""

    make: Callable[[], AnnData]
    label: str
    network: str
    fit: cc.Fit
    genes: int | str
    epochs: int
    stated: bool  # whether the original says how many epochs it ran


SYSTEMS = {
    "breast cancer": System(
        cc.datasets.breast_cancer, "diagnosis", "breast_cancer", replace(PLAIN, batch_size=None), "all", 1000, True
    ),
    "cells": System(cells, "kind", "cells", PLAIN, 1000, 10, False),
    "cell lines": System(cell_lines, "kind", "cell_lines", PLAIN, "all", 20, False),
    "chromatin": System(
        lambda: cc.datasets.chromatin(12_000),
        "chromatin",
        "chromatin",
        replace(PLAIN, batch_size=None, learning_rate=1e-4, preprocess="none", scale="none"),
        "all",
        5000,
        True,
    ),
    "tumours": System(
        tumours,
        "kind",
        "tumours",
        replace(PLAIN, batch_size=32, weight_decay=1e-5, l1=0.01, scale="minmax"),
        "all",
        25,
        True,
    ),
    "cells, CNN": System(cells, "kind", "cells_cnn", PLAIN, "all", 10, False),
}


def run(name: str, epochs: int | None) -> str:
    """Train one system and write its row."""
    system = SYSTEMS[name]
    adata, genes = system.make(), system.genes
    if isinstance(genes, int):
        cc.pp.gene_scores(adata, system.label)
        cc.pp.select_genes(adata, genes, by="jsd", balance=False)
        genes = "selected"
    description = cc.nn.named(system.network)
    fit = replace(system.fit, epochs=min(system.epochs, epochs or system.epochs))
    start = time.process_time()
    clf = cc.tl.train(adata, system.label, network=description, fit=fit, genes=genes)
    seconds = time.process_time() - start
    summary = cc.tl.evaluate(adata, n_bootstrap=0).summary
    parameters = cc.nn.n_parameters(description, len(clf.genes), len(clf.classes))
    usual = f"{system.epochs:,}" if system.stated else "not stated"
    scores = " | ".join(f"{summary.loc[model, 'log_loss']:.4f}" for model in ("network", "linear", "prior"))
    return (
        f"| {name} | {adata.n_obs:,} × {len(clf.genes):,} | {parameters:,} | {fit.epochs:,} | {usual} | {seconds:,.0f} | "
        f"{summary.loc['network', 'accuracy']:.3f} | {scores} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--epochs", type=int, help="at most so many epochs (default: as the original, or what is usual)"
    )
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    options = parser.parse_args()
    print(
        "| system | rows × inputs | parameters | epochs | of the original | processor seconds | accuracy | log loss | "
        "of the linear network | of guessing |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.systems:
        print(run(name, options.epochs), flush=True)


if __name__ == "__main__":
    main()
