"""Train and apply one peer in an environment of its own, on cells that `peers.py` wrote; knows nothing of cellclf.

PYTHON benchmarks/peer_worker.py celltypist|scanvi CELLS.h5ad ANSWER.json [--epochs 400] [--seed 0] [--sgd] [--repeats 0]

`obs["label"]` holds the classes and `obs["held_out"]` which cells to predict. The answer: `labels` of these, seconds to `fit` and
to `predict` (without imports and files), the `cpu` seconds of both together, and the `version`.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import scanpy as sc
from scipy import sparse


def is_counts(adata: ad.AnnData) -> bool:
    """Tell whether values are non-negative whole numbers."""
    values = adata.X.data if sparse.issparse(adata.X) else adata.X
    return bool((values >= 0).all() and (values == np.rint(values)).all())


def by_celltypist(adata: ad.AnnData, options: argparse.Namespace) -> dict[str, Any]:
    """Train with CellTypist's defaults (logistic regression). Where values are no counts, it is told not to check them.

    With `--repeats`, only prediction is timed, from the counts on, in the median.
    """
    import celltypist

    held_out, counts = adata.obs["held_out"].to_numpy(), is_counts(adata)
    start = clock()
    logs = logarithms(adata.copy()) if counts else adata
    train, query = logs[~held_out], logs[held_out].copy()
    model = celltypist.train(
        train.X,
        labels=train.obs["label"].astype(str).to_numpy(),
        genes=adata.var_names,
        check_expression=counts,
        use_SGD=options.sgd,
        random_state=options.seed,
    )
    middle = clock()
    if counts:
        labels = celltypist.annotate(query, model=model).predicted_labels["predicted_labels"]
    else:  # `annotate` takes nothing but counts: the same steps, by hand
        scaled = model.scaler.transform(np.asarray(query[:, model.classifier.features].X))
        labels = model.classifier.predict(np.minimum(scaled, 10))
    found = answer("celltypist", labels, start, middle)
    if options.repeats:
        seconds = []
        for _ in range(options.repeats):
            query = adata[held_out].copy()
            before = time.perf_counter()
            celltypist.annotate(logarithms(query), model=model)
            seconds.append(time.perf_counter() - before)
        found["predict"] = float(np.median(seconds))
    return found


def logarithms(adata: ad.AnnData) -> ad.AnnData:
    """Bring counts to log1p of 10 000 per cell, in place."""
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


def by_scanvi(adata: ad.AnnData, options: argparse.Namespace) -> dict[str, Any]:
    """Train scVI and then scANVI on the cells that are not held out, as its tutorial does, on 2000 variable genes of these."""
    import scvi

    scvi.settings.seed = options.seed
    held_out = adata.obs["held_out"].to_numpy()
    adata.obs["label"] = adata.obs["label"].astype(str)
    start = clock()
    logs = logarithms(adata[~held_out].copy())
    if adata.n_vars > 2000:
        sc.pp.highly_variable_genes(logs, n_top_genes=2000)
        adata = adata[:, logs.var["highly_variable"]]
    train, query = adata[~held_out].copy(), adata[held_out].copy()
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    scvi.model.SCVI.setup_anndata(train, labels_key="label")
    first = scvi.model.SCVI(train, n_layers=2, n_latent=30, gene_likelihood="nb")
    first.train(max_epochs=options.epochs, **quiet)
    model = scvi.model.SCANVI.from_scvi_model(first, unlabeled_category="Unknown", labels_key="label", adata=train)
    model.train(max_epochs=20, n_samples_per_label=100, **quiet)
    middle = clock()
    return answer("scvi-tools", model.predict(query), start, middle)


def clock() -> np.ndarray:
    """Return the seconds on the wall and those of all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def answer(package: str, labels: np.ndarray, start: np.ndarray, middle: np.ndarray) -> dict[str, Any]:
    """Sum up what is asked for; the end is now."""
    end = clock()
    return {
        "labels": [str(label) for label in labels],
        "fit": (middle - start)[0],
        "predict": (end - middle)[0],
        "cpu": (end - start)[1],
        "version": version(package),
    }


METHODS = {"celltypist": by_celltypist, "scanvi": by_scanvi}


def main() -> None:
    """Read the cells, train, predict, write the answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=list(METHODS))
    parser.add_argument("cells", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sgd", action="store_true", help="train CellTypist by stochastic gradient descent")
    parser.add_argument("--repeats", type=int, default=0, help="predictions by CellTypist to time")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    found = METHODS[options.method](ad.read_h5ad(options.cells), options)
    options.answer.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
