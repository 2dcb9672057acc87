"""How good are the selected genes? A fixed linear classifier on the genes of each method; prints markdown tables.

CELLCLF_REALDATA=FOLDER python benchmarks/selection.py [--seed 0] [--files pbmc3k ...] [--methods default COSG ...] [--keep FOLDER]

Fixed before any result was looked at: classes of at least five cells, stratified five folds (tcga11: patients stay together), genes
selected on the training rows of each fold, then values (counts: log1p of 10 000 per cell) z-scored on the training rows, cut at ±10,
`LogisticRegression(C=0.1)`; predictions are pooled over the folds. The standard error of a difference comes from 500 bootstrap samples
of cells (tcga11: patients), the same for both methods. Methods that rank the genes of each class give the first of each class, then the
second, and so on. The peers need `pip install cosg scikit-misc`. mRMR-selection (score: F statistic over mean |correlation|) is computed by
the rule of its code, in NumPy, because the package needs hours for these files; with the package there, the two are compared on srbct_khan.
"""

from __future__ import annotations

import argparse
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
from sklearn.metrics import f1_score
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

    def predict(self, chosen: Callable[[int], np.ndarray]) -> np.ndarray:
        """Fit the linear classifier on the genes chosen in each fold; predict the rows left out."""
        predicted = np.full(len(self.codes), -1)
        for fold, (train, test) in enumerate(self.folds):
            genes = np.sort(chosen(fold))
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
    sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=min(n, adata.n_vars))
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
    x = task.training(fold).X
    x = np.asarray(x.toarray() if sparse.issparse(x) else x, dtype=np.float64)
    known = np.flatnonzero(x.std(axis=0) > 0)
    relevance, _ = f_classif(x[:, known], task.codes[task.folds[fold][0]])
    z = x[:, known] - x[:, known].mean(axis=0)
    z = np.ascontiguousarray((z / np.sqrt((z**2).sum(axis=0))).T.astype(np.float32))
    total, score, left, chosen = np.zeros(len(z)), relevance, np.ones(len(z), bool), []
    for _ in range(min(n, len(z))):
        chosen.append(int(np.argmax(np.where(left, score, -np.inf))))
        left[chosen[-1]] = False
        total += np.maximum(np.abs(z @ z[chosen[-1]]), 1e-3)
        score = relevance / (total / len(chosen))
    return known[np.array(chosen)]


METHODS: dict[str, Callable[[Task, int, int], np.ndarray]] = {
    "default": by_cellclf(),
    "turns": in_plain_turns,
    "mi": by_cellclf(balance=False),
    "mi_corrected": by_cellclf(by="mi_corrected"),
    "jsd": by_cellclf(by="jsd"),
    "t-test": by_ranks("t-test"),
    "Wilcoxon": by_ranks("wilcoxon"),
    "HVG": by_variability,
    "COSG": by_cosg,
    "mRMR-selection": by_mrmr_selection,
}
OURS = {"default", "turns", "mi", "mi_corrected", "jsd"}


def chosen_by(method: str, task: Task, keep: Path | None) -> Callable[[int, int], np.ndarray]:
    """Return what gives the genes of a fold, chosen once for all sizes; those of peers may be kept in a file."""
    path = None if keep is None or method in OURS else keep / f"{task.name}_{task.seed}_{method}.npz".replace(" ", "-")
    if path is not None and path.exists():
        stored = np.load(path)
        lists = [stored[f"fold{fold}"] for fold in range(N_FOLDS)]
    else:
        lists = [METHODS[method](task, fold, max(SIZES)) for fold in range(N_FOLDS)]
        if path is not None:
            np.savez(path, **{f"fold{fold}": genes for fold, genes in enumerate(lists)})
    return lambda fold, n: lists[fold][:n]


