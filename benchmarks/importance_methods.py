"""How many planted genes each method of importance puts first, beside mutual information, which needs no network.

python benchmarks/importance_methods.py    twenty data sets (about four minutes on one core)
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="data sets of each kind")
    runs = range(parser.parse_args().runs)
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
