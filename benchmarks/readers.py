"""A wide CSV pair, read by `cc.io.read_csv_pair` and by pandas: time and peak memory; prints a markdown table.

python benchmarks/readers.py [--samples 801] [--genes 20531] [--zeros 0.15] [--repeats 3]

Every reading is done by a process of its own, the readers in turn; time is the best of the repeats, memory the growth of the
process's peak from before the reading to after it. Libraries are imported, and a small pair is read, before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MIB = 2**20


def write_pair(folder: Path, n_samples: int, n_genes: int, *, zeros: float) -> None:
    """Write expression with the digits of the tumour data, and five classes."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    with (folder / "data.csv").open("w", encoding="utf-8") as file:
        file.write("," + ",".join(f"gene_{gene}" for gene in range(n_genes)) + "\n")
        for sample in range(n_samples):
            values = rng.gamma(4, 2, n_genes) * (rng.random(n_genes) >= zeros)
            file.write(f"sample_{sample}," + ",".join(f"{value:.12g}" if value else "0.0" for value in values) + "\n")
    classes = rng.choice(["BRCA", "COAD", "KIRC", "LUAD", "PRAD"], n_samples)
    lines = [f"sample_{sample},{name}" for sample, name in enumerate(classes)]
    (folder / "labels.csv").write_text(",Class\n" + "\n".join(lines) + "\n", encoding="utf-8")


def read(reader: str, folder: Path) -> object:
    """Read the pair one way or the other."""
    if reader == "cellclf":
        import cellclf as cc

        return cc.io.read_csv_pair(folder / "data.csv", folder / "labels.csv")
    import pandas as pd

    return pd.read_csv(folder / "data.csv", index_col=0), pd.read_csv(folder / "labels.csv", index_col=0)


def resident_peak() -> float:
    """Return the highest memory this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(reader: str, folder: Path) -> None:
    """Read once, in this process, and print seconds and MiB."""
    read(reader, folder / "small")
    before, busy, start = resident_peak(), time.process_time(), time.perf_counter()
    kept = read(reader, folder / "large")
    seconds = time.perf_counter() - start
    busy = time.process_time() - busy
    print(
        json.dumps({"seconds": seconds, "busy": busy, "memory": resident_peak() - before, "kept": type(kept).__name__})
    )


def in_a_process(reader: str, folder: Path) -> dict[str, float]:
    """Measure one reading in a process of its own."""
    command = [sys.executable, __file__, "--reader", reader, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Write the files, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=801)
    parser.add_argument("--genes", type=int, default=20531)
    parser.add_argument("--zeros", type=float, default=0.15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--reader")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.reader:
        measure(options.reader, options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pair(folder / "small", 20, 10, zeros=options.zeros)
        write_pair(folder / "large", options.samples, options.genes, zeros=options.zeros)
        size = (folder / "large" / "data.csv").stat().st_size / MIB
        runs: dict[str, list[dict[str, float]]] = {"cellclf": [], "pandas": []}
        for _ in range(options.repeats):
            for reader, done in runs.items():
                done.append(in_a_process(reader, folder))
    matrix = options.samples * options.genes * 4 / MIB
    best = {reader: min(run["seconds"] for run in done) for reader, done in runs.items()}
    busy = {reader: min(run["busy"] for run in done) for reader, done in runs.items()}
    peak = {reader: max(run["memory"] for run in done) for reader, done in runs.items()}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(f"{options.samples} × {options.genes}, {size:.0f} MiB of text, {matrix:.0f} MiB as float32; ", end="")
    print(f"{os.cpu_count()} cores, {memory:.0f} GiB; best of {options.repeats}.\n")
    print("| reader | seconds | processor seconds | peak memory (MiB) | × the float32 matrix |")
    print("|---|---|---|---|---|")
    for reader in runs:
        print(
            f"| {reader} | {best[reader]:.2f} | {busy[reader]:.2f} | {peak[reader]:.0f} | {peak[reader] / matrix:.1f} |"
        )
    print(f"\ncellclf is {best['pandas'] / best['cellclf']:.1f} × as fast.")


if __name__ == "__main__":
    main()
