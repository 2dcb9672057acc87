"""Labels spoilt on purpose: which of them the audit finds, and what leaving them out is worth; prints markdown tables.

CELLCLF_REALDATA=FOLDER python benchmarks/label_audit.py [--seeds 0 1] [--files pancreas_baron] [--rates 0.05 0.1]

Of the cells of classes of more than ten, a fifth is kept apart with its true labels. Of the others a share is given the label
of another class, drawn evenly; they are cross-validated and audited with all defaults. Then a classifier is trained on all of
them, one without the flagged cells, one without the cells that were spoilt (which nobody knows), and one on true labels, and
each is judged on the cells kept apart.
"""

from __future__ import annotations

import argparse
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from training import FILES, load

import cellclf as cc
from cellclf import stats

if TYPE_CHECKING:
    from anndata import AnnData

DEFAULT = ["pancreas_baron", "pbmc3k", "pbmc_ifnb", "gtex_26tissues"]


def spoilt(adata: AnnData, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mark the cells to judge on, and draw the labels to learn from."""
    truth, rng = adata.obs["label"].cat.codes.to_numpy(), np.random.default_rng([seed, 7])
    test = stats.stratified_folds(truth, 5, rng) == 0
    n_classes = len(adata.obs["label"].cat.categories)
    wrong = (rng.random(len(truth)) < rate) & ~test
    other = (truth + rng.integers(1, n_classes, len(truth))) % n_classes
    return test, np.where(wrong, other, truth)


def score(adata: AnnData, codes: np.ndarray, learnt: np.ndarray, test: np.ndarray, seed: int) -> float:
    """Train on some cells with some labels, and measure macro-F1 on the cells kept apart."""
    cells, names = adata.copy(), adata.obs["label"].cat.categories
    cells.obs["label"] = pd.Categorical.from_codes(
        np.where(test, adata.obs["label"].cat.codes, codes), categories=names
    )
    cells.obs["split"] = pd.Series(np.where(test, "test", np.where(learnt, "train", None)), index=cells.obs_names)
    classifier = cc.tl.train(cells, "label", rng=seed)
    return cc.tl.evaluate(cells, classifier, rows="test").macro_f1


def run(adata: AnnData, rate: float, seed: int) -> dict[str, float]:
    """Spoil, audit and train."""
    truth = adata.obs["label"].cat.codes.to_numpy()
    test, codes = spoilt(adata, rate, seed)
    learning = adata[~test].copy()
    learning.obs["label"] = pd.Categorical.from_codes(codes[~test], categories=adata.obs["label"].cat.categories)
    cc.tl.cross_validate(learning, "label", rng=seed)
    cc.tl.audit_labels(learning)
    wrong, flagged = (codes != truth)[~test], learning.obs["label_issue"].to_numpy()
    kept = np.zeros(len(truth), dtype=bool)
    kept[np.flatnonzero(~test)] = ~flagged
    ranked = np.argsort(learning.obs["label_quality"].to_numpy(), kind="stable")[: wrong.sum()]
    return {
        "spoilt": int(wrong.sum()),
        "flagged": int(flagged.sum()),
        "precision": (flagged & wrong).sum() / max(flagged.sum(), 1),
        "recall": (flagged & wrong).sum() / wrong.sum(),
        "precision of as many": wrong[ranked].mean(),
        "all": score(adata, codes, ~test, test, seed),
        "without flagged": score(adata, codes, kept, test, seed),
        "without spoilt": score(adata, codes, ~test & (codes == truth), test, seed),
        "true labels": score(adata, truth, ~test, test, seed),
    }


def main() -> None:
    """Run all files, rates and seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--files", nargs="+", default=DEFAULT, choices=list(FILES))
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05, 0.1])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder, head = Path(os.environ["CELLCLF_REALDATA"]), None
    for name in options.files:
        adata = load(folder, name)
        for rate in options.rates:
            for seed in options.seeds:
                found = run(adata, rate, seed)
                if head is None:
                    head = ["file", "rate", "seed", *found]
                    print("|", " | ".join(head), "|\n|" + "---|" * len(head))
                cells = [str(v) if isinstance(v, int) else f"{v:.3f}" for v in found.values()]
                print(f"| {name} | {rate:g} | {seed} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
