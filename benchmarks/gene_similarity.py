"""All pairs of genes, against SciPy, NumPy and scikit-learn in the same run; prints a markdown table.

python benchmarks/gene_similarity.py [--genes 19221] [--samples 1400] [--sample 150] [--repeats 1] [--cells 20000] [--device cuda]
python benchmarks/gene_similarity.py --disk 60000 [--sparse-genes 3000] [--folder DIR]

Dense data (like bulk expression) for every metric, then sparse counts (like single cells). NumPy's correlation runs whole, in
turn with ours; the peers that take one pair at a time are timed on all pairs of a sample of genes and scaled. Times include reading
and storing.

With `--disk`, instead: so many cells and twice as many (sparse counts, and the same genes dense for a tenth of the cells), from memory and
from a backed h5ad, the five nearest of each gene. Each call runs in a process of its own, after one that compiles; memory is what the
process then holds beyond files (RssAnon) above what it held before.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
from anndata import AnnData
from on_disk import peak
from scipy import sparse
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import jaccard_score, mutual_info_score

import cellclf as cc
from cellclf import stats
from cellclf.stats import _kernels

if TYPE_CHECKING:
    from collections.abc import Callable

METRICS = ("jsd", "correlation", "jaccard", "mi")
PEERS = {"jsd": "scipy jensenshannon", "jaccard": "sklearn jaccard_score", "mi": "sklearn mutual_info_score"}


def simulate(n_samples: int, n_genes: int) -> np.ndarray:
    """Make log expression of 20 tissues: dense, with genes that some tissues lack."""
    rng = np.random.default_rng(0)
    tissue = rng.integers(0, 20, n_samples)
    level = rng.gamma(1.5, 2, n_genes).astype(np.float32) * rng.gamma(2, 0.5, (20, n_genes)).astype(np.float32)
    noise = rng.standard_normal((n_samples, n_genes), dtype=np.float32)
    return np.maximum(0, level[tissue] + 0.5 * noise)


def simulate_counts(n_cells: int, n_genes: int) -> sparse.csr_matrix:
    """Make counts of which about 6 % are not zero."""
    rng = np.random.default_rng(1)
    rate = np.minimum(0.9, rng.gamma(0.5, 0.128, n_genes)).astype(np.float32)
    blocks = []
    for start in range(0, n_cells, 2000):
        present = rng.random((min(2000, n_cells - start), n_genes), dtype=np.float32) < rate
        columns = np.nonzero(present)[1].astype(np.int32)
        values = rng.geometric(np.maximum(0.02, 1 - rate)[columns]).astype(np.float32)
        indptr = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
        blocks.append(sparse.csr_matrix((values, columns, indptr), shape=present.shape))
    return sparse.vstack(blocks, format="csr")


def in_turn(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Time the fastest of several calls of each, one after the other; what they return is dropped at once."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, found in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            found.append(time.perf_counter() - start)
    return [min(found) for found in times]


def by_pair(metric: str, x: np.ndarray) -> tuple[np.ndarray, float]:
    """Compare genes one pair at a time, as the libraries do; returns the values and the seconds."""
    genes = [column.copy() for column in x.T.astype(np.float64)]
    if metric == "mi":
        bins = stats.bin_edges(x, np.ones(len(x), bool), n_bins=4)
        genes = [np.searchsorted(bins.of_gene(j), gene, side="right") for j, gene in enumerate(genes)]
    if metric == "jaccard":
        genes = [gene > 0 for gene in genes]
    compare: Callable[[np.ndarray, np.ndarray], float] = {
        "jsd": lambda a, b: jensenshannon(a, b) ** 2,
        "jaccard": lambda a, b: jaccard_score(a, b, zero_division=0),
        "mi": mutual_info_score,
    }[metric]
    values, start = np.zeros((len(genes), len(genes))), time.perf_counter()
    for i in range(len(genes)):
        for j in range(i + 1, len(genes)):
            values[i, j] = compare(genes[i], genes[j])
    return values, time.perf_counter() - start


def run(adata: AnnData, metric: str, options: argparse.Namespace) -> str:
    """Time one metric and its peer; one line of the table."""

    def compare() -> np.ndarray:
        cc.pp.gene_similarity(adata, metric=metric, device=options.device)
        return adata.varp.pop(metric)

    genes = np.random.default_rng(2).choice(adata.n_vars, min(options.sample, adata.n_vars), replace=False)
    found = compare()[np.ix_(genes, genes)]
    x = adata.X.toarray() if sparse.issparse(adata.X) else adata.X
    if metric == "correlation":
        whole = functools.partial(np.corrcoef, x, rowvar=False, dtype=np.float32)
        values, name = whole()[np.ix_(genes, genes)], "numpy.corrcoef in float32, whole"
        ours, theirs = in_turn([compare, whole], options.repeats)
    else:
        (ours,) = in_turn([compare], options.repeats)
        values, seconds = by_pair(metric, x[:, genes])
        n_pairs = genes.size * (genes.size - 1) // 2
        theirs = seconds / n_pairs * adata.n_vars * (adata.n_vars - 1) / 2
        name = f"{PEERS[metric]}, {n_pairs:,} pairs scaled"
    pairs = np.triu_indices(genes.size, 1)
    apart = np.nanmax(np.abs(found[pairs] - values[pairs]))
    return f"| {metric} | {ours:.1f} | {name} | {theirs:,.1f} | {theirs / ours:,.1f} | {apart:.1e} |"


def from_store(path: str, metric: str, *, backed: bool) -> dict[str, object]:
    """Compare the genes of a file in this process."""
    cc.pp.gene_similarity(anndata.read_h5ad(path, backed="r")[:300].to_memory(), metric=metric, n_neighbors=5)
    adata = anndata.read_h5ad(path, backed="r" if backed else None)
    start = time.perf_counter()
    memory = peak(lambda: cc.pp.gene_similarity(adata, metric=metric, n_neighbors=5))
    seconds = time.perf_counter() - start
    digest = hashlib.sha256(adata.varp[metric].data.tobytes()).hexdigest()
    return {"seconds": seconds, "memory": memory, "digest": digest}


def run_disk(options: argparse.Namespace) -> None:
    """Print a table of time and memory from memory and from files."""
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        print("| data | metric | cells | seconds, from memory | from a file | MiB, from memory | from a file |")
        print("|---|---|---|---|---|---|---|")
        for kind, make, n_cells in (("sparse", simulate_counts, options.disk), ("dense", simulate, options.disk // 10)):
            paths = {n: folder / f"{kind}{n}.h5ad" for n in (n_cells, 2 * n_cells)}
            for n, path in paths.items():
                AnnData(make(n, options.sparse_genes)).write_h5ad(path)
            for metric in options.metrics:
                for n, path in paths.items():
                    memory, file = (_in_own_process(path, metric, how) for how in ("memory", "backed"))
                    if memory["digest"] != file["digest"]:
                        msg = f"{metric}: a file does not give what memory gives."
                        raise RuntimeError(msg)
                    columns = f"{memory['seconds']:.1f} | {file['seconds']:.1f} | {memory['memory']:.0f} | {file['memory']:.0f}"
                    print(f"| {kind} | {metric} | {n:,} | {columns} |", flush=True)
    finally:
        shutil.rmtree(folder)


def _in_own_process(path: Path, metric: str, how: str) -> dict[str, Any]:
    """Compare the genes of a file in a process of its own."""
    command = [sys.executable, __file__, "--one", str(path), metric, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=19221)
    parser.add_argument("--samples", type=int, default=1400)
    parser.add_argument("--cells", type=int, default=20_000, help="of the sparse counts; 0 leaves them out")
    parser.add_argument("--sparse-genes", type=int, default=5000)
    parser.add_argument("--sample", type=int, default=150, help="genes among which single pairs are timed")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--metrics", nargs="+", default=METRICS, choices=METRICS)
    parser.add_argument("--device", default=None, help="torch device; compiled kernels on the processor without")
    parser.add_argument("--disk", type=int, default=0, help="cells of the comparison of memory and files")
    parser.add_argument("--folder", type=Path, default=None, help="where the files are written, and removed again")
    parser.add_argument("--one", nargs=3, metavar=("PATH", "METRIC", "HOW"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # the peers divide by zero for genes found nowhere
    if options.one:
        path, metric, how = options.one
        print(json.dumps(from_store(path, metric, backed=how == "backed")))
        return
    if options.disk:
        run_disk(options)
        return
    small = AnnData(simulate(300, 200))
    for metric in options.metrics:  # compile
        cc.pp.gene_similarity(small, metric=metric)
        cc.pp.gene_similarity(AnnData(simulate_counts(300, 200)), metric=metric)
    load = os.getloadavg()[0]
    print(f"{_kernels.n_threads()} threads of {os.cpu_count()} cores, load of the machine at the start {load:.1f}.")
    head = "| metric | seconds | peer | seconds | times ours | largest difference |\n|---|---|---|---|---|---|"
    print(f"\nDense: {options.samples:,} samples × {options.genes:,} genes\n\n{head}", flush=True)
    adata = AnnData(simulate(options.samples, options.genes))
    for metric in options.metrics:
        print(run(adata, metric, options), flush=True)
    if options.cells:
        adata = AnnData(simulate_counts(options.cells, options.sparse_genes))
        stored = adata.X.nnz / np.prod(adata.shape)
        print(f"\nSparse: {options.cells:,} cells × {options.sparse_genes:,} genes, {stored:.1%} not zero\n\n{head}")
        for metric in options.metrics:
            print(run(adata, metric, options), flush=True)


if __name__ == "__main__":
    main()
