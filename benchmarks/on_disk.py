"""Gene scores from disk against a plain chunked read of the same file, in the same run; prints markdown tables.

python benchmarks/on_disk.py [--cells 100000] [--genes 20000] [--classes 20] [--repeats 3] [--folder DIR] [--stores FILE ...]

The plain reads do nothing with what they read: rows by rows through AnnData, as one would write it (`adata.X[first:stop]`, some thousands of
rows at a time; with `read_lazy` the chunks of the dask array, one after another), and, below AnnData, the values and their genes
straight from the file. "Pass" is the one pass over the file, from which the verb then computes the scores. Each store is measured in a process of its own, after a call that compiles, in turn with the plain reads; every file
has been read before, so the system holds it in memory as far as it can. Memory is what the process holds beyond files (RssAnon)
above what it held before the call.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import zarr
from gene_scores import simulate

import cellclf as cc
from cellclf import stats
from cellclf.stats import _kernels

if TYPE_CHECKING:
    from collections.abc import Callable

STORES = {
    "h5ad, CSR, not compressed": ("plain.h5ad", "backed"),
    "h5ad, CSR, lzf": ("lzf.h5ad", "backed"),
    "h5ad, CSR, gzip": ("gzip.h5ad", "backed"),
    "zarr, CSR, on disk": ("x.zarr", "backed"),
    "zarr, CSR, `read_lazy`": ("x.zarr", "lazy"),
}
ROWS = (1000, 3000, 10_000)  # read at a time through AnnData
VALUES = 2**22  # read at a time below it
MIB = 2**20


def write(folder: Path, files: set[str], n_cells: int, n_genes: int, n_classes: int) -> None:
    """Write the same counts into every store."""
    adata = simulate(n_cells, n_genes, n_classes)
    for name, compression in (("plain", None), ("lzf", "lzf"), ("gzip", "gzip")):
        if f"{name}.h5ad" in files:
            adata.write_h5ad(folder / f"{name}.h5ad", compression=compression)
    if "x.zarr" in files:
        adata.write_zarr(folder / "x.zarr")


def opened(path: Path, how: str) -> anndata.AnnData:
    """Open a store without reading its matrix."""
    if how == "lazy":
        return anndata.experimental.read_lazy(path)
    if path.suffix == ".h5ad":
        return anndata.read_h5ad(path, backed="r")
    group = zarr.open(path, mode="r")
    return anndata.AnnData(anndata.io.sparse_dataset(group["X"]), obs=anndata.io.read_elem(group["obs"]))


def read_rows(path: Path, step: int) -> None:
    """Read all rows, some at a time."""
    x = opened(path, "backed").X
    for first in range(0, x.shape[0], step):
        x[first : first + step]


def read_bare(path: Path) -> None:
    """Read all values and their genes, straight from the file."""
    source = h5py.File(path) if path.suffix == ".h5ad" else zarr.open(path, mode="r")
    data, indices = source["X"]["data"], source["X"]["indices"]
    for first in range(0, data.shape[0], VALUES):
        data[first : first + VALUES], indices[first : first + VALUES]
    if path.suffix == ".h5ad":
        source.close()


def read_chunks(path: Path) -> None:
    """Compute all chunks of the dask array, one after another."""
    x = opened(path, "lazy").X
    for i in range(x.numblocks[0]):
        x.blocks[i, 0].compute(scheduler="synchronous")


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def anonymous() -> int:
    """Return the memory this process holds, without files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def peak(function: Callable[[], object]) -> float:
    """Watch how far the process grows during a call, in MiB."""
    before, highest, over = anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not over.is_set():
            highest = max(highest, anonymous())
            time.sleep(0.003)

    watcher = threading.Thread(target=watch)
    watcher.start()
    function()
    over.set()
    watcher.join()
    return (highest - before) / MIB


