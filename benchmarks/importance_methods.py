"""How many planted genes each method of importance puts first, beside mutual information, which needs no network.

python benchmarks/importance_methods.py             twenty data sets (about four minutes on one core)
python benchmarks/importance_methods.py --memory    memory of integrated gradients by the number of cells instead
python benchmarks/importance_methods.py --explain   time of `tl.explain` by method, 5000 cells × 2000 genes, 30 classes
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy.sparse import csr_matrix

import cellclf as cc

N_CELLS, N_GENES, N_PLANTED = 600, 400, 45
METHODS: dict[str, dict[str, Any]] = {
    "permutation, test cells": {"rows": "test", "null": None},
    "permutation, training cells": {"rows": "train", "null": None},
    "weights, sum": {"method": "weights", "null": None},
    "weights, length": {"method": "weights", "norm": "l2", "null": None},
    "weights, paths": {"method": "weights", "norm": "path", "null": None},
    "integrated gradients, test cells": {"method": "integrated_gradients"},
    "DeepLIFT, test cells": {"method": "deep_lift"},
    "gradient SHAP, test cells": {"method": "gradient_shap"},
}
OTHERS = ("l1_path, group lasso", "mutual information")


def cells(seed: int, *, fold: float, correlated: bool) -> AnnData:
    """Draw counts of three classes; the first genes are more frequent in one of them, all may be driven by common factors."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, N_CELLS)
    rates = np.tile(rng.gamma(2, 0.5, N_GENES), (N_CELLS, 1))
    if correlated:
        loadings = rng.normal(size=(20, N_GENES)) * (rng.random((20, N_GENES)) < 0.15)
        rates *= np.exp(0.6 * rng.normal(size=(N_CELLS, 20)) @ loadings)
    for gene in range(N_PLANTED):
        rates[y == gene % 3, gene] *= fold
    obs = pd.DataFrame({"kind": pd.Categorical(np.array(["a", "b", "c"])[y])}, index=[f"c{i}" for i in range(N_CELLS)])
    order = rng.permutation(N_GENES)  # ties go by the order of the genes
    var = pd.DataFrame({"planted": order < N_PLANTED}, index=[f"gene{j}" for j in order])
    return AnnData(rng.poisson(rates[:, order]).astype(np.float32), obs=obs, var=var)


def found(adata: AnnData) -> dict[str, int]:
    """Train, rank by every method, and count the planted genes among as many first ones."""
    cc.pp.split(adata, "kind", fractions=(0.6, 0.1, 0.3))
    cc.pp.gene_scores(adata, "kind")
    cc.tl.train(adata, "kind", genes="all", fit=cc.Fit(device="cpu"))
    counts = {}
    for name, options in METHODS.items():
        cc.tl.importance(adata, **options)
        counts[name] = int(adata.var["planted"][adata.var["importance"].nlargest(N_PLANTED).index].sum())
    strengths = np.geomspace(1e-3, 0.1, 13)
    path = cc.tl.l1_path(adata, "kind", l1=(), group_l1=strengths, genes="all", fit=cc.Fit(device="cpu"))
    counts[OTHERS[0]] = int(adata.var["planted"][path.genes.index[:N_PLANTED]].sum())
    counts[OTHERS[1]] = int(adata.var["planted"][adata.var["mi_corrected"].nlargest(N_PLANTED).index].sum())
    return counts


