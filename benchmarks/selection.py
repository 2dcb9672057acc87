"""How good are the selected genes? A fixed linear classifier on the genes of each method; prints markdown tables.

CELLCLF_REALDATA=FOLDER python benchmarks/selection.py [--seed 0 1 2] [--files pbmc3k ...] [--methods default COSG ...] [--cache FOLDER]

Fixed before any result was looked at: classes of at least five cells, stratified five folds (tcga11: patients stay together), genes
selected on the training rows of each fold, then values (counts: log1p of 10 000 per cell) z-scored on the training rows, cut at ±10,
`LogisticRegression(C=0.1)`; predictions are pooled over the folds. Each file and size is a place: macro-F1 is its mean over the seeds of
the folds, and the standard error of a difference comes from 500 bootstrap samples of cells (tcga11: patients), the same for both methods
and for all seeds. Methods that rank the genes of each class give the first of each class, then the second, and so on. The peers need
`pip install cosg scikit-misc`. mRMR-selection (score: F statistic over mean |correlation|) is computed by the rule of its code, in NumPy,
because the package needs hours for these files; with the package there, the two are compared on srbct_khan. A cache keeps the genes of
the peers, and predictions under the genes they are made from, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from sklearn.feature_selection import f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from threadpoolctl import threadpool_limits

import cellclf as cc
from cellclf.stats._coverage import turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIZES = (50, 200, 1000)
N_FOLDS = 5
N_BOOTSTRAP = 500
FILES = {  # task: file, label, column of groups
    "srbct_khan": ("srbct_khan", "label", None),
    "gtex_26tissues": ("gtex_26tissues", "tissue", None),
    "pbmc_zheng_sorted": ("pbmc_zheng_sorted", "cell_type", None),
    "cellbench_celseq2": ("cellbench_celseq2", "cell_line_demuxlet", None),
    "cellbench_dropseq": ("cellbench_dropseq", "cell_line_demuxlet", None),
    "depmap_embedding": ("depmap_embedding", "sample_collection_site", None),
    "tcga11 cancer": ("tcga11", "cancer", "patient"),
    "tcga11 tissue_type": ("tcga11", "tissue_type", "patient"),
    "tcga11 cancer_tissue": ("tcga11", "cancer_tissue", "patient"),
    "pancreas_baron": ("pancreas_baron", "cell_type", None),
    "pbmc3k": ("pbmc3k", "classified", None),
    "pbmc_ifnb": ("pbmc_ifnb", "cell_type", None),
    "worm_neurons": ("worm_neurons", "cell_type", None),
}


class Task:
    """One file with its label, values for the classifier and folds."""

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        file, label, group = FILES[name]
        adata = ad.read_h5ad(folder / f"{file}.h5ad")
        names = adata.obs[label].astype(str)
        adata = adata[(names.map(names.value_counts()) >= N_FOLDS).to_numpy()].copy()
        self.name, self.seed = name, seed
        self._scored: dict[int, ad.AnnData] = {}
        self.x = adata.X
        self.codes, self.classes = pd.factorize(adata.obs[label].astype(str), sort=True)
        self.groups = np.arange(adata.n_obs) if group is None else pd.factorize(adata.obs[group])[0]
        values = self.x.data if sparse.issparse(self.x) else self.x
        self.counts = bool((values >= 0).all() and (values == np.rint(values)).all())
        self.values = log_normalised(self.x) if self.counts else self.x
        split = (StratifiedKFold if group is None else StratifiedGroupKFold)(N_FOLDS, shuffle=True, random_state=seed)
        self.folds = list(split.split(self.codes, self.codes, self.groups))

    def training(self, fold: int, *, normalised: bool = True) -> ad.AnnData:
        """Give the training rows of a fold."""
        rows = self.folds[fold][0]
        obs = pd.DataFrame({"label": pd.Categorical.from_codes(self.codes[rows], self.classes)}, index=rows.astype(str))
        x = (self.values if normalised else self.x)[rows]
        x = sparse.csr_matrix(x) if sparse.issparse(x) else np.array(x)
        adata = ad.AnnData(x.astype(np.float32), obs=obs, var=pd.DataFrame(index=np.arange(x.shape[1]).astype(str)))
        adata.uns["log1p"] = {"base": None}
        return adata

    def scored(self, fold: int) -> ad.AnnData:
        """Give the training rows of a fold with gene scores, computed once."""
        if fold not in self._scored:
            self._scored[fold] = self.training(fold, normalised=False)
            cc.pp.gene_scores(self._scored[fold], "label")
        return self._scored[fold]

    def predict(self, lists: list[np.ndarray]) -> np.ndarray:
        """Fit the linear classifier on the genes of each fold; predict the rows left out."""
        predicted = np.full(len(self.codes), -1)
        for (train, test), chosen in zip(self.folds, lists, strict=True):
            genes = np.sort(chosen)
            z = self.values[:, genes]
            z = np.asarray(z.toarray() if sparse.issparse(z) else z, dtype=np.float64)
            spread = z[train].std(axis=0)
            z = (z - z[train].mean(axis=0)) / np.where(spread > 0, spread, 1)
            z = np.clip(z, -10, 10).astype(np.float32)
            predicted[test] = LogisticRegression(C=0.1, max_iter=200).fit(z[train], self.codes[train]).predict(z[test])
        return predicted


def log_normalised(x: sparse.spmatrix | np.ndarray) -> sparse.csc_matrix:
    """Bring counts to log1p of 10 000 per cell."""
    x = sparse.csr_matrix(x, dtype=np.float64)
    x = sparse.diags(1e4 / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1)) @ x
    x.data = np.log1p(x.data)
    return x.tocsc().astype(np.float32)


def in_turn(lists: Iterable[Iterable[object]], n: int) -> np.ndarray:
    """Take the first of each list, then the second of each, each gene once."""
    genes = dict.fromkeys(int(str(gene)) for best in zip(*lists, strict=True) for gene in best)
    return np.array(list(genes))[:n]


def by_cellclf(**options: object) -> Callable[[Task, int, int], np.ndarray]:
    """Score and select with cellclf."""

    def choose(task: Task, fold: int, n: int) -> np.ndarray:
        adata = task.scored(fold)
        cc.pp.select_genes(adata, n, **options)
        return adata.var["selected_rank"].dropna().sort_values().index.to_numpy(dtype=np.int64)

    return choose


def in_plain_turns(task: Task, fold: int, n: int) -> np.ndarray:
    """Take classes in turns by `mi_by_class`, without a discount for likeness."""
    return turns(task.scored(fold).varm["mi_by_class"])[:n]


def by_ranks(method: str) -> Callable[[Task, int, int], np.ndarray]:
    """Rank genes of each group with scanpy."""

    def choose(task: Task, fold: int, n: int) -> np.ndarray:
        adata = task.training(fold)
        sc.tl.rank_genes_groups(adata, "label", method=method, use_raw=False)
        names = adata.uns["rank_genes_groups"]["names"]
        return in_turn([names[name] for name in names.dtype.names], n)

    return choose


def by_variability(task: Task, fold: int, n: int) -> np.ndarray:
    """Seurat v3 for counts; for other values, for which it is not made, the variance."""
    adata = task.training(fold, normalised=False)
    if not task.counts:
        return np.argsort(-adata.X.astype(np.float64).var(axis=0), kind="stable")[:n]
    for span in (0.3, 0.5, 0.8):  # the default first; its local regression fails on some matrices of few cells
        with contextlib.suppress(ValueError):
            sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=min(n, adata.n_vars), span=span)
            break
    ranks = adata.var["highly_variable_rank"].to_numpy(dtype=float)
    return np.argsort(np.where(np.isnan(ranks), np.inf, ranks), kind="stable")[:n]


def by_cosg(task: Task, fold: int, n: int) -> np.ndarray:
    """Marker genes of each group by COSG with its defaults."""
    import cosg

    adata = task.training(fold)
    cosg.cosg(adata, groupby="label", key_added="cosg", n_genes_user=min(n, adata.n_vars), use_raw=False)
    names = pd.DataFrame(adata.uns["cosg"]["names"])
    return in_turn([names[name] for name in names], n)


def by_mrmr_selection(task: Task, fold: int, n: int) -> np.ndarray:
    """F statistic over mean |correlation| with the genes chosen, at least .001: the rule of mRMR-selection."""
    x = task.training(fold).X.astype(np.float64)
    mean, mean_square = (
        np.asarray(values.mean(axis=0)).ravel() for values in (x, x.multiply(x) if sparse.issparse(x) else x**2)
    )
    spread = np.sqrt(np.maximum(mean_square - mean**2, 0))
    known = np.flatnonzero(spread > 1e-9)
    x, mean, spread = (x.tocsc() if sparse.issparse(x) else x)[:, known], mean[known], spread[known]
    relevance, _ = f_classif(x, task.codes[task.folds[fold][0]])
    across = x.T.tocsr() if sparse.issparse(x) else np.ascontiguousarray(x.T)
    total, score, left, chosen = np.zeros(known.size), relevance, np.ones(known.size, bool), []
    for _ in range(min(n, known.size)):
        chosen.append(gene := int(np.argmax(np.where(left, score, -np.inf))))
        left[gene] = False
        column = x[:, [gene]].toarray().ravel() if sparse.issparse(x) else x[:, gene]
        alike = (across @ column / x.shape[0] - mean * mean[gene]) / (spread * spread[gene])
        total += np.maximum(np.abs(alike), 1e-3)
        score = relevance / (total / len(chosen))
    return known[np.array(chosen)]


METHODS: dict[str, Callable[[Task, int, int], np.ndarray]] = {
    "t-test": by_ranks("t-test"),
    "Wilcoxon": by_ranks("wilcoxon"),
    "HVG": by_variability,
    "COSG": by_cosg,
    "mRMR-selection": by_mrmr_selection,
    "mi": by_cellclf(balance=False),
    "mi_corrected": by_cellclf(by="mi_corrected"),
    "jsd": by_cellclf(by="jsd"),
    "mrmr": by_cellclf(redundancy="mrmr"),
    "jmi": by_cellclf(redundancy="jmi"),
    "turns": in_plain_turns,
    "default": by_cellclf(),
}
PEERS = ("t-test", "Wilcoxon", "HVG", "COSG", "mRMR-selection")


def kept(cache: Path | None, name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Read arrays from the cache; make and keep them if they are not there."""
    if cache is None:
        return make()
    path = cache / f"{name}.npz".replace(" ", "-")
    if not path.exists():
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, **make())
        unfinished.rename(path)
    with np.load(path) as stored:
        return dict(stored)


