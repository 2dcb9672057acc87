"""CellTypist and scANVI against training with all defaults, on the same folds of real files; prints a markdown table.

CELLCLF_REALDATA=FOLDER python benchmarks/peers.py [--celltypist PYTHON] [--scvi PYTHON] [--seed 0] [--folds 5] [--files …]

Both live in environments of their own (CellTypist 1.7.1 trains with scikit-learn below 1.8 only; scANVI needs scvi-tools); PYTHON is
the interpreter of that environment. Cells go there as an h5ad, labels come back. Folds are those of `training.py`, predictions
are pooled over them (with `--folds 2` over the first two). Seconds are those of fitting and predicting, without imports and files, on the
wall and summed over the cores (which another job on the machine hardly changes). scANVI is trained on files of counts only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
from peer_worker import clock, is_counts
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from training import FILES, METHODS, load

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = tuple[
    dict[str, np.ndarray], np.ndarray
]  # labels of the test cells by part of the method; seconds on the wall, of all cores


def ask(python: str, method: str, adata: ad.AnnData, test: np.ndarray, *options: str) -> dict[str, Any]:
    """Let a peer train on all cells but the test ones, and predict these."""
    with tempfile.TemporaryDirectory(prefix="cellclf-") as name:
        cells, answer = Path(name) / "cells.h5ad", Path(name) / "answer.json"
        obs = adata.obs[["label"]].assign(held_out=test)
        ad.AnnData(adata.X, obs=obs, var=adata.var[[]]).write_h5ad(cells)
        worker = Path(__file__).with_name("peer_worker.py")
        done = subprocess.run([python, worker, method, cells, answer, *options], capture_output=True, text=True)
        if done.returncode:
            msg = f"{method} failed in {python}:\n{done.stderr[-2000:]}"
            raise RuntimeError(msg)
        return json.loads(answer.read_text())


def by_peer(
    python: str, method: str, adata: ad.AnnData, test: np.ndarray, seed: int, *, epochs: int | None = None
) -> Answer:
    """Train and predict elsewhere."""
    more = [] if epochs is None else ["--epochs", str(epochs)]
    found = ask(python, method, adata, test, "--seed", str(seed), *more)
    return {"": np.array(found["labels"])}, np.array([found["fit"] + found["predict"], found["cpu"]])


def here(method: str, adata: ad.AnnData, test: np.ndarray, seed: int) -> Answer:
    """Train and predict in this process, by a method of `training.py`."""
    start = clock()
    labels = METHODS[method](adata, test, seed)
    return labels, clock() - start


def pooled(run: Callable[..., Answer], adata: ad.AnnData, seed: int, n_folds: int) -> Answer:
    """Predict the cells of the first folds; the others stay None."""
    y = adata.obs["label"].astype(str).to_numpy()
    predicted: dict[str, np.ndarray] = {}
    seconds = []
    for _, rows in list(StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y))[:n_folds]:
        test = np.isin(np.arange(len(y)), rows)
        parts, taken = run(adata, test, seed)
        seconds.append(taken)
        for part, labels in parts.items():
            predicted.setdefault(part, np.full(len(y), None, dtype=object))[test] = np.asarray(labels).astype(str)
    return predicted, np.mean(seconds, axis=0)


def main() -> None:
    """Run every method on every file and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-cellclf", action="store_true", help="run the peers only")
    parser.add_argument("--celltypist", metavar="PYTHON")
    parser.add_argument("--scvi", metavar="PYTHON")
    parser.add_argument("--epochs", type=int, default=400, help="of scVI; scANVI goes on for 20")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5, choices=range(1, 6))
    parser.add_argument("--files", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument(
        "--save", type=Path, metavar="FOLDER", help="write truth and prediction of each cell there, as CSV"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    methods: dict[str, Callable[..., Answer]] = {} if options.without_cellclf else {"cellclf": partial(here, "cellclf")}
    if options.celltypist:
        methods["CellTypist"] = partial(by_peer, options.celltypist, "celltypist")
    if options.scvi:
        methods["scANVI"] = partial(by_peer, options.scvi, "scanvi", epochs=options.epochs)
    print("| file | method | accuracy | macro-F1 | seconds a fold | CPU seconds a fold |\n|---|---|---|---|---|---|")
    for name in options.files:
        adata = load(Path(os.environ["CELLCLF_REALDATA"]), name)
        y = adata.obs["label"].astype(str).to_numpy()
        for method, run in methods.items():
            if method == "scANVI" and not is_counts(adata):
                continue
            predicted, seconds = pooled(run, adata, options.seed, options.folds)
            for part, labels in predicted.items():
                title = f"{method}, {part}" if part else method
                if options.save:
                    table = pd.DataFrame({"truth": y, "predicted": labels})
                    title_in_file = title.replace(", ", "-").replace(" ", "-")
                    table.to_csv(options.save / f"{name}.{title_in_file}.{options.seed}.csv", index=False)
                done = labels != None  # noqa: E711 (element by element)
                truth, labels = y[done], labels[done].astype(str)
                score = f1_score(truth, labels, average="macro")
                (wall, cpu), accuracy = seconds, np.mean(labels == truth)
                print(f"| {name} | {title} | {accuracy:.4f} | {score:.4f} | {wall:.2f} | {cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
