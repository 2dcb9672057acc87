"""Several trainings side by side, as `tl.stability` does them, against one after the other.

python benchmarks/stability.py    ten trainings each on four sizes (a minute or two on one core)
"""

from __future__ import annotations

import os
import time

import numpy as np
import torch

from cellclf.fit import Fit, Rows, train
from cellclf.fit._several import n_side_by_side, train_several
from cellclf.nn import MLP

N_TRAININGS, N_CLASSES = 10, 8
SIZES = ((100, 30, None), (300, 400, None), (560, 765, None), (2100, 1000, 4))


def rows(n_cells: int, n_genes: int) -> Rows:
    """Draw cells whose classes have a gene each."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n_cells, n_genes)).astype(np.float32), rng.integers(0, N_CLASSES, n_cells)
    x[np.arange(n_cells), y] += 2
    return Rows(x, y)


def main() -> None:
    """Print the table; processor time besides the clock, since that says something on a busy machine too."""
    print(f"Ten trainings of MLP() with all defaults; {torch.get_num_threads()} threads, {os.cpu_count()} cores\n")
    print("| cells × genes | at once | one by one: s (processor) | side by side: s (processor) | ratio (processor) |")
    print("|---|---|---|---|---|")
    for n_cells, n_genes, epochs in SIZES:
        part, options, times = rows(n_cells, n_genes), Fit(device="cpu", epochs=epochs), []
        given = {"n_classes": N_CLASSES, "epochs": epochs, "title": "train"}
        at_once = n_side_by_side(MLP(), options, n_rows=n_cells, n_inputs=n_genes, n_classes=N_CLASSES)
        seeds = list(range(N_TRAININGS))
        train_several(MLP(), [part] * 2, options, seeds=seeds[:2], **given | {"epochs": 1})  # loads what is needed
        for together in (False, True):
            start, processor = time.perf_counter(), time.process_time()
            if together:
                train_several(MLP(), [part] * N_TRAININGS, options, seeds=seeds, **given)
            else:
                for seed in seeds:
                    train(MLP(), part, None, options, seed=seed, **given)
            times.append((time.perf_counter() - start, time.process_time() - processor))
        (alone, alone_cpu), (joined, joined_cpu) = times
        print(
            f"| {n_cells} × {n_genes} | {min(at_once, N_TRAININGS)} | {alone:.1f} ({alone_cpu:.1f}) | "
            f"{joined:.1f} ({joined_cpu:.1f}) | {alone / joined:.1f} ({alone_cpu / joined_cpu:.1f}) × |",
            flush=True,
        )


if __name__ == "__main__":
    main()
