"""Train on more cells than fit in memory, and the same on fewer in memory; prints markdown.

python benchmarks/larger_than_memory.py [--cells 1000000] [--genes 20000] [--classes 10] [--subset 20000] [--epochs 2] [--folder DIR]

Counts are simulated and written to an h5ad file chunk by chunk (6 bytes a count, about 5 % of them stored), a tenth of the cells is marked valid and a tenth
test. Training runs in a process of its own; memory is what the process holds beyond files (RssAnon), looked at every
20 ms. The subset is trained on twice, in memory and from a file of cells, and everything learnt is compared bit by bit.
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
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

import cellclf as cc
from cellclf.tl import _at_hand

MIB, GIB = 2**20, 2**30
CHUNK = 4000
MARKERS = 60  # of each class, seen twice as often there
SPLIT = pd.CategoricalDtype(["train", "valid", "test"])


def simulate(path: Path, n_cells: int, n_genes: int, n_classes: int) -> None:
    """Write counts of which about 5 % are not zero; every class has markers of its own."""
    rng = np.random.default_rng(0)
    codes = rng.choice(n_classes, n_cells, p=rng.dirichlet(np.full(n_classes, 5.0)))
    rate = np.clip(rng.gamma(0.5, 2 * 0.047 * 256, n_genes), 1, 230)
    by_class = np.tile(rate, (n_classes, 1))
    for code in range(n_classes):
        by_class[code, rng.choice(n_genes, MARKERS, replace=False)] *= 2
    by_class = np.minimum(by_class, 255).astype(np.uint8)
    sizes = np.maximum(1, np.round(rng.lognormal(0, 1.0, 256))).astype(np.uint16)  # of the counts that are not zero
    split = rng.choice(3, n_cells, p=[0.8, 0.1, 0.1])
    names = np.arange(n_cells).astype(str)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(codes.astype(str)), "split": pd.Categorical.from_codes(split, dtype=SPLIT)}, index=names
    )
    ad.AnnData(sparse.csr_matrix((n_cells, n_genes), dtype=np.uint16), obs=obs).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        group = file["X"]
        for name in ("data", "indices", "indptr"):
            del group[name]
        data, indices = (
            group.create_dataset(name, (0,), maxshape=(None,), chunks=(2**20,), dtype=kind)
            for name, kind in (("data", "u2"), ("indices", "i4"))
        )
        indptr = [np.zeros(1, np.int64)]
        for start in range(0, n_cells, CHUNK):
            own = codes[start : start + CHUNK]
            seen = rng.integers(0, 256, (own.size, n_genes), dtype=np.uint8) < by_class[own]
            columns = (np.flatnonzero(seen) % n_genes).astype(np.int32)
            stored, total = len(data), len(data) + len(columns)
            data.resize((total,))
            indices.resize((total,))
            data[stored:] = sizes[rng.integers(0, 256, len(columns), dtype=np.uint8)]
            indices[stored:] = columns
            indptr.append(stored + np.cumsum(np.count_nonzero(seen, axis=1)))
        group["indptr"] = np.concatenate(indptr)


def anonymous() -> int:
    """Return the memory this process holds, without files."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Watch:
    """The highest memory of this process so far, and what it was when each stage began."""

    def __init__(self) -> None:
        self.before = self.highest = anonymous()
        threading.Thread(target=self.look, daemon=True).start()

    def look(self) -> None:
        """Look again and again."""
        while True:
            self.highest = max(self.highest, anonymous())
            time.sleep(0.02)


def learn(path: Path, folder: Path, epochs: int, batch_size: int) -> dict[str, Any]:
    """Train in this process, and measure."""
    import torch

    watch, adata = Watch(), ad.read_h5ad(path, backed="r")
    fit = cc.Fit(epochs=epochs, batch_size=batch_size)
    free = _at_hand._free_memory()
    stages: dict[str, float] = {}
    writing = _at_hand._written

    def timed(*arguments: Any) -> Any:
        """Write the file of the cells, and take the time."""
        start = time.perf_counter()
        store = writing(*arguments)
        stages["store"] = time.perf_counter() - start
        stages["store_bytes"] = sum(file.stat().st_size for file in folder.iterdir())
        stages["at_store"] = watch.highest
        return store

    _at_hand._written = timed
    start = time.perf_counter()
    classifier = cc.tl.train(adata, "kind", fit=fit, cache=folder, store=False)
    stages["all"] = time.perf_counter() - start
    history = classifier.history
    evaluation = cc.tl.evaluate(adata, classifier)
    return stages | {
        "before": watch.before,
        "highest": watch.highest,
        "free": free,
        "seconds": float(history["seconds"].sum()),
        "cells_per_second": float(history["cells_per_second"].mean()),
        "n_genes": len(classifier.genes),
        "n_train": int((adata.obs["split"] == "train").sum()),
        "kind": str(np.load(folder / "cells.npy", mmap_mode="r").dtype),
        "macro_f1": evaluation.macro_f1,
        "accuracy": evaluation.accuracy,
        "skill": classifier.skill["macro_f1"].to_dict(),
        "threads": torch.get_num_threads(),
    }


