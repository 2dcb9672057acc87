"""How much each gene varies and how often it is zero, in one or several groups of rows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cellclf import stats

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from cellclf._types import Matrix


def zero_counts(x: Matrix, groups: NDArray[np.int64], n_groups: int) -> NDArray[np.int64]:
    """Count the zeros of each gene among the rows of each group (n_groups × n_genes); group -1 is passed over."""
    return stats.zeros_of(stats.contingency(x, groups, bins=stats.sign_bins(x.shape[1]), n_classes=n_groups))


@contextmanager
def naming_genes(adata: AnnData) -> Iterator[None]:
    """Name the gene whose values are refused."""
    try:
        yield
    except stats.BadValueError as error:
        msg = f"{error} That gene is {str(adata.var_names[error.gene])!r}."
        raise ValueError(msg) from error