def anonymous() -> float:
    """Return the memory of this process that no file backs, in MiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def sparse_cells(n_cells: int, n_genes: int, n_classes: int) -> AnnData:
    """Draw counts of which a twentieth is not zero, and classes that have nothing to do with them."""
    rng = np.random.default_rng(0)
    n_each = n_genes // 20
    columns = (rng.integers(0, 20, (n_cells, n_each)) + 20 * np.arange(n_each)).ravel().astype(np.int32)
    counts = rng.poisson(2.0, len(columns)).astype(np.float32) + 1
    x = csr_matrix((counts, columns, np.arange(0, len(columns) + 1, n_each)), shape=(n_cells, n_genes))
    kinds = pd.Categorical(rng.choice([f"class {k}" for k in range(n_classes)], n_cells))
    return AnnData(x, obs=pd.DataFrame({"kind": kinds}, index=np.arange(n_cells).astype(str)))


def time_explain(n_cells: int, n_genes: int, n_classes: int) -> None:
    """Print how long it takes to explain so many cells, with each method."""
    adata = sparse_cells(n_cells, n_genes, n_classes)
    clf = cc.tl.train(adata, "kind", genes="all", fit=cc.Fit(epochs=2, device="cpu"))
    print(f"{n_cells} × {n_genes}, {n_classes} classes; {torch.get_num_threads()} threads, {os.cpu_count()} cores\n")
    print("| method | baseline | seconds (processor) |\n|---|---|---|", flush=True)
    for method in ("integrated_gradients", "gradient_shap", "deep_lift"):
        for baseline in ("mean", "class"):
            options: dict[str, Any] = {"method": method, "baseline": baseline, "groupby": "kind"}
            cc.tl.explain(adata, clf, rows=np.arange(n_cells) < 50, **options)  # loads what is needed
            start, processor = time.perf_counter(), time.process_time()
            cc.tl.explain(adata, clf, **options)
            seconds, used = time.perf_counter() - start, time.process_time() - processor
            print(f"| {method} | {baseline} | {seconds:.1f} ({used:.1f}) |", flush=True)


def measure(n_cells: int, n_genes: int, n_steps: int) -> None:
    """Print how much memory integrated gradients of so many cells take beyond the cells themselves, and their time."""
    adata = sparse_cells(n_cells, n_genes, 5)
    few = adata[:1000].copy()
    clf = cc.tl.train(few, "kind", genes="all", fit=cc.Fit(epochs=2, device="cpu"))
    options: dict[str, Any] = {"method": "integrated_gradients", "n_steps": n_steps}
    cc.tl.importance(few, clf, rows="test", **options)
    gc.collect()
    before, highest, done = anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            highest[0] = max(highest[0], anonymous())

    watcher, start = threading.Thread(target=watch), time.perf_counter()
    watcher.start()
    cc.tl.importance(adata, clf, rows=np.ones(n_cells, dtype=bool), **options)
    done.set()
    watcher.join()
    print(f"| {n_cells} × {n_genes} | {highest[0] - before:.0f} | {time.perf_counter() - start:.0f} |", flush=True)


def memory(n_genes: int, n_steps: int) -> None:
    """Print the table of memory, each number of cells in a process of its own."""
    print("| cells × genes | MiB beyond the cells | seconds |\n|---|---|---|", flush=True)
    for n_cells in (5_000, 20_000, 80_000):
        call = f"import importance_methods as m; m.measure({n_cells}, {n_genes}, {n_steps})"
        subprocess.run([sys.executable, "-W", "ignore", "-c", call], cwd=Path(__file__).parent, check=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="data sets of each kind")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    parser.add_argument("--explain", action="store_true", help="measure the time of tl.explain instead")
    parser.add_argument("--steps", type=int, default=50, help="steps of integrated gradients whose memory is measured")
    arguments = parser.parse_args()
    if arguments.memory:
        memory(1000, arguments.steps)
        return
    if arguments.explain:
        time_explain(5000, 2000, 30)
        return
    runs = range(arguments.runs)
    warnings.simplefilter("ignore", UserWarning)
    kinds = list(itertools.product((False, True), (2.0, 1.5)))
    tables = {
        kind: pd.DataFrame([found(cells(run, correlated=kind[0], fold=kind[1])) for run in runs]) for kind in kinds
    }
    titles = [f"{'correlated' if correlated else 'independent'}, {fold:g} ×" for correlated, fold in kinds]
    print(f"| planted among the first {N_PLANTED} | {' | '.join(titles)} |")
    print("|---" * (len(kinds) + 1) + "|")
    for name in (*METHODS, *OTHERS):
        numbers = [f"{table[name].mean():.1f} ({', '.join(map(str, table[name]))})" for table in tables.values()]
        print(f"| {name} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
