"""How much each gene varies and how often it is zero, in one or several groups of rows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from cellclf import stats
from cellclf.stats import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from numpy.typing import NDArray

    from cellclf._types import Matrix

_SIGNS = np.array([-np.inf, 0.0, SMALLEST])  # negative, zero, positive


def zero_counts(x: Matrix, groups: NDArray[np.int64], n_groups: int) -> NDArray[np.int64]:
    """Count the zeros of each gene among the rows of each group (n_groups × n_genes); group -1 is passed over."""
    n_genes, n_bins = x.shape[1], len(_SIGNS)
    bins = stats.Bins(np.tile(_SIGNS, n_genes), np.arange(n_genes + 1, dtype=np.int64) * n_bins, "quantile")
    table = stats.contingency(x, groups, bins=bins, n_classes=n_groups)
    return table.counts[:, 1::n_bins].astype(np.int64)


@contextmanager
def naming_genes(adata: AnnData) -> Iterator[None]:
    """Name the gene whose values are refused."""
    try:
        yield
    except stats.BadValueError as error:
        msg = f"{error} That gene is {str(adata.var_names[error.gene])!r}."
        raise ValueError(msg) from error
