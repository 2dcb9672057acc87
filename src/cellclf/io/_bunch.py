"""Data sets of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from cellclf import _slots
from cellclf.io import _assemble

if TYPE_CHECKING:
    from anndata import AnnData


def from_bunch(bunch: Mapping[str, Any], *, label: str = "target", fill_missing: float | None = None) -> AnnData:
    """Turn a data set of scikit-learn into an AnnData.

    Parameters
    ----------
    bunch
        What `sklearn.datasets.load_breast_cancer()` and its kin return: `data` (samples × features: array, sparse matrix
        or DataFrame), `target` (a class for each sample) and, where they are given, `feature_names` and `target_names`.
    label
        Name of the column of `obs` for the class.
    fill_missing
        Number to put in place of missing values. `None` refuses them.

    Returns
    -------
    AnnData of samples × features: X in float32, sparse if more than half of it is zero; the class as category in
    `obs`, called by its name; the name of the label in `uns["cellclf_label"]`.

    Raises
    ------
    TypeError
        `bunch` is not a mapping, e.g. because it was loaded with ``return_X_y=True``.
    ValueError
        `data` or `target` is missing or does not fit the other; the target holds decimal numbers; values are missing or
        no numbers; names are repeated. The message names the place.

    Examples
    --------
    >>> import cellclf as cc
    >>> from sklearn.datasets import load_breast_cancer
    >>> adata = cc.io.from_bunch(load_breast_cancer(), label="diagnosis")
    >>> adata.shape, adata.obs["diagnosis"].value_counts().to_dict()
    ((569, 30), {'benign': 357, 'malignant': 212})
    """
    if not isinstance(bunch, Mapping):
        msg = f"bunch is a {type(bunch).__name__}. Give the Bunch itself: load it without `return_X_y=True`."
        raise TypeError(msg)
    source = "bunch"
    for key in ("data", "target"):
        if bunch.get(key) is None:
            msg = f"bunch has no {key!r}. It holds: {_slots.listing(bunch)}."
            raise ValueError(msg)
    data, classes = bunch["data"], _classes(bunch["target"], bunch.get("target_names"))
    with np.errstate(over="ignore"):
        x = _assemble.compact(_numbers(data))
    if len(classes) != x.shape[0]:
        msg = f"bunch.data has {x.shape[0]} rows, but bunch.target has {len(classes)}. Give one class for each row."
        raise ValueError(msg)
    samples = data.index if isinstance(data, pd.DataFrame) else range(x.shape[0])
    return _assemble.assemble(
        x,
        source=source,
        samples=samples,
        genes=_features(bunch, x.shape[1]),
        label=label,
        classes=classes,
        function="io.from_bunch",
        call={"label": label, "fill_missing": fill_missing},
        fill_missing=fill_missing,
    )


def _numbers(data: Any) -> Any:
    """Return the matrix; text is refused with its place."""
    if isinstance(data, pd.DataFrame):
        for name in data.columns:
            if not (pd.api.types.is_numeric_dtype(data[name]) or pd.api.types.is_bool_dtype(data[name])):
                msg = (
                    f"bunch.data: column {str(name)!r} holds {data[name].dtype}, beginning with {data[name].iloc[0]!r}, "
                    "where numbers are due. Encode or drop it."
                )
                raise ValueError(msg)
        data = data.to_numpy(dtype=np.float64, na_value=np.nan)
    x = data if sparse.issparse(data) else np.asarray(data)
    if x.ndim != 2 or x.dtype.kind not in "biuf":
        msg = f"bunch.data is {x.ndim}-dimensional {x.dtype}. Give a matrix of numbers, samples × features."
        raise ValueError(msg)
    return x


def _classes(target: Any, names: Any) -> pd.Categorical:
    """Call each sample's class by its name, where the target counts classes and names are given."""
    values = np.asarray(target)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        msg = f"bunch.target has shape {values.shape}. Give one class for each sample; choose a column of the target."
        raise ValueError(msg)
    codes = values.dtype.kind in "biuf" and values.size > 0 and names is not None
    if codes and np.isin(values, np.arange(len(names))).all():
        known = _assemble.unique_names(names, "classes", "bunch.target_names")
        return pd.Categorical.from_codes(values.astype(np.int64), categories=known)
    if values.dtype.kind == "f" and values.size:
        msg = (
            f"bunch.target holds decimal numbers ({values.dtype}), which are measurements rather than classes. Cut them "
            "into classes, e.g. with `pandas.cut`; if they count classes, give them as whole numbers."
        )
        raise ValueError(msg)
    return _assemble.categories(values)


def _features(bunch: Mapping[str, Any], n_features: int) -> list[str]:
    """Name the features: as given, as the columns of a DataFrame, or by number."""
    names = bunch.get("feature_names")
    if names is None and isinstance(bunch["data"], pd.DataFrame):
        names = bunch["data"].columns
    return [f"feature_{number}" for number in range(n_features)] if names is None else [str(name) for name in names]
