"""What a network reads of an AnnData, and where what is found out of its genes belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.tl._model import read

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._classifier import Classifier


def inputs(adata: AnnData, model: Classifier, mask: np.ndarray, **options: Any) -> np.ndarray:
    """Read what the network reads of the chosen rows, (n_rows, n_genes); only one block is held twice."""
    values, start = np.empty((int(mask.sum()), len(model.genes)), dtype=np.float32), 0
    for block in read(adata, model, mask, **options):
        stop = start + len(block.values)
        values[start:stop] = model.inputs(block.values)
        start = stop
    return values


def spread(adata: AnnData, columns: np.ndarray, values: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """Put values of the model's genes at their places among the genes of `adata`; the others are not read and get 0."""
    out = np.full((adata.n_vars, *values.shape[1:]), empty)
    out[columns[columns >= 0]] = values[columns >= 0]
    return out


def check_genes(model: Classifier) -> None:
    """Refuse a classifier of an embedding, or one without classes."""
    model.check_classes()
    if model.facts["use_rep"] is not None:
        msg = (
            f"The classifier was trained on the embedding {model.facts['use_rep']!r}, so there are no genes to score. "
            "Train one on genes, without `use_rep`."
        )
        raise ValueError(msg)


def check_number(name: str, value: object, what: str, least: int = 1) -> None:
    """Refuse what is no whole number, or too small a one."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        msg = f"{name}={value!r} is no number of {what}. Give a whole number of {least} or more."
        raise ValueError(msg)


def check_known(name: str, value: object, known: tuple[object, ...]) -> None:
    """Refuse what is not among the choices."""
    if value not in known:
        msg = f"{name}={value!r} is not known. Choose one of {', '.join(map(repr, known))}."
        raise ValueError(msg)