def measure(path: Path, how: str, repeats: int) -> dict[str, Any]:
    """Measure one store in this process."""
    warm = opened(path, how)[:2000].to_memory()
    for bins in ("auto", "counts"):
        cc.pp.gene_scores(warm, "kind", bins=bins)
    adata = opened(path, how)
    cc.pp.gene_scores(adata[:2000] if how == "backed" and path.suffix == ".zarr" else warm, "kind")
    memory = peak(lambda: cc.pp.gene_scores(adata, "kind"))
    plain: dict[str, Callable[[], None]] = {f"{n:,}": lambda n=n: read_rows(path, n) for n in ROWS}
    plain = {"chunks": lambda: read_chunks(path)} if how == "lazy" else plain
    codes, n_classes = adata.obs["kind"].cat.codes.to_numpy(np.int64), len(adata.obs["kind"].cat.categories)
    times: dict[str, list[float]] = {name: [] for name in (*plain, "bare", "pass", "auto", "counts")}
    for _ in range(repeats):
        for name, read in plain.items():
            times[name].append(seconds(read))
        times["bare"].append(seconds(lambda: read_bare(path)))
        times["pass"].append(seconds(lambda: stats.cut_and_count(adata.X, codes, n_classes=n_classes)))
        for bins in ("auto", "counts"):
            times[bins].append(seconds(lambda bins=bins: cc.pp.gene_scores(adata, "kind", bins=bins)))
        if path.name == "plain.h5ad":
            times.setdefault("read all", []).append(seconds(lambda: anndata.read_h5ad(path)))
    return {"times": times, "plain": list(plain), "memory": memory, "sum": float(adata.var["mi"].sum())}


def in_own_process(path: Path, how: str, repeats: int) -> dict[str, Any]:
    """Measure one store in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(path), how, "--repeats", str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, path: Path, found: dict[str, Any]) -> str:
    """Write one row of the table: the medians, and in every run the ratios to the fastest plain read and to the bare one."""
    times = found["times"]
    middle = {key: sorted(values)[len(values) // 2] for key, values in times.items()}
    plain = [min(run) for run in zip(*(times[key] for key in found["plain"]), strict=True)]
    ratios = [
        ", ".join(f"{ours / peer:.2f}" for ours, peer in zip(times[key], peers, strict=True))
        for key, peers in (("pass", plain), ("auto", plain), ("auto", times["bare"]))
    ]
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    columns = [" / ".join(f"{middle[key]:.2f}" for key in found["plain"]), f"{middle['bare']:.2f}"]
    columns += [f"{middle['pass']:.2f}", f"{middle['auto']:.2f}", *ratios, f"{middle['counts']:.2f}"]
    return f"| {name} | {size / MIB:.0f} | " + " | ".join(columns) + " |"


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the files are written, and removed again")
    files = sorted({file for file, _ in STORES.values()})
    parser.add_argument("--stores", nargs="+", choices=files, default=files, help="files to measure")
    parser.add_argument("--measure", nargs=2, metavar=("PATH", "HOW"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1], options.repeats)))
        return
    parent = Path(tempfile.mkdtemp(dir=options.folder))
    stores = {name: (file, how) for name, (file, how) in STORES.items() if file in options.stores}
    memory: dict[str, list[float]] = {name: [] for name in stores}
    print(
        f"{options.cells:,} cells × {options.genes:,} genes, {options.classes} classes, {_kernels.n_threads()} threads.\n"
    )
    for n_cells in (options.cells // 2, options.cells):
        folder = parent / str(n_cells)
        folder.mkdir()
        write(folder, set(options.stores), n_cells, options.genes, options.classes)
        found = {
            name: in_own_process(folder / file, how, options.repeats if n_cells == options.cells else 1)
            for name, (file, how) in stores.items()
        }
        for name in stores:
            memory[name].append(found[name]["memory"])
        if len({result["sum"] for result in found.values()}) > 1:
            msg = "The stores do not give the same scores."
            raise RuntimeError(msg)
        if n_cells == options.cells:
            steps = " / ".join(f"{n:,}" for n in ROWS)
            print(
                f"| store | MiB | rows, {steps} at a time, or chunks | bare | pass | verb | pass / rows | verb / rows | verb / bare | `counts` |"
            )
            print("|---|---|---|---|---|---|---|---|---|---|")
            for name, (file, _) in stores.items():
                print(row(name, folder / file, found[name]))
            whole = sorted(next((one["times"]["read all"] for one in found.values() if "read all" in one["times"]), []))
            if whole:
                middle = whole[len(whole) // 2]
                print(f"\n`anndata.read_h5ad` of the uncompressed file into memory, before any score: {middle:.2f} s.")
        shutil.rmtree(folder)
    parent.rmdir()
    print(f"\n| peak memory of the verb, MiB | {options.cells // 2:,} cells | {options.cells:,} cells |")
    print("|---|---|---|")
    for name, (half, full) in memory.items():
        print(f"| {name} | {half:.0f} | {full:.0f} |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
