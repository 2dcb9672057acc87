"""Let the cells of a cluster, or of a neighbourhood, agree on a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from cellclf import _slots
from cellclf.tl._probabilities import check_proba, written_proba

if TYPE_CHECKING:
    from anndata import AnnData


def vote(
    adata: AnnData,
    by: str | None = None,
    *,
    weighted: bool = True,
    neighbors: str = "connectivities",
    key: str = "cellclf",
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Give all cells of a cluster, or each cell with its neighbours, the class that most of them speak for.

    The prediction of the single cell is left as it is; that the two differ is worth a look. A cluster that is a mixture
    of classes is given one of them all the same: its share of the votes says so.

    Parameters
    ----------
    adata
        Annotated data with predictions. X is not read.
    by
        Column of `adata.obs` with clusters. `None`: each cell and its neighbours in a graph.
    weighted
        Each cell speaks for every class with the probability it has of it. `False`: for its most probable class alone.
        A cell that is called something else than a class, such as unknown, speaks for that either way.
    neighbors
        The graph in `adata.obsp` (n_obs × n_obs); a neighbour's word is multiplied by its weight there, the cell's own by
        1. Not with `by`.
    key
        The `key_added` of :func:`cellclf.tl.predict` or :func:`cellclf.tl.cross_validate`.
    key_added
        Name of the written column; `None`: `key` and ``"_vote"``. It stands for `cellclf_vote` in each field.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.obs['cellclf_vote']` : :class:`pandas.Series` (n_obs, category)
        The class with most votes, of equal ones the first; the categories are those of the prediction.
    `adata.obs['cellclf_vote_share']` : :class:`pandas.Series` (n_obs, float64)
        Its share of all votes.
    `adata.uns['cellclf_vote']` : dict
        Record of the call, with `classes`.
    `adata.uns['cellclf_vote_colors']` : :class:`numpy.ndarray` (n_classes, str)
        The colours of the prediction, where it has some.

    Raises
    ------
    KeyError
        There are no predictions under `key`, or `by` or `neighbors` is not in `adata`.
    ValueError
        The cluster of a cell is missing, a probability is NaN or negative, a graph holds negative or infinite weights, or
        `neighbors` is given with `by`.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced()
    >>> clf = cc.tl.train(adata, "bulk_labels", use_rep="X_pca", network=cc.nn.Linear(), fit=cc.Fit(epochs=5))
    >>> cc.tl.predict(adata)
    >>> cc.tl.vote(adata, "louvain")
    >>> bool((adata.obs.groupby("louvain", observed=True)["cellclf_vote"].nunique() == 1).all())
    True
    """
    if by is not None and neighbors != "connectivities":
        msg = f"Both by={by!r} and neighbors={neighbors!r} are given. Give one of them."
        raise ValueError(msg)
    words, categories = _words(adata, key, weighted)
    votes = _of_neighbours(adata, words, neighbors) if by is None else _of_clusters(adata, words, by)
    best = votes.argmax(axis=1)
    name = f"{key}_vote" if key_added is None else key_added
    _slots.spare_label(adata, name)
    obs = {
        name: pd.Categorical.from_codes(best, categories=pd.Index(categories)),
        f"{name}_share": votes[np.arange(len(votes)), best] / votes.sum(axis=1),
    }
    call = {"by": by, "weighted": weighted, "neighbors": neighbors, "key": key, "key_added": key_added}
    uns: dict[str, Any] = {name: _slots.record("tl.vote", call, classes=categories, written_obs=obs)}
    colors = adata.uns.get(f"{key}_colors")
    if colors is not None and len(colors) == len(categories):
        uns[f"{name}_colors"] = np.array(_slots.strings(colors), dtype=object)
    adata = adata.copy() if copy else adata
    _slots.write(adata, {"obs": obs, "uns": uns})
    return adata if copy else None


def _words(adata: AnnData, key: str, weighted: bool) -> tuple[np.ndarray, list[str]]:
    """Return what each cell speaks for (n_obs, n_categories), and the categories."""
    proba, classes = written_proba(adata, key)
    check_proba(proba, key, "cells")
    calls = _slots.member(adata.obs, key, "key", "adata.obs").astype("category")
    names = [str(name) for name in calls.cat.categories]
    categories = [*map(str, classes), *(name for name in names if name not in set(map(str, classes)))]
    called = np.append([categories.index(name) for name in names], -1)[calls.cat.codes.to_numpy()].astype(np.int64)
    words = np.zeros((adata.n_obs, len(categories)))
    words[:, : len(classes)] = proba if weighted else np.eye(len(classes))[proba.argmax(axis=1)]
    other = called >= len(classes)
    words[other] = np.eye(len(categories))[called[other]]
    if (words.sum(axis=1) <= 0).any():
        msg = f"adata.obsm[{key + '_proba'!r}] has rows without any probability. Predict the cells again."
        raise ValueError(msg)
    return words, categories


def _of_clusters(adata: AnnData, words: np.ndarray, by: str) -> np.ndarray:
    """Add up the words of the cells of each cluster."""
    numbers, values = pd.factorize(_slots.member(adata.obs, by, "by", "adata.obs").astype(object))
    if (numbers < 0).any():
        msg = f"by={by!r} is missing in {int((numbers < 0).sum())} cells. Give them a cluster, or leave them out."
        raise ValueError(msg)
    votes = np.zeros((len(values), words.shape[1]))
    np.add.at(votes, numbers, words)
    return votes[numbers]


def _of_neighbours(adata: AnnData, words: np.ndarray, neighbors: str) -> np.ndarray:
    """Add up the words of each cell and its neighbours."""
    if neighbors not in adata.obsp:
        msg = (
            f"neighbors={neighbors!r} is not in adata.obsp, which holds: {_slots.listing(adata.obsp)}. Run "
            "`sc.pp.neighbors` first, or name a column of clusters by `by=`."
        )
        raise KeyError(msg)
    graph = sparse.csr_matrix(adata.obsp[neighbors], dtype=np.float64)
    if not np.isfinite(graph.data).all() or (graph.data < 0).any():
        msg = f"adata.obsp[{neighbors!r}] holds negative or infinite weights. Name a graph of similarities."
        raise ValueError(msg)
    graph = graph - sparse.diags_array(graph.diagonal())  # the cell's own word counts once
    return np.asarray(graph @ words) + words
