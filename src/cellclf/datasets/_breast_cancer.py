"""The breast cancer data of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.datasets import load_breast_cancer

from cellclf.io import from_bunch

if TYPE_CHECKING:
    from anndata import AnnData


def breast_cancer() -> AnnData:
    """Shape of cell nuclei in breast tumours, as scikit-learn ships it; nothing is downloaded.

    Returns
    -------
    AnnData of 569 tumours × 30 features (mean, standard error and worst value of ten measures). `obs["diagnosis"]`:
    ``"malignant"`` (212) or ``"benign"`` (357).

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.breast_cancer()
    >>> adata.shape, adata.uns["cellclf_label"]
    ((569, 30), 'diagnosis')
    """
    return from_bunch(load_breast_cancer(), label="diagnosis")
