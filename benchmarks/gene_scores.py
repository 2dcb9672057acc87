"""All-gene scores against scikit-learn and scanpy on the same counts, in the same run; prints a markdown table.

python benchmarks/gene_scores.py [--cells 100000] [--genes 20000] [--classes 20] [--sample 100] [--repeats 7] [--all-peers]

`mutual_info_classif` is timed on a sample of genes and scaled to all of them; the t-test runs whole. Each time is the best
of the repeats (the t-test runs once), after one call that compiles. With `--all-peers` come time and peak memory of all ways to choose
genes, each run once, in memory and on an uncompressed h5ad file: peers read the whole file first. The t-test, Seurat v3's variable genes and COSG run whole,
`mutual_info_classif` and the Wilcoxon test on a sample of genes and mRMR-selection on a sample of genes and cells,
scaled (they need `pip install cosg scikit-misc mrmr-selection`).
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy import sparse
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import mutual_info_score

import cellclf as cc
from cellclf import stats
from cellclf.stats import _kernels, _threads

if TYPE_CHECKING:
    from collections.abc import Callable

DENSITY = 0.064
MIB = 2**20


def simulate(n_cells: int, n_genes: int, n_classes: int) -> AnnData:
    """Make counts of which about 6 % are not zero; every class has a hundred genes of its own."""
    rng = np.random.default_rng(0)
    codes = rng.choice(n_classes, n_cells, p=rng.dirichlet(np.full(n_classes, 5.0)))
    rate = np.minimum(0.9, rng.gamma(0.5, 2 * DENSITY, n_genes)).astype(np.float32)
    by_class = np.tile(rate, (n_classes, 1))
    for code in range(n_classes):
        by_class[code, rng.choice(n_genes, min(100, n_genes), replace=False)] *= 3
    blocks = []
    for start in range(0, n_cells, 2000):
        own = codes[start : start + 2000]
        present = rng.random((own.size, n_genes), dtype=np.float32) < by_class[own]
        columns = np.nonzero(present)[1].astype(np.int32)
        values = rng.geometric(np.maximum(0.02, 1 - rate)[columns]).astype(np.float32)
        indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        blocks.append(sparse.csr_matrix((values, columns, indptr), shape=present.shape))
    obs = pd.DataFrame({"kind": pd.Categorical(codes.astype(str))}, index=np.arange(n_cells).astype(str))
    return AnnData(sparse.vstack(blocks, format="csr"), obs=obs)


def best(function: Callable[[], object], repeats: int) -> float:
    """Time the fastest of several calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory(function: Callable[[], object]) -> float:
    """Watch how far the process grows during a call, in MiB."""
    page = os.sysconf("SC_PAGESIZE")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # memory freed earlier would be used again and not be seen
    before, highest, over = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not over.is_set():
            highest = max(highest, resident())
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    over.set()
    watcher.join()
    return (max(highest, resident()) - before) / MIB


