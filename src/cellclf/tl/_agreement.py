"""How far trainings agree on the genes that matter."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

INDICES = ("jaccard", "kuncheva", "spearman")


class Agreement(NamedTuple):
    """What all trainings say of each of the `genes`, the most often chosen first, and the `overlap` of each two trainings."""

    genes: pd.DataFrame
    overlap: pd.DataFrame


def compared(scores: np.ndarray, genes: np.ndarray, n_top: int) -> Agreement:
    """Compare the importances (n_trainings, n_genes) of all trainings."""
    ranks = np.array([rankdata(-score) for score in scores])
    chosen = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(chosen, np.argsort(-scores, axis=1, kind="stable")[:, :n_top], True, axis=1)
    table = pd.DataFrame(
        {
            "frequency": chosen.mean(axis=0),
            "mean": scores.mean(axis=0),
            "sd": scores.std(axis=0, ddof=1),
            "rank": ranks.mean(axis=0),
            "rank_sd": ranks.std(axis=0, ddof=1),
        },
        index=pd.Index([str(gene) for gene in genes], name="gene"),
    )
    pairs = [
        (one + 1, other + 1, *_overlap(chosen[one], chosen[other]), _correlation(ranks[one], ranks[other]))
        for one, other in combinations(range(len(scores)), 2)
    ]
    order = np.lexsort((table["rank"], -table["frequency"]))
    overlap = pd.DataFrame(pairs, columns=["one", "other", *INDICES])
    return Agreement(table.iloc[order], overlap)


def _overlap(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return Jaccard's and Kuncheva's index of two sets of the same size (masks); the latter 1 where all are chosen."""
    common, size, total = int((one & other).sum()), int(one.sum()), len(one)
    jaccard = common / int((one | other).sum())
    return jaccard, 1.0 if size == total else (common * total - size**2) / (size * (total - size))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two vectors of ranks, NaN where one does not vary."""
    return float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) > 0 and np.ptp(other) > 0 else float("nan")