def learnt(classifier: cc.Classifier) -> bytes:
    """Return everything learnt, without times."""
    tensors = {**classifier.preprocessing.tensors(), **classifier.novelty.tensors()}
    tensors |= {f"n{name}": value.numpy() for name, value in classifier.network.state_dict().items()}
    tensors |= {f"l{name}": value.numpy() for name, value in classifier.linear.state_dict().items()}
    tensors["temperature"] = np.array([classifier.temperature, classifier.linear_temperature])
    return b"".join(np.ascontiguousarray(tensors[name]).tobytes() for name in sorted(tensors))


def same_bits(path: Path, n_cells: int, folder: Path, epochs: int) -> dict[str, Any]:
    """Train on the first cells in memory and from files; compare."""
    fit, found = cc.Fit(epochs=epochs), {}
    subset = ad.read_h5ad(path, backed="r")[:n_cells].to_memory()
    subset.write_h5ad(folder / "subset.h5ad")
    runs = {
        "in memory": (subset, None),
        "CSR in memory, cells in a file": (subset.copy(), folder / "a"),
        "h5ad, cells in a file": (ad.read_h5ad(folder / "subset.h5ad", backed="r"), folder / "b"),
    }
    seconds = {}
    for name, (adata, cache) in runs.items():
        start = time.perf_counter()
        found[name] = learnt(cc.tl.train(adata, "kind", fit=fit, cache=cache, store=False))
        seconds[name] = time.perf_counter() - start
    return {"seconds": seconds, "same": {name: bits == found["in memory"] for name, bits in found.items()}}


def main() -> None:
    """Write the data, train, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--subset", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(learn(*options.measure, options.epochs, options.batch_size)))
        return
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"simulated_{options.cells}x{options.genes}.h5ad"
    if not path.exists():
        start = time.perf_counter()
        simulate(path, options.cells, options.genes, options.classes)
        print(f"written in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    with h5py.File(path) as file:
        stored = file["X/data"].shape[0]
    command = [sys.executable, __file__, "--measure", str(path), str(folder / "cells")]
    command += ["--epochs", str(options.epochs), "--batch-size", str(options.batch_size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{options.cells:,} cells × {options.genes:,} genes, {stored:,} counts stored ({path.stat().st_size / GIB:.1f} GiB),"
    )
    print(
        f"{options.classes} classes; {found['n_train']:,} training cells, {found['n_genes']} genes, {options.epochs} epochs,"
    )
    print(f"batches of {options.batch_size}, {found['threads']} threads.\n")
    print("| what | figure |\n|---|---|")
    print(f"| the file of the cells: {found['kind']} | {found['store_bytes'] / GIB:.2f} GiB |")
    print(f"| the same as float32 in memory would take | {4 * options.cells * 0.9 * found['n_genes'] / GIB:.1f} GiB |")
    print(f"| writing it (one pass over the matrix) | {found['store']:.0f} s |")
    print(
        f"| epochs (network and linear network together) | {found['seconds']:.0f} s, {found['cells_per_second']:,.0f} cells / s |"
    )
    print(f"| all of `tl.train` | {found['all']:.0f} s |")
    print(f"| anonymous memory before | {found['before'] / MIB:.0f} MiB |")
    print(f"| highest until the file was written | {found['at_store'] / MIB:.0f} MiB |")
    print(f"| highest of all, with `tl.evaluate` | {found['highest'] / MIB:.0f} MiB |")
    print(f"| macro-F1 on the test cells | {found['macro_f1']:.4f} |")
    skill = ", ".join(f"{name} {value:.4f}" for name, value in found["skill"].items())
    print(f"| macro-F1 on the validation cells | {skill} |\n")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        bits = same_bits(path, options.subset, Path(name), options.epochs)
    print(f"The first {options.subset:,} cells:\n\n| how | seconds | same bits as in memory |\n|---|---|---|")
    for name, seconds in bits["seconds"].items():
        print(f"| {name} | {seconds:.0f} | {bits['same'][name]} |")
    shutil.rmtree(folder if options.folder is None else folder / "cells")


if __name__ == "__main__":
    main()
