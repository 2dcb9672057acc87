"""A first look: how many cells of which class, what else is known about them, and what the matrix holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf import _slots, stats
from cellclf.pp import _content, _covariates, _spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

PARTS = ("train", "valid", "test")
N_BINS = 40


def summary(
    adata: AnnData,
    label: str | None = None,
    *,
    split: str | None = "split",
    covariates: Sequence[str] | None = None,
    min_std: float = 0.1,
    layer: str | None = None,
    key_added: str = "summary",
    copy: bool = False,
) -> AnnData | None:
    """Take a first look at the cells, their classes and the values of the matrix.

    :func:`cellclf.pl.summary` draws it, and :func:`cellclf.get.overview` gives it as tables: the size of each class, also
    within each split; the distribution of other columns of `adata.obs`; the share of zeros, the range of the values, genes
    that hardly vary; and what the values seem to be.

    That is judged by up to 512 rows, taken in short runs spread evenly over the whole matrix, always the same ones.
    ``"counts"`` are whole numbers, ``"binary"`` no other than 0 and 1. For ``"log1p"`` the logarithm of 1 + x is undone, in
    base e, 2 and 10, until the rows have one sum (the target sum), or hold whole multiples of their smallest value.
    ``"fractions"`` are shares of a total or lie between 0 and 1. In ``"scaled"`` values each gene has mean 0 and standard
    deviation 1, or reaches from 0 to 1. Anything else is ``"other"``. The evidence is kept in words and numbers.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. The matrix (n_obs × n_vars) may be a NumPy array, a SciPy CSR or CSC matrix, backed,
        or a dask array of these; it is never made dense or changed, and read once (but for the rows looked at).
    label
        Column of `adata.obs` with the class of each cell. `None`: the recorded label, else the only column that can be
        one.
    split
        Column of `adata.obs` with train / valid / test. Classes are then counted in each, and the spread of the genes is
        measured on the training cells, as :func:`cellclf.pp.filter_genes` does. The default is passed over where there is
        no such column.
    covariates
        Other columns of `adata.obs` to describe. `None`: all that hold numbers or at most 60 categories
        (and no more than half as many as there are cells). Of many categories, the 11 largest are counted one by one.
    min_std
        Genes with a smaller standard deviation are listed as having almost no spread.
    layer
        Layer to look at instead of X.
    key_added
        Where the summary is kept in `adata.uns`.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following field:

    `adata.uns['summary']` : dict
        Record of the call, with `parts` and `class_cells` (n_classes × n_parts), the tables `covariates`, `quantiles`,
        `spread`, `low_spread` and `values`, what is known of the whole `matrix`, and `evidence` (sentences).

    Raises
    ------
    KeyError
        `label`, `layer`, `split` or a covariate is not in `adata` (the message lists what is).
    TypeError
        `covariates` is one string.
    ValueError
        There is no class, or the label is in doubt; values are NaN or infinite; a covariate holds neither numbers nor
        categories; `min_std` is no number of 0 or more.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.pbmc68k()
    >>> cc.pp.summary(adata)
    >>> cc.get.overview(adata, "matrix").loc[0, "holds"]
    'log1p'
    """
    if isinstance(min_std, bool) or not isinstance(min_std, int | float | np.number) or not 0 <= min_std < np.inf:
        msg = f"min_std={min_std!r} is no standard deviation. Give a number of 0 or more, such as 0.1."
        raise ValueError(msg)
    x = _slots.matrix(adata, layer=layer)
    found = _slots.labels(adata, label)
    if not len(found.classes):
        msg = f"label={found.name!r} is missing in every cell. Name another column with `label=`."
        raise ValueError(msg)
    masks = _slots.split_rows(adata, split)
    names = _covariates.chosen(adata, covariates, label=found.name, split=split)
    rows = np.ones(adata.n_obs, bool) if masks is None else masks["train"]
    with _spread.naming_genes(adata):
        looked = _look(x, rows, np.asarray(adata.var_names.astype(str), dtype=object), float(min_std))
    looked["matrix"] |= {"cells_without_class": int((found.codes < 0).sum())}
    looked |= _covariates.describe(adata, names) | _class_sizes(found, masks)
    call = {"label": found.name, "split": split, "covariates": names, "min_std": min_std, "layer": layer}
    adata = adata.copy() if copy else adata
    record = _slots.record("pp.summary", call, classes=found.classes, **looked)
    _slots.write(adata, {"uns": {key_added: record}})
    return adata if copy else None


def _class_sizes(found: _slots.Labels, masks: Mapping[str, NDArray[np.bool_]] | None) -> dict[str, Any]:
    """Count the cells of each class, in all and within each part."""
    parts = {"cells": np.ones(len(found.codes), bool)} | dict(masks or {})
    n = len(found.classes)
    sizes = [np.bincount(found.codes[mask & (found.codes >= 0)], minlength=n) for mask in parts.values()]
    return {"parts": np.array(list(parts), dtype=object), "class_cells": np.array(sizes, dtype=np.int64).T.copy()}


def _look(x: Any, rows: NDArray[np.bool_], names: NDArray[Any], min_std: float) -> dict[str, Any]:
    """Describe the values of the matrix."""
    n_groups = 1 if rows.all() else 2
    zeros, lowest, highest, mean, std = stats.describe(x, np.where(rows, 0, 1), n_groups)
    lowest, highest = lowest + 0.0, highest + 0.0  # no zero has a sign
    genes = _content.Genes(lowest, highest, mean, std)
    sample = _content.sampled(x)
    judged = _content.content(sample, genes, x.shape[0])
    low = np.flatnonzero(genes.std < min_std)
    return {
        "matrix": {
            "n_cells": x.shape[0],
            "n_genes": x.shape[1],
            "zero_fraction": float(zeros.sum() / (x.shape[0] * x.shape[1])),
            "minimum": float(lowest.min()),
            "maximum": float(highest.max()),
            "holds": judged.holds,
            "target_sum": judged.target_sum,
            "log_base": judged.log_base,
            "constant_genes": int((genes.std == 0).sum()),
            "low_spread_genes": len(low),
            "min_std": min_std,
        },
        "evidence": np.array(judged.evidence, dtype=object),
        "low_spread": {"gene": names[low], "std": genes.std[low], "zero_fraction": zeros[0, low] / rows.sum()},
        "spread": _histogram(genes.std[genes.std > 0], _log_edges(genes.std), "genes"),
        "values": _histogram(sample.data, _value_edges(sample.data, counts=judged.holds == "counts"), "values"),
    }


def _histogram(values: NDArray[Any], edges: NDArray[np.float64], name: str) -> dict[str, NDArray[Any]]:
    """Count values between edges; what lies below the first counts for it."""
    if not len(edges):
        return {"low": edges, "high": edges, name: np.zeros(0, np.int64)}
    counts = np.histogram(np.maximum(values, edges[0]), edges)[0]
    return {"low": edges[:-1], "high": edges[1:], name: counts.astype(np.int64)}


def _log_edges(std: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return edges that grow by equal factors, over at most six powers of ten."""
    std = std[std > 0]
    if std.size == 0:
        return np.zeros(0)
    top = std.max() * 1.001
    return np.geomspace(max(std.min() * 0.999, top / 1e6), top, N_BINS + 1)


def _value_edges(values: NDArray[Any], *, counts: bool) -> NDArray[np.float64]:
    """Return edges of equal distance; for counts one bin each, or, if they go far, 1, 2, 3–4, 5–8 and so on."""
    if values.size == 0:
        return np.zeros(0)
    low, high = float(values.min()), float(values.max())
    if not counts:
        return np.linspace(low, high, N_BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    if high <= N_BINS:
        return np.arange(1, high + 2) - 0.5
    return np.concatenate([[0.5], 2.0 ** np.arange(np.ceil(np.log2(high)) + 1) + 0.5])
