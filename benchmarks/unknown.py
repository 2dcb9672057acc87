"""Cells of classes never seen, and sets with a stated error rate, on real files; prints markdown tables.

CELLCLF_REALDATA=FOLDER python benchmarks/unknown.py {auroc,sets,few,coverage} [--files pbmc3k gtex_26tissues] [--seed 0]

auroc     each class in turn is left out of the training; how well the unknown score and 1 - confidence tell its cells from
          held-out cells (a fifth, stratified) of the other classes.
sets      the same with calibration scores, for a few classes of each file: share of the cells of the class that is caught, and
          share of held-out cells of known classes that is wrongly rejected, at several error rates, beside thresholds on the
          probability and a linear support vector machine with rejection (Platt's probabilities below 0.7).
few       the same for a hundred training cells of the six largest classes of a file, less one: four of them are left out in turn.
coverage  share of test cells whose set holds their class, over 20 random splits (a fifth for testing).

--cache FOLDER keeps what is measured, so that a run that was stopped goes on; give another after a change of the code.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import cellclf as cc

LABELS = {
    "pbmc3k": "classified",
    "pbmc_ifnb": "cell_type",
    "worm_neurons": "cell_type",
    "pancreas_baron": "cell_type",
    "gtex_26tissues": "tissue",
    "tcga11": "cancer",
    "depmap_embedding": "sample_collection_site",
}
RATES = (0.01, 0.05, 0.1)
WITHOUT_SVM = {"tcga11", "depmap_embedding"}  # needs minutes a training
THRESHOLDS = (0.5, 0.7)
FEW, N_TEST, N_UNSEEN = 100, 400, 200


def load(folder: Path, name: str) -> ad.AnnData:
    """Read a file and keep the classes of more than ten cells."""
    adata = ad.read_h5ad(folder / f"{name}.h5ad")
    label = adata.obs[LABELS[name]].astype(str)
    adata = adata[(label.map(label.value_counts()) > 10).to_numpy()].copy()
    cells = ad.AnnData(adata.X, var=adata.var[[]], obs=pd.DataFrame(index=adata.obs_names))
    cells.obs["label"] = pd.Categorical(label[adata.obs_names])
    return cells


def hold_out(cells: ad.AnnData, left_out: str, seed: int) -> tuple[ad.AnnData, np.ndarray, np.ndarray]:
    """Mark a fifth of the known cells and all of one class as test; return masks of both."""
    y = cells.obs["label"].astype(str).to_numpy()
    known = np.flatnonzero(y != left_out)
    _, test = next(StratifiedKFold(5, shuffle=True, random_state=seed).split(known, y[known]))
    held_out, unseen = np.isin(np.arange(len(y)), known[test]), y == left_out
    marked = cells.copy()
    marked.obs["label"] = pd.Categorical(np.where(unseen, None, y))
    marked.obs["split"] = np.where(held_out | unseen, "test", "train")
    return marked, held_out, unseen


def predicted(marked: ad.AnnData, rows: np.ndarray, fit: cc.Fit, seed: int, rates: tuple[float, ...]) -> pd.DataFrame:
    """Train with all other defaults and predict some rows."""
    classifier = cc.tl.train(marked, "label", fit=fit, rng=seed, store=False)
    some = marked[rows].copy()
    cc.tl.predict(some, classifier)
    table = cc.get.predictions(some)
    for rate in rates:
        cc.tl.predict(some, classifier, unknown=rate, key_added=f"at {rate}")
        table[rate] = (some.obs[f"at {rate}"] == "Unknown").to_numpy()
    return table


def remembered(options: argparse.Namespace, key: str, measure: Callable[[], object]) -> object:
    """Return what an earlier run has measured, or measure it now; numbers and texts only."""
    if options.cache is None:
        return measure()
    file = options.cache / f"{options.table}-{options.seed}-{key.replace('/', '_')}.json"
    if not file.exists():
        file.write_text(json.dumps(measure()))
    return json.loads(file.read_text())


def auroc(folder: Path, name: str, options: argparse.Namespace) -> None:
    """Leave out each class in turn."""
    cells = load(folder, name)
    rows = []
    for left_out in np.unique(cells.obs["label"].astype(str)):

        def measure(left_out: str = left_out) -> list[float]:
            marked, held_out, unseen = hold_out(cells, left_out, options.seed)
            table = predicted(marked, held_out | unseen, cc.Fit(), options.seed, ())
            return areas(table, unseen[held_out | unseen])

        rows.append(remembered(options, f"{name}-{left_out}", measure))
        print(f"  {name}, without {left_out}: {rows[-1][0]:.3f}, {rows[-1][1]:.3f}", flush=True)
    score, confidence = np.mean(rows, axis=0)
    lowest = np.min(rows, axis=0)[0]
    print(f"| {name} | {len(rows)} | {score:.3f} | {confidence:.3f} | {lowest:.3f} |", flush=True)


def areas(table: pd.DataFrame, truth: np.ndarray) -> list[float]:
    """Measure how well unknown score and 1 - confidence tell cells of the class left out."""
    return [float(roc_auc_score(truth, s)) for s in (table["unknown_score"], 1 - table["confidence"])]


def sets(folder: Path, name: str, options: argparse.Namespace) -> None:
    """Leave out some classes, evenly spaced by name, and see who is rejected."""
    cells = load(folder, name)
    classes = np.unique(cells.obs["label"].astype(str))
    chosen = classes[np.unique(np.linspace(0, len(classes) - 1, min(options.most, len(classes))).astype(int))]
    found: dict[str, list[tuple[float, float]]] = {}
    for left_out in chosen:

        def measure(left_out: str = left_out) -> dict[str, tuple[float, float]]:
            marked, held_out, unseen = hold_out(cells, left_out, options.seed)
            rows = held_out | unseen
            table = predicted(marked, rows, cc.Fit(conformal_folds=5), options.seed, RATES)
            rejected = rejections(table)
            if name not in WITHOUT_SVM:
                rejected["support vector machine below 0.7"] = by_svm(marked, rows)
            return shares(rejected, unseen[rows])

        for rule, pair in remembered(options, f"{name}-{left_out}", measure).items():
            found.setdefault(rule, []).append(pair)
    for rule, pairs in found.items():
        wrong, caught = np.mean(pairs, axis=0)
        print(f"| {name} | {len(pairs)} | {rule} | {wrong:.3f} | {caught:.3f} |", flush=True)


def rejections(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """List who is rejected by the p-value and by thresholds on the probability."""
    rejected = {f"unknown={rate}": table[rate].to_numpy() for rate in RATES if rate in table}
    return rejected | {f"probability below {t}": (table["confidence"] < t).to_numpy() for t in THRESHOLDS}


def shares(rejected: dict[str, np.ndarray], unseen: np.ndarray) -> dict[str, tuple[float, float]]:
    """Return which share of known and of unseen cells each rule rejects."""
    return {rule: (float(out[~unseen].mean()), float(out[unseen].mean())) for rule, out in rejected.items()}


def few(folder: Path, name: str, options: argparse.Namespace) -> None:
    """Learn from a hundred cells, without some of the largest classes in turn."""
    cells = load(folder, name)
    y = cells.obs["label"].astype(str).to_numpy()
    classes, sizes = np.unique(y, return_counts=True)
    largest = np.sort(classes[np.argsort(-sizes, kind="stable")[:6]])
    found: list[dict[str, tuple[float, float]]] = []
    for left_out in largest[np.unique(np.linspace(0, len(largest) - 1, 4).astype(int))]:

        def measure(left_out: str = left_out) -> dict[str, tuple[float, float]]:
            rng = np.random.default_rng(options.seed)
            known = rng.permutation(np.flatnonzero(np.isin(y, largest) & (y != left_out)))[: FEW + N_TEST]
            strange = rng.permutation(np.flatnonzero(y == left_out))[:N_UNSEEN]
            some = cells[np.concatenate([known, strange])].copy()
            rows, unseen = np.arange(some.n_obs) >= FEW, np.arange(some.n_obs) >= len(known)
            some.obs["label"] = pd.Categorical(np.where(unseen, None, y[np.concatenate([known, strange])]))
            some.obs["split"] = np.where(rows, "test", "train")
            table = predicted(some, rows, cc.Fit(conformal_folds=5), options.seed, (0.05, 0.1))
            return {"areas": areas(table, unseen[rows])} | shares(rejections(table), unseen[rows])

        found.append(remembered(options, f"{name}-{left_out}", measure))
    mean = {rule: np.mean([run[rule] for run in found], axis=0) for rule in found[0]}
    score, confidence = mean.pop("areas")
    for rule, (wrong, caught) in mean.items():
        print(
            f"| {name} | {len(found)} | {score:.3f} | {confidence:.3f} | {rule} | {wrong:.3f} | {caught:.3f} |",
            flush=True,
        )


def by_svm(marked: ad.AnnData, rows: np.ndarray) -> np.ndarray:
    """Reject what a linear support vector machine gives less than 0.7, on its usual input."""
    x, train = marked.X, (marked.obs["split"] == "train").to_numpy()
    values = x.data if sparse.issparse(x) else x
    if (values >= 0).all() and (values == np.rint(values)).all():
        x = sparse.csr_matrix(x, dtype=np.float64)
        x = sparse.diags(1e4 / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)) @ x
        x.data = np.log1p(x.data)
    else:
        x = StandardScaler().fit(x[train]).transform(x)
    model = CalibratedClassifierCV(LinearSVC(max_iter=500)).fit(x[train], marked.obs["label"][train].astype(str))
    return model.predict_proba(x[rows]).max(axis=1) < 0.7


def coverage(folder: Path, name: str, options: argparse.Namespace) -> None:
    """Split the cells at random, again and again."""
    cells = load(folder, name)
    y = cells.obs["label"].astype(str).to_numpy()
    every = np.arange(len(y))
    found: list[list[list[float]]] = []
    for repeat in range(options.splits):

        def measure(repeat: int = repeat) -> list[list[float]]:
            _, test = train_test_split(every, test_size=0.2, stratify=y, random_state=1000 * options.seed + repeat)
            marked = cells.copy()
            marked.obs["split"] = np.where(np.isin(every, test), "test", "train")
            classifier = cc.tl.train(marked, "label", fit=cc.Fit(conformal_folds=5), rng=repeat, store=False)
            some = marked[test].copy()
            truth = pd.Index(classifier.classes).get_indexer(y[test])
            lines = []
            for rate in RATES:
                cc.tl.predict(some, classifier, unknown=rate)
                holds = some.obsm["cellclf_set"][np.arange(len(test)), truth]
                rejected = some.obs["cellclf"] == "Unknown"
                lines.append([float(v.mean()) for v in (holds, some.obs["cellclf_set_size"], rejected)])
            return lines

        found.append(remembered(options, f"{name}-{repeat}", measure))
    for rate, values in zip(RATES, np.swapaxes(found, 0, 1), strict=True):
        (held, size, rejected), spread = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)[0]
        print(
            f"| {name} | {len(found)} | {rate} | {held:.3f} | {spread:.3f} | {size:.2f} | {rejected:.3f} |", flush=True
        )


TABLES = {
    "auroc": (
        auroc,
        "| file | classes left out | unknown score | 1 - confidence | lowest class, unknown score |\n|---|---|---|---|---|",
    ),
    "sets": (sets, "| file | classes left out | rejected | of known cells | of unseen cells |\n|---|---|---|---|---|"),
    "few": (
        few,
        (
            "| file | classes left out | AUROC, unknown score | AUROC, 1 - confidence | rejected | of known cells | of unseen cells |\n"
            "|---|---|---|---|---|---|---|"
        ),
    ),
    "coverage": (
        coverage,
        (
            "| file | splits | error rate | set holds the class | standard deviation over splits | classes in a set | called unknown |\n"
            "|---|---|---|---|---|---|---|"
        ),
    ),
}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(TABLES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", nargs="+", default=list(LABELS), choices=list(LABELS))
    parser.add_argument("--most", type=int, default=4, help="classes left out of each file, for `sets`")
    parser.add_argument("--splits", type=int, default=20, help="for `coverage`")
    parser.add_argument("--cache", type=Path, help="folder that keeps what is measured")
    options = parser.parse_args()
    if options.cache is not None:
        options.cache.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")  # support vector machines that stop before they converge say so once a training
    run, head = TABLES[options.table]
    print(head)
    for name in options.files:
        start = time.perf_counter()
        run(Path(os.environ["CELLCLF_REALDATA"]), name, options)
        print(f"  {name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
