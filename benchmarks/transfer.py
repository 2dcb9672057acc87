"""Training on one technology, condition, donor or set of patients and predicting another; prints a markdown table.

CELLCLF_REALDATA=FOLDER python benchmarks/transfer.py [--seed 0] [--cases …] [--methods …] [--celltypist PYTHON] [--all]

Every method is trained on the same cells with its defaults, knows nothing of the others, and is given the genes that both sides
have. Cells of classes of ten cells or fewer, or that one side lacks, are left out. `tcga11` is cut into five folds between which patients
never mix, predictions pooled. The methods are those of `training.py`; `LinearSVC`, which takes minutes a fold on `tcga11`, is left out there
unless `--all` is given. The last column is the macro-F1 of cellclf's network less that of the method, with the interval that holds 95 % of 1000 paired
resamplings of the cells.
"""

from __future__ import annotations

import argparse
import os
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from peers import Answer, by_peer, here
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from training import METHODS, difference

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = "tcga11, other patients"  # here LinearSVC takes minutes a fold


class Case(NamedTuple):
    """Cells with `obs["label"]`, and which to predict from the others, fold by fold."""

    cells: ad.AnnData
    tests: list[np.ndarray]


def cells_of(adata: ad.AnnData, label: str) -> ad.AnnData:
    """Keep the values and one label."""
    obs = pd.DataFrame({"label": adata.obs[label].astype(str).to_numpy()}, index=adata.obs_names)
    return ad.AnnData(adata.X, obs=obs, var=adata.var[[]])


def one_to_another(train: ad.AnnData, test: ad.AnnData) -> Case:
    """Join two sides over the genes and classes that both have."""
    both = ad.concat([train, test], join="inner", keys=["train", "test"], label="side", index_unique="-")
    sizes = pd.crosstab(both.obs["label"], both.obs["side"])
    kept = sizes.index[(sizes.sum(axis=1) > 10) & (sizes > 0).all(axis=1)]
    both = both[both.obs["label"].isin(kept)].copy()
    return Case(both, [(both.obs["side"] == "test").to_numpy()])


def technologies(folder: Path, _: int) -> Case:
    """From CEL-seq2 to Drop-seq."""
    sides = [ad.read_h5ad(folder / f"cellbench_{name}.h5ad") for name in ("celseq2", "dropseq")]
    return one_to_another(*(cells_of(side, "cell_line_demuxlet") for side in sides))


def within_file(folder: Path, _: int, *, file: str, column: str, train: str, test: str) -> Case:
    """From one value of a column to another."""
    adata = ad.read_h5ad(folder / f"{file}.h5ad")
    sides = [adata[(adata.obs[column].astype(str) == value).to_numpy()] for value in (train, test)]
    return one_to_another(*(cells_of(side, "cell_type") for side in sides))


def other_patients(folder: Path, seed: int) -> Case:
    """From some patients to others."""
    adata = ad.read_h5ad(folder / "tcga11.h5ad")
    cells, patients = cells_of(adata, "cancer_tissue"), adata.obs["patient"].astype(str).to_numpy()
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(cells.X, cells.obs["label"], patients)
    return Case(cells, [np.isin(np.arange(cells.n_obs), rows) for _, rows in folds])


DONORS = partial(within_file, file="pancreas_baron", column="donor")
CASES: dict[str, Callable[[Path, int], Case]] = {
    "cellbench, CEL-seq2 → Drop-seq": technologies,
    "pbmc_ifnb, CTRL → STIM": partial(within_file, file="pbmc_ifnb", column="sample", train="CTRL", test="STIM"),
    "pancreas_baron, donor 1 → 2": partial(DONORS, train="1", test="2"),
    "pancreas_baron, donor 2 → 1": partial(DONORS, train="2", test="1"),
    "tcga11, other patients": other_patients,
}


def main() -> None:
    """Run every method on every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--celltypist", metavar="PYTHON")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    methods: dict[str, Callable[..., Answer]] = {name: partial(here, name) for name in options.methods}
    if options.celltypist:
        methods["CellTypist"] = partial(by_peer, options.celltypist, "celltypist")
    print(
        "| case | method | accuracy | macro-F1 | seconds a fold | CPU seconds a fold | network's macro-F1 less (95 %) |"
    )
    print("|---|---|---|---|---|---|---|")
    for title in options.cases:
        cells, tests = CASES[title](Path(os.environ["CELLCLF_REALDATA"]), options.seed)
        y = cells.obs["label"].astype(str).to_numpy()
        network = None
        for method, run in methods.items():
            if title == SLOW and method.startswith("LinearSVC") and not options.all:
                continue
            truth: list[np.ndarray] = []
            predicted: dict[str, list[np.ndarray]] = {}
            seconds = []
            for test in tests:
                parts, taken = run(cells, test, options.seed)
                truth.append(y[test])
                seconds.append(taken)
                for part, labels in parts.items():
                    predicted.setdefault(part, []).append(np.asarray(labels).astype(str))
            wall, cpu = np.mean(seconds, axis=0)
            for part, labels in predicted.items():
                true, called, name = (
                    np.concatenate(truth),
                    np.concatenate(labels),
                    f"{method}, {part}" if part else method,
                )
                network = called if part == "network" else network
                less = "" if network is None or part == "network" else difference(true, network, called)
                scores = f"{np.mean(true == called):.4f} | {f1_score(true, called, average='macro'):.4f}"
                print(f"| {title} | {name} | {scores} | {wall:.2f} | {cpu:.2f} | {less} |", flush=True)


if __name__ == "__main__":
    main()
