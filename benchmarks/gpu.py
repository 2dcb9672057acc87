"""What a graphics card saves: scores, similarity, training and importance there and on the processor, in the same run.

python benchmarks/gpu.py [--device cuda] [--small] [--repeats 3]

Each number is the best of the repeats after a call that warms up, which are made in turn; times include what is moved to the device and
back. The processor uses all of its threads. `--device cpu --small` only shows that the script runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anndata import AnnData
from gene_scores import simulate
from gene_similarity import METRICS
from gene_similarity import simulate as simulate_expression

import cellclf as cc
from cellclf.attribution import permutation_importance
from cellclf.nn import named

if TYPE_CHECKING:
    from collections.abc import Callable

N_CLASSES = 5


@dataclass(frozen=True)
class Task:
    """Something to compute on a device (`None`: the processor), and how two of its results are compared."""

    name: str
    run: Callable[[str | None], Any]
    agreement: Callable[[Any, Any], str]


def apart(one: np.ndarray, other: np.ndarray) -> str:
    """Say how far two arrays are apart."""
    return f"largest difference {np.nanmax(np.abs(one - other)):.1e}"


def scores(share: int) -> Task:
    """Score all genes of sparse counts."""
    adata = simulate(100_000 // share, 20_000 // share, 20)

    def run(device: str | None) -> np.ndarray:
        cc.pp.gene_scores(adata, "kind", device=device)
        return adata.var["mi"].to_numpy()

    def agreement(one: np.ndarray, other: np.ndarray) -> str:
        return "the same bits" if one.tobytes() == other.tobytes() else apart(one, other)

    return Task(f"gene scores, {adata.n_obs:,} × {adata.n_vars:,} CSR", run, agreement)


def similarity(metric: str, adata: AnnData) -> Task:
    """Compare all pairs of genes."""

    def run(device: str | None) -> np.ndarray:
        cc.pp.gene_similarity(adata, metric=metric, device=device)
        return adata.varp.pop(metric)

    return Task(f"similarity, {metric}, {adata.n_obs:,} × {adata.n_vars:,} dense", run, apart)


def training(share: int) -> Task:
    """Train with all defaults; half of the cells are for the test."""
    adata = simulate(20_000 // share, 10_000 // share, 10)
    cc.pp.split(adata, "kind", fractions=(0.4, 0.1, 0.5))

    def run(device: str | None) -> float:
        fresh = adata.copy()
        cc.tl.train(fresh, "kind", fit=cc.Fit(device=device or "cpu"), store=True)
        cc.tl.predict(fresh)
        test = (fresh.obs["split"] == "test").to_numpy()
        return float((fresh.obs["cellclf"].astype(str) == fresh.obs["kind"].astype(str)).to_numpy()[test].mean())

    return Task(
        f"default training, {adata.n_obs:,} × {adata.n_vars:,} CSR", run, lambda a, b: f"test accuracy {a:.4f}, {b:.4f}"
    )


def importance(share: int) -> Task:
    """Shuffle every gene of the largest network of earlier work on held-out rows; its weights do not matter for the time."""
    n_genes = 20_531 // share
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = named("tumours").build(n_genes, N_CLASSES)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(81, n_genes)).astype(np.float32), rng.integers(0, N_CLASSES, 81)

    def run(device: str | None) -> np.ndarray:
        return permutation_importance(network.to(device or "cpu"), x, y, n_repeats=1).by_repeat

    return Task(f"importance, tumours network, 81 × {n_genes:,}", run, apart)


def row(task: Task, device: str, repeats: int) -> str:
    """Time a task in both places, in turn; one line of the table."""
    times: dict[str | None, list[float]] = {None: [], device: []}
    found = {}
    for turn in range(repeats + 1):
        for place in times:
            start = time.perf_counter()
            found[place] = task.run(place)
            if turn:
                times[place].append(time.perf_counter() - start)
    here, there = min(times[None]), min(times[device])
    every = "; ".join(", ".join(f"{t:.2f}" for t in times[place]) for place in (None, device))
    return f"| {task.name} | {here:.2f} | {there:.2f} | {here / there:.1f} | {task.agreement(found[None], found[device])} | {every} |"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="torch device")
    parser.add_argument("--small", action="store_true", help="a twentieth of the sizes")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"No CUDA device is here, so there is nothing to time on {options.device!r}. Give another --device.")
    warnings.simplefilter("ignore")
    share = 20 if options.small else 1
    name = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else options.device
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {name}; torch {torch.__version__}\n")
    print("| what | processor, s | device, s | times | agreement | every run: processor; device |")
    print("|---|---|---|---|---|---|")
    expression = AnnData(simulate_expression(1400 // share, 19_221 // share))
    makers: list[Callable[[], Task]] = [lambda: scores(share)]
    makers += [lambda metric=metric: similarity(metric, expression) for metric in METRICS]
    makers += [lambda: training(share), lambda: importance(share)]
    for make in makers:
        print(row(make(), options.device, options.repeats), flush=True)


if __name__ == "__main__":
    main()
