"""Predict the class of every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.tl._model import read, resolve

if TYPE_CHECKING:
    import os

    from anndata import AnnData

    from cellclf._classifier import Classifier


def predict(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    key_added: str = "cellclf",
    copy: bool = False,
) -> AnnData | None:
    """Predict the class of every cell, with its probability and an embedding.

    Genes are matched by name, in any order, and put into the order of the model. A gene that `adata` lacks takes its
    mean over the training cells, and a warning counts them; when the genes present carry less than half of the model's
    first-layer weight (of the genes' own weights where it has no such layer), nothing is predicted. Version suffixes of
    Ensembl identifiers are ignored where that stays unique.

    A network that was trained without a label (:class:`cellclf.nn.Autoencoder` with `head=False`) gives the embedding
    and nothing else.

    Parameters
    ----------
    adata
        Annotated data, cells in rows, with values of the kind that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns[key_added]`.
    layer
        Layer to use. `None`: the one that the classifier was trained on; ``"X"``: X itself.
    gene_symbols
        Column of `adata.var` with the gene names to match on, instead of `adata.var_names`.
    key_added
        Name of the written fields; it stands for `cellclf` in each of them.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields, of which a network without classes sets only
    the embedding and the record:

    `adata.obs['cellclf']` : :class:`pandas.Series` (n_obs, category)
        The most probable class; the categories are all classes of the classifier.
    `adata.obs['cellclf_confidence']` : :class:`pandas.Series` (n_obs, float32)
        The calibrated probability of that class.
    `adata.obs['cellclf_unknown_score']` : :class:`pandas.Series` (n_obs, float64)
        Relative Mahalanobis distance :cite:p:`Ren2021` in the embedding: squared distance to the nearest class less that
        to all training cells together, per dimension; higher for cells less like any training cell.
    `adata.obsm['cellclf_proba']` : :class:`numpy.ndarray` (n_obs × n_classes, float32)
        Probability of each class, in the order of `classes` in the record; rows sum to 1.
    `adata.obsm['X_cellclf']` : :class:`numpy.ndarray` (n_obs × n_embedding, float32)
        What the network's last layer sees; of an autoencoder the latent layer.
    `adata.uns['cellclf_predict']` : dict
        Record of the call, with `classes`.
    `adata.uns['cellclf_colors']` : :class:`numpy.ndarray` (n_classes, str)
        The label's colours, where the classifier knows them.

    Raises
    ------
    KeyError
        There is no classifier, or `layer` or `gene_symbols` is not in `adata`.
    ValueError
        Too few of the classifier's genes are in `adata`, gene names occur twice, or values are not finite or not of
        the kind that the classifier was trained on.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> cc.tl.predict(adata)
    >>> adata.obsm["cellclf_proba"].shape
    (700, 10)
    """
    model = resolve(adata, classifier, key_added)
    adata = adata.copy() if copy else adata
    arrays = _predictions(adata, model, layer, gene_symbols)
    columns = _columns(arrays, model, key_added) if len(model.classes) else {}
    record = _slots.record(
        "tl.predict",
        {"layer": layer, "gene_symbols": gene_symbols, "key_added": key_added},
        classes=model.classes,
        written_obs=columns,
    )
    uns: dict[str, Any] = {f"{key_added}_predict": record}
    if colors := model.facts.get("colors"):
        uns[f"{key_added}_colors"] = np.array(colors, dtype=object)
    obsm = {f"X_{key_added}": arrays["embedding"]}
    if len(model.classes):
        obsm[f"{key_added}_proba"] = arrays["proba"]
    _slots.write(adata, {"obs": columns, "obsm": obsm, "uns": uns})
    return adata if copy else None


def _columns(arrays: dict[str, np.ndarray], model: Classifier, key: str) -> dict[str, Any]:
    """Make the columns of `obs`: class, confidence and strangeness of each cell."""
    proba = arrays["proba"]
    best = proba.argmax(axis=1)
    return {
        key: pd.Categorical.from_codes(best, categories=pd.Index(model.classes)),
        f"{key}_confidence": proba[np.arange(len(proba)), best],
        f"{key}_unknown_score": arrays["novelty"],
    }


def _predictions(
    adata: AnnData, model: Classifier, layer: str | None, gene_symbols: str | None
) -> dict[str, np.ndarray]:
    """Run the classifier over all cells, a block at a time."""
    every = np.ones(adata.n_obs, dtype=bool)
    parts = [
        block
        for values in read(adata, model, every, layer=layer, gene_symbols=gene_symbols)
        for block in model.blocks(values.values)
    ]
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("proba", "embedding", "novelty")}