def evaluate(task: Task, methods: list[str], cache: Path | None) -> dict[int, dict[str, np.ndarray]]:
    """Predict the rows left out from the genes of each method; for each size, by method."""
    predicted: dict[int, dict[str, np.ndarray]] = {n: {} for n in SIZES}
    for method in methods:
        name = f"{task.name}_{task.seed}_{method}"
        choose = METHODS[method]
        genes = kept(
            cache if method in PEERS else None,
            name,
            lambda choose=choose: {f"fold{fold}": choose(task, fold, max(SIZES)) for fold in range(N_FOLDS)},
        )
        for n in SIZES:
            lists = [genes[f"fold{fold}"][:n] for fold in range(N_FOLDS)]
            key = hashlib.sha256(b"/".join(np.sort(chosen).tobytes() for chosen in lists)).hexdigest()[:16]
            found = kept(
                cache, f"{task.name}_{task.seed}_{n}_{key}", lambda lists=lists: {"codes": task.predict(lists)}
            )
            predicted[n][method] = found["codes"]
    return predicted


def draws(task: Task) -> np.ndarray:
    """Draw cells (or patients) with replacement: one line of weights for all cells, then one for each draw."""
    n_groups = int(task.groups.max()) + 1
    drawn = np.random.default_rng(0).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=N_BOOTSTRAP)
    return np.vstack([np.ones(len(task.codes)), drawn[:, task.groups]])


