"""Genes chosen by mRMR and by joint mutual information, against mrmr-selection; prints a markdown table.

python benchmarks/redundancy.py [--cells 20000] [--genes 20000] [--select 1000] [--peer-genes 2000] [--peer-select 20]

The verb chooses from all genes, with no pre-filter. The peer (F-statistic and Pearson correlation, the default of its
`mrmr_classif`, one core or two) compares each chosen gene with all others, pair by pair. It is run on all cells but
fewer genes, together with the verb on the same matrix; its time at the full size is that, scaled by genes chosen × genes.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from gene_scores import peak_memory, simulate
from mrmr import mrmr_classif

import cellclf as cc

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData


def timed(function: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ours(adata: AnnData, n_genes: int, criterion: str) -> float:
    """Time the verb."""
    return timed(lambda: cc.pp.select_genes(adata, n_genes, redundancy=criterion))


def theirs(adata: AnnData, n_genes: int, n_jobs: int) -> float:
    """Time the peer; making its dense table does not count."""
    table = pd.DataFrame(np.log1p(adata.X.toarray()), columns=adata.var_names)
    table = table.loc[:, table.std() > 0]  # it divides by the spread
    label = pd.Series(adata.obs["kind"].cat.codes.to_numpy())
    return timed(lambda: mrmr_classif(table, label, K=n_genes, n_jobs=n_jobs, show_progress=False))


def scored(n_cells: int, n_genes: int) -> AnnData:
    """Simulate counts of 20 classes and score the genes."""
    adata = simulate(n_cells, n_genes, 20)
    cc.pp.gene_scores(adata, "kind")
    return adata


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"cells": 20_000, "genes": 20_000, "select": 1000}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, value in {"genes": 2000, "select": 20}.items():
        parser.add_argument(f"--peer-{name}", type=int, default=value)
    arguments = parser.parse_args()
    small = (arguments.cells, arguments.peer_genes, arguments.peer_select)
    large = (arguments.cells, arguments.genes, arguments.select)
    adata = scored(*small[:2])
    for criterion in ("mrmr", "jmi"):
        ours(adata, 5, criterion)  # compiles
    factor = large[1] * large[2] / (small[1] * small[2])
    peers = {jobs: theirs(adata, small[2], jobs) for jobs in (1, 2)}
    at_small = {criterion: ours(adata, small[2], criterion) for criterion in ("mrmr", "jmi")}
    adata = scored(*large[:2])
    at_large = {criterion: ours(adata, large[2], criterion) for criterion in ("mrmr", "jmi")}
    peak = peak_memory(lambda: ours(adata, 20, "jmi"))
    sizes = [f"{n} of {genes:,} genes, {cells:,} cells" for cells, genes, n in (small, large)]
    print(f"| what | {sizes[0]}, s | {sizes[1]}, s |\n|---|---|---|")
    for criterion in at_small:
        print(f"| `select_genes(redundancy={criterion!r})` | {at_small[criterion]:.2f} | {at_large[criterion]:.1f} |")
    for jobs, seconds in peers.items():
        print(f"| `mrmr_classif(n_jobs={jobs})` | {seconds:.2f} | {seconds * factor:.0f} (scaled by {factor:,.0f}) |")
    fastest = min(peers.values())
    print(f"\nPeer / `mrmr`: {fastest / at_small['mrmr']:.0f} × on the same matrix, ", end="")
    print(f"{fastest * factor / at_large['mrmr']:.0f} × at the full size (scaled).")
    print(f"Peak memory of the verb above the scored data: {peak:.0f} MiB.")


if __name__ == "__main__":
    main()