def read_all(x: sparse.csr_matrix) -> None:
    """Read every stored value and its gene once, on as many threads as the kernel uses."""
    parts = _threads.parts(np.ones(x.nnz // 4096))
    _threads.run(
        [lambda a=a, b=b: (x.data[a * 4096 : b * 4096].sum(), x.indices[a * 4096 : b * 4096].max()) for a, b in parts]
    )


def by_scores(adata: AnnData) -> float:
    """Score the genes; a backed file is closed again."""
    cc.pp.gene_scores(adata, "kind")
    if adata.isbacked:
        adata.file.close()
    return 1.0


def by_information(adata: AnnData, n_genes: int = 100) -> float:
    """Score a sample of genes by `mutual_info_classif`; return by how much the time is to be scaled."""
    genes = np.random.default_rng(1).choice(adata.n_vars, min(n_genes, adata.n_vars), replace=False)
    mutual_info_classif(adata.X[:, genes].tocsc(), adata.obs["kind"].cat.codes, discrete_features=True)
    return adata.n_vars / genes.size


def by_t_test(adata: AnnData) -> float:
    """Rank the genes by the t-test."""
    sc.tl.rank_genes_groups(adata, "kind", method="t-test", use_raw=False)
    return 1.0


def by_wilcoxon(adata: AnnData, n_genes: int = 1000) -> float:
    """Rank a sample of genes by the Wilcoxon test; return by how much the time is to be scaled."""
    part = adata[:, np.random.default_rng(2).choice(adata.n_vars, min(n_genes, adata.n_vars), replace=False)].copy()
    sc.tl.rank_genes_groups(part, "kind", method="wilcoxon", use_raw=False)
    return adata.n_vars / part.n_vars


def by_mrmr(adata: AnnData, n_cells: int = 10_000, n_genes: int = 1000, n_chosen: int = 20) -> float:
    """Choose 20 of a sample of genes; return by how much the time is to be scaled for 200 of all, over all cells."""
    from mrmr import mrmr_classif

    part = adata[:n_cells, :n_genes]
    values = pd.DataFrame(part.X.toarray(), columns=part.var_names)
    mrmr_classif(values, pd.Series(part.obs["kind"].to_numpy()), K=n_chosen, show_progress=False, n_jobs=1)
    return 200 / n_chosen * adata.n_vars / part.n_vars * adata.n_obs / part.n_obs


def by_variable_genes(adata: AnnData) -> float:
    """Choose the most variable genes as Seurat v3 does."""
    sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=2000)
    return 1.0


def by_cosg(adata: AnnData) -> float:
    """Choose markers by COSG."""
    import cosg

    cosg.cosg(adata, groupby="kind", n_genes_user=100, key_added="cosg")
    return 1.0


def run_once(way: Callable[[AnnData], float], give: Callable[[], AnnData]) -> tuple[float, float, float]:
    """Run a way once: seconds to get the data and, scaled, to use them, the scale, and its peak memory in MiB."""
    found: list[float] = []

    def run() -> None:
        start = time.perf_counter()
        adata = give()
        given = time.perf_counter()
        scale = way(adata)
        found.extend([given - start + scale * (time.perf_counter() - given), scale])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        memory = peak_memory(run)
    return found[0], found[1], memory


def compare_others(adata: AnnData, verb: float, path: Path) -> None:
    """Print time and memory of all ways to choose genes, in memory and from a file."""
    heads = ["in memory, s", "times the verb", "peak above the data, MiB", "from disk, s", "peak, MiB"]
    print("\n| way to choose genes | " + " | ".join(heads) + " |\n|" + "---|" * 6)
    ways = {
        "`cc.pp.gene_scores`; from disk `backed`": by_scores,
        "`mutual_info_classif`, 100 genes scaled": by_information,
        '`rank_genes_groups(method="t-test")`': by_t_test,
        '`rank_genes_groups(method="wilcoxon")`, 1000 genes scaled': by_wilcoxon,
        '`highly_variable_genes(flavor="seurat_v3")`': by_variable_genes,
        "COSG": by_cosg,
        "mRMR-selection, 20 of 1000 genes over 10 000 cells, scaled to 200 of all": by_mrmr,
    }
    for name, way in ways.items():
        run_once(way, lambda: adata[:500, :200].copy())  # loads and compiles
        backed = "r" if way is by_scores else None
        taken, scale, memory = run_once(way, lambda: adata)
        from_disk, _, whole = run_once(way, lambda backed=backed: anndata.read_h5ad(path, backed=backed))
        scaled = "" if scale == 1 else " (of the sample)"
        cells = [
            f"{taken:.2f}",
            f"{taken / verb:.0f}",
            f"{memory:.0f}{scaled}",
            f"{from_disk:.2f}",
            f"{whole:.0f}{scaled}",
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--sample", type=int, default=100, help="genes on which mutual_info_classif is timed")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--all-peers", action="store_true", help="also time other ways to choose genes")
    options = parser.parse_args()
    adata = simulate(options.cells, options.genes, options.classes)
    x, codes = adata.X, adata.obs["kind"].cat.codes.to_numpy(dtype=np.int64)

    cc.pp.gene_scores(adata[:1000].copy(), "kind")
    memory = peak_memory(lambda: cc.pp.gene_scores(adata, "kind"))  # first: later calls find freed memory to use again
    verb = best(lambda: cc.pp.gene_scores(adata, "kind"), options.repeats)
    bins = stats.bin_edges(x, codes >= 0)
    kernel = best(lambda: stats.contingency(x, codes, bins=bins, n_classes=options.classes), options.repeats)
    values = best(lambda: x.data.sum(), options.repeats)
    bare = best(lambda: read_all(x), options.repeats)

    genes = np.random.default_rng(1).choice(options.genes, min(options.sample, options.genes), replace=False)
    columns = x[:, genes].tocsc()
    theirs: list[np.ndarray] = []
    peer = best(lambda: theirs.append(mutual_info_classif(columns, codes, discrete_features=True)), options.repeats)
    peer *= options.genes / genes.size
    cc.pp.gene_scores(adata, "kind", bins="counts", key_added="exact")
    ours = adata.var["exact_mi"].to_numpy()[genes]
    apart = np.abs(ours - [mutual_info_score(codes, columns[:, [j]].toarray()[:, 0]) for j in range(genes.size)]).max()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ttest = best(lambda: sc.tl.rank_genes_groups(adata, "kind", method="t-test", use_raw=False), 1)

    size = (x.data.nbytes + x.indices.nbytes + x.indptr.nbytes) / MIB
    print(
        f"{options.cells:,} cells × {options.genes:,} genes, {x.nnz / 1e6:.1f} million counts stored ({size:.0f} MiB),"
    )
    print(f"{options.classes} classes, {_kernels.n_threads()} threads of {os.cpu_count()} cores.\n")
    print("| what | seconds | times the verb |")
    print("|---|---|---|")
    print(f"| `cc.pp.gene_scores`: mi, corrected, p, q, jsd, by class | {verb:.3f} | 1 |")
    print(f"| `mutual_info_classif`, {genes.size} genes scaled to all | {peer:.1f} | {peer / verb:.0f} |")
    print(f'| `rank_genes_groups(method="t-test")` | {ttest:.1f} | {ttest / verb:.1f} |')
    print("\n| counting | seconds | kernel / pass |")
    print("|---|---|---|")
    print(f"| kernel: the whole table | {kernel:.3f} | 1 |")
    print(f"| bare pass: NumPy sum of the values, one thread | {values:.3f} | {kernel / values:.1f} |")
    print(f"| bare pass: values and indices, all threads | {bare:.3f} | {kernel / bare:.1f} |")
    print(f"\nPeak memory of the verb above the data: {memory:.0f} MiB.")
    print(f"`bins='counts'` and `mutual_info_score` differ by at most {apart:.1e} nats.")
    if options.all_peers:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.h5ad"
            adata.write_h5ad(path)
            compare_others(adata, verb, path)


if __name__ == "__main__":
    main()