def macro_f1(task: Task, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro-F1 for each line of weights of the cells; classes that occur nowhere are left out."""
    true, guess = (codes[:, None] == np.arange(len(task.classes)) for codes in (task.codes, predicted))
    hits, both = weights @ (true & guess), weights @ (true.astype(float) + guess)
    return np.divide(2 * hits, both, out=np.zeros_like(both), where=both > 0).sum(axis=1) / (both > 0).sum(axis=1)


def places(folder: Path, name: str, seeds: list[int], methods: list[str], cache: Path | None) -> dict[int, np.ndarray]:
    """Evaluate all methods on one file; macro-F1 (seeds × methods × 1 + draws) for each size."""
    found: dict[int, list[list[np.ndarray]]] = {n: [] for n in SIZES}
    for seed in seeds:
        task = Task(folder, name, seed)
        weights = draws(task)
        for n, predicted in evaluate(task, methods, cache).items():
            found[n].append([macro_f1(task, predicted[method], weights) for method in methods])
    return {n: np.array(values) for n, values in found.items()}


def behind(values: np.ndarray, own: int) -> tuple[float, float]:
    """Return how far the best of the other methods is before one's own, and its standard error (methods × 1 + draws)."""
    others = np.delete(values, own, axis=0)
    ahead = others[int(np.argmax(others[:, 0]))] - values[own]
    return float(ahead[0]), float(ahead[1:].std())


def chance(values: np.ndarray, own: int, *, all_equal: bool) -> float:
    """Return how often a method as good as the best would be more than two standard errors behind, by luck alone.

    The draws give the luck; the others are as good as measured, or all equally good.
    """
    luck = values[:, 1:] - values[:, :1]
    truth = np.zeros(len(values)) if all_equal else values[:, 0].copy()
    truth[own] = np.delete(truth, own).max()
    seen = truth[:, None] + luck
    seen[own], mine = -np.inf, seen[own].copy()
    best = seen.argmax(axis=0)
    error = (luck - luck[own]).std(axis=1)
    return float((seen.max(axis=0) - mine > 2 * error[best] + 1e-12).mean())


def print_line(name: str, n: int, values: np.ndarray, own: int | None) -> None:
    """Print macro-F1 of one file and size, the best in bold."""
    scores = values[:, 0].round(4)
    cells = [f"**{score:.4f}**" if score == scores.max() else f"{score:.4f}" for score in scores]
    if own is not None:
        ahead, error = behind(values, own)
        far = error > 0 and ahead > 2 * error
        cells += [f"**{ahead:+.4f}**" if far else f"{ahead:+.4f}", f"{error:.4f}"]
    print(f"| {name} | {n} | " + " | ".join(cells) + " |", flush=True)


def print_ranks(title: str, scores: pd.DataFrame) -> None:
    """Print the mean ranks of the methods over places, equal scores sharing theirs."""
    ranks = scores.round(6).rank(axis=1, ascending=False)
    print(f"\n| {title} | " + " | ".join(scores) + " |\n|" + "---|" * (scores.shape[1] + 1))
    for n in ("all", *SIZES):
        rows = ranks if n == "all" else ranks[ranks.index.get_level_values(1) == n]
        print(f"| rank, {n} genes | " + " | ".join(f"{value:.2f}" for value in rows.mean()) + " |")
    print("| macro-F1 | " + " | ".join(f"{value:.4f}" for value in scores.mean()) + " |", flush=True)


def print_summary(found: dict[tuple[str, int], np.ndarray], seeds: list[int], methods: list[str]) -> None:
    """Print mean ranks, of all seeds together and of each, and how many places are far behind."""
    mean = {place: values.mean(axis=0) for place, values in found.items()}
    index = pd.MultiIndex.from_tuples(mean)
    print_ranks("seeds together", pd.DataFrame([values[:, 0] for values in mean.values()], index, methods))
    for number, seed in enumerate(seeds):
        scores = [values[number, :, 0] for values in found.values()]
        print_ranks(f"seed {seed}", pd.DataFrame(scores, index, methods))
    if "default" not in methods:
        return
    own = methods.index("default")
    print(
        "\n| places more than two standard errors behind the best | default | by luck, others as measured | by luck, all equal |"
    )
    print("|---|---|---|---|")
    tables = {"seeds together": mean}
    tables |= {f"seed {s}": {place: values[k] for place, values in found.items()} for k, s in enumerate(seeds)}
    for title, table in tables.items():
        far = sum(ahead > 2 * error + 1e-12 for ahead, error in (behind(values, own) for values in table.values()))
        luck = [sum(chance(v, own, all_equal=equal) for v in table.values()) for equal in (False, True)]
        print(f"| {title} | {far} of {len(table)} | {luck[0]:.1f} | {luck[1]:.1f} |")


def compare_with_package(folder: Path) -> None:
    """Say whether mRMR-selection itself chooses the same genes, on the smallest file."""
    if importlib.util.find_spec("mrmr") is None:
        return
    import mrmr

    task = Task(folder, "srbct_khan", 0)
    rows = task.folds[0][0]
    frame = pd.DataFrame(task.x[rows].astype(np.float64))
    theirs = mrmr.mrmr_classif(frame, pd.Series(task.codes[rows]), K=50, n_jobs=1, show_progress=False)
    same = np.mean(np.array(theirs) == by_mrmr_selection(task, 0, 50))
    print(f"mRMR-selection on srbct_khan, 50 genes: {same:.0%} of the places hold the same gene as the package's.\n")


def main() -> None:
    """Run every method on every file and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of the folds")
    parser.add_argument("--files", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--cache", type=Path, help="folder that keeps the genes of the peers, and predictions")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # linear models that stop before they converge say so once a fold
    folder = Path(os.environ["CELLCLF_REALDATA"])
    if options.cache is not None:
        options.cache.mkdir(parents=True, exist_ok=True)
    own = options.methods.index("default") if "default" in options.methods else None
    found = {}
    with threadpool_limits(1):
        compare_with_package(folder)
        heads = ["file", "genes", *options.methods, *["best other − default", "± se"] * (own is not None)]
        print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
        for name in options.files:
            for n, values in places(folder, name, options.seed, options.methods, options.cache).items():
                found[name, n] = values
                print_line(name, n, values.mean(axis=0), own)
    print_summary(found, options.seed, options.methods)


if __name__ == "__main__":
    main()
