"""Whether the null of importance holds its level where labels are chance, and what it finds where genes are planted.

python benchmarks/importance_null.py    72 runs without and 72 with planted genes (about a quarter of an hour on two cores)
"""

from __future__ import annotations

import argparse
import itertools
import warnings

import numpy as np
import pandas as pd
from anndata import AnnData

import cellclf as cc

N_CELLS, N_GENES, N_PLANTED, N_SELECTED = 300, 400, 45, 150
WAYS = {
    "permutation, test": {"rows": "test"},
    "permutation, train": {"rows": "train"},
    "weights": {"method": "weights"},
}


def cells(seed: int, *, planted: int, correlated: bool) -> AnnData:
    """Draw counts of three classes; genes may be driven by common factors, and the first ones by the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, N_CELLS)
    rates = np.tile(rng.gamma(2, 0.5, N_GENES), (N_CELLS, 1))
    if correlated:
        factors = rng.normal(size=(N_CELLS, 20))
        loadings = rng.normal(size=(20, N_GENES)) * (rng.random((20, N_GENES)) < 0.15)
        rates *= np.exp(0.6 * factors @ loadings)
    for gene in range(planted):
        rates[y == gene % 3, gene] *= 4
    obs = pd.DataFrame(
        {"kind": pd.Categorical(np.array(["a", "b", "c"])[y])}, index=[f"cell{i}" for i in range(N_CELLS)]
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(N_GENES)])
    return AnnData(rng.poisson(rates).astype(np.float32), obs=obs, var=var)


def passing(adata: AnnData, *, selected: bool, way: dict[str, str]) -> np.ndarray:
    """Train, measure, and return which genes pass (mask)."""
    if selected:
        cc.pp.split(adata, "kind")
        cc.pp.gene_scores(adata, "kind")
        cc.pp.select_genes(adata, N_SELECTED)
    cc.tl.train(adata, "kind", genes="auto" if selected else "all", fit=cc.Fit(device="cpu"))
    cc.tl.importance(adata, null="shadow", **way)
    return (adata.var["importance_qvalue"] <= 0.05).to_numpy()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6, help="data sets of each kind")
    runs = range(parser.parse_args().runs)
    warnings.simplefilter("ignore", UserWarning)  # a network that learns nothing from chance says so
    print(
        f"| genes | read | measured by | pass where labels are chance | planted that pass (of {N_PLANTED}) | others that pass |"
    )
    print("|---|---|---|---|---|---|")
    for correlated, selected, (name, way) in itertools.product((False, True), (False, True), WAYS.items()):
        chance = [passing(cells(run, planted=0, correlated=correlated), selected=selected, way=way) for run in runs]
        found = [
            passing(cells(run, planted=N_PLANTED, correlated=correlated), selected=selected, way=way) for run in runs
        ]
        kinds = "correlated" if correlated else "independent", f"{N_SELECTED} selected" if selected else "all"
        counts = [chance, [mask[:N_PLANTED] for mask in found], [mask[N_PLANTED:] for mask in found]]
        numbers = [", ".join(str(int(mask.sum())) for mask in masks) for masks in counts]
        print(f"| {kinds[0]} | {kinds[1]} | {name} | {numbers[0]} | {numbers[1]} | {numbers[2]} |", flush=True)


if __name__ == "__main__":
    main()
