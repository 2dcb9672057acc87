"""Attributions added up over the cells of each group, and ranked as scanpy ranks genes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import t as student

from cellclf import stats

TINY = 1e-9  # scanpy's, so that a gene absent from both groups has a fold change of one
COLUMNS = {"names": "O", "scores": "float32", "logfoldchanges": "float32", "pvals": "float64", "pvals_adj": "float64"}


@dataclass
class GroupTotals:
    """Sums over the cells of each group: of attributions, their squares, and normalised expression."""

    n_groups: int
    n_genes: int
    sizes: np.ndarray = field(init=False)
    sums: np.ndarray = field(init=False)
    squares: np.ndarray = field(init=False)
    expression: np.ndarray = field(init=False)
    gap: float = 0.0
    change: float = 0.0

    def __post_init__(self) -> None:
        shape = (self.n_groups, self.n_genes)
        self.sizes = np.zeros(self.n_groups)
        self.sums, self.squares, self.expression = (np.zeros(shape) for _ in range(3))

    def add(self, codes: np.ndarray, parts: np.ndarray, values: np.ndarray, change: np.ndarray) -> None:
        """Count a block of cells."""
        for k in np.unique(codes):
            mine = codes == k
            self.sizes[k] += mine.sum()
            self.sums[k] += parts[mine].sum(axis=0)
            self.squares[k] += (parts[mine] ** 2).sum(axis=0)
            self.expression[k] += values[mine].sum(axis=0, dtype=np.float64)
        self.gap += float(np.abs(parts.sum(axis=1) - change).sum())
        self.change += float(np.abs(change).sum())

    @property
    def completeness_gap(self) -> float:
        """What is missing of the whole, as a share."""
        return self.gap / self.change if self.change > 0 else 0.0

    def tables(self, names: np.ndarray, columns: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
        """Rank all genes of `adata` in each group with cells; `columns` are those of the model's genes (-1 = missing)."""
        present = columns >= 0
        ranked: dict[str, dict[str, np.ndarray]] = {name: {} for name in COLUMNS}
        for k in np.flatnonzero(self.sizes).tolist():
            mean = self.sums[k] / self.sizes[k]
            pvalues = _pvalues(mean, self.squares[k], self.sizes[k])[present]
            unread = {"scores": 0.0, "logfoldchanges": np.nan, "pvals": 1.0, "pvals_adj": 1.0}
            values = {name: np.full(len(names), empty) for name, empty in unread.items()}
            values["scores"][columns[present]] = mean[present]
            values["logfoldchanges"][columns[present]] = self._fold_changes(k)[present]
            values["pvals"][columns[present]] = pvalues
            values["pvals_adj"][columns[present]] = stats.benjamini_hochberg(pvalues)
            order = np.argsort(-values["scores"], kind="stable")
            for name, column in ({"names": names} | values).items():
                ranked[name][str(groups[k])] = column[order]
        return {
            name: pd.DataFrame(fields).to_records(index=False, column_dtypes=COLUMNS[name])
            for name, fields in ranked.items()
        }

    def _fold_changes(self, k: int) -> np.ndarray:
        """Compare the mean expression with that of the other cells; NaN where there are none, or values are scaled."""
        rest = np.delete(np.arange(self.n_groups), k)
        n_rest = self.sizes[rest].sum()
        if n_rest == 0:
            return np.full(self.n_genes, np.nan)
        own, other = self.expression[k] / self.sizes[k], self.expression[rest].sum(axis=0) / n_rest
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            ratio = (np.expm1(own) + TINY) / (np.expm1(other) + TINY)
            changes = np.log2(np.where(ratio > 0, ratio, np.nan))
        return np.where(np.isfinite(changes), changes, np.nan)


def _pvalues(mean: np.ndarray, squares: np.ndarray, size: float) -> np.ndarray:
    """Test the mean of so many cells against zero; 1 where nothing varies or a single cell stands alone."""
    if size < 2:
        return np.ones_like(mean)
    error = np.sqrt(np.maximum(squares / size - mean**2, 0) / (size - 1))
    ratio = np.divide(np.abs(mean), error, out=np.zeros_like(mean), where=error > 0)
    return 2 * student.sf(ratio, df=size - 1)
