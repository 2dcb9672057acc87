"""Probabilities that a verb has written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from cellclf import _slots

if TYPE_CHECKING:
    from anndata import AnnData


def written_proba(adata: AnnData, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities that `predict` or `cross_validate` wrote under a key, and the classes of their columns."""
    proba = np.asarray(_slots.member(adata.obsm, f"{key}_proba", "key (with '_proba')", "adata.obsm"), dtype=np.float64)
    for name in (f"{key}_predict", key):
        record = adata.uns.get(name)
        if isinstance(record, Mapping) and "classes" in record:
            classes = np.array(_slots.strings(record["classes"]), dtype=object)
            if proba.ndim == 2 and len(classes) == proba.shape[1]:
                return proba, classes
    msg = (
        f"No record in adata.uns names the classes of adata.obsm[{key + '_proba'!r}] {proba.shape}. Run `cc.tl.predict` "
        "or `cc.tl.cross_validate`, which write both."
    )
    raise ValueError(msg)


def check_proba(proba: np.ndarray, key: str, what: str) -> None:
    """Refuse numbers that are no probabilities."""
    wrong = ~(np.isfinite(proba).all(axis=1) & (proba >= 0).all(axis=1))
    if wrong.any():
        msg = (
            f"adata.obsm[{key + '_proba'!r}] is NaN, infinite or negative in {int(wrong.sum())} {what}. "
            "Predict them first, or leave them out."
        )
        raise ValueError(msg)