def standard_error(task: Task, first: np.ndarray, second: np.ndarray) -> float:
    """Bootstrap the difference of two macro-F1 over cells (or patients)."""
    n_groups = int(task.groups.max()) + 1
    draws = np.random.default_rng(0).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=N_BOOTSTRAP)
    weights = draws[:, task.groups].astype(float)
    return float(np.std(macro_f1(task, first, weights) - macro_f1(task, second, weights)))


def macro_f1(task: Task, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro-F1 for each line of weights of the cells; classes that occur nowhere are left out."""
    total, n_classes = np.zeros(len(weights)), np.zeros(len(weights))
    for code in range(len(task.classes)):
        hits = weights @ ((task.codes == code) & (predicted == code))
        both = weights @ (task.codes == code) + weights @ (predicted == code)
        total += np.divide(2 * hits, both, out=np.zeros_like(both), where=both > 0)
        n_classes += both > 0
    return total / n_classes


def run(task: Task, methods: list[str], keep: Path | None) -> list[dict[str, object]]:
    """Evaluate all methods on one task; a line for each size."""
    predicted: dict[int, dict[str, np.ndarray]] = {n: {} for n in SIZES}
    for method in methods:
        genes = chosen_by(method, task, keep)
        for n in SIZES:
            predicted[n][method] = task.predict(lambda fold, n=n, genes=genes: genes(fold, n))
    lines = []
    for n in SIZES:
        scores = {m: float(f1_score(task.codes, p, average="macro")) for m, p in predicted[n].items()}
        line: dict[str, object] = {"seed": task.seed, "file": task.name, "genes": n, **scores}
        if "default" in scores:
            best = max((m for m in scores if m != "default"), key=scores.__getitem__, default="default")
            line["behind"] = scores[best] - scores["default"]
            line["se"] = standard_error(task, predicted[n][best], predicted[n]["default"])
        lines.append(line)
    return lines


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


def print_line(line: dict[str, object], methods: list[str]) -> None:
    """Print macro-F1 of one file and size, the best in bold."""
    values = {method: float(str(line[method])) for method in methods}
    best = max(values.values())
    cells = [f"**{value:.4f}**" if value == best else f"{value:.4f}" for value in values.values()]
    tail = [f"{line['behind']:+.4f}", f"{line['se']:.4f}"] if "behind" in line else []
    print("| " + " | ".join([str(line["file"]), str(line["genes"]), *cells, *tail]) + " |", flush=True)


def print_ranks(lines: pd.DataFrame, methods: list[str]) -> None:
    """Print the mean ranks of the methods, equal scores sharing theirs."""
    ranks = lines[methods].astype(float).round(6).rank(axis=1, ascending=False)
    print("\n| mean over files | " + " | ".join(methods) + " |\n|" + "---|" * (len(methods) + 1))
    for name, rows in [("all", lines.index), *((f"{n} genes", lines.index[lines["genes"] == n]) for n in SIZES)]:
        print(f"| rank, {name} | " + " | ".join(f"{value:.2f}" for value in ranks.loc[rows].mean()) + " |")
    print("| macro-F1 | " + " | ".join(f"{value:.4f}" for value in lines[methods].mean()) + " |\n", flush=True)


def main() -> None:
    """Run every method on every file and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="of the folds")
    parser.add_argument("--files", nargs="+", default=list(FILES), choices=list(FILES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--keep", type=Path, help="folder that keeps what slow peers chose")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # linear models that stop before they converge say so once a fold
    folder = Path(os.environ["CELLCLF_REALDATA"])
    with threadpool_limits(1):
        compare_with_package(folder)
        for seed in options.seed:
            print(f"Folds of seed {seed}:\n")
            heads = [
                "file",
                "genes",
                *options.methods,
                *["best other − default", "± se"] * ("default" in options.methods),
            ]
            print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads), flush=True)
            lines = []
            for name in options.files:
                for line in run(Task(folder, name, seed), options.methods, options.keep):
                    lines.append(line)
                    print_line(line, options.methods)
            print_ranks(pd.DataFrame(lines), options.methods)


if __name__ == "__main__":
    main()
