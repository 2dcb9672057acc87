"""Numbers of genes at which something is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellclf.tl._inputs import check_number

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_sizes(sizes: Sequence[int] | None, n_genes: int, *, n_points: int) -> np.ndarray:
    """Return the sizes asked for, sorted, or 0 and some from 1 to all genes, evenly spaced on a logarithmic scale."""
    if sizes is None:
        return np.unique(np.concatenate([[0], np.geomspace(1, n_genes, n_points).round()]).astype(np.int64))
    if len(sizes) == 0:
        msg = "sizes is empty. Give some numbers of genes, or None."
        raise ValueError(msg)
    for size in sizes:
        check_number("sizes", size, "genes", 0)
        if size > n_genes:
            msg = (
                f"sizes holds {size}, but the classifier reads {n_genes} genes that adata has. Give no more than that."
            )
            raise ValueError(msg)
    return np.unique(np.asarray(sizes, dtype=np.int64))
