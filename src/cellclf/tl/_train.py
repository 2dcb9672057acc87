"""Train a classifier on an AnnData."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.fit import Fit
from cellclf.nn import MLP
from cellclf.nn._registry import to_header
from cellclf.tl._genes import columns_for, given_columns, select
from cellclf.tl._learn import Problem, learn
from cellclf.tl._rows import plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Matrix, Rng
    from cellclf.nn._registry import Description


def train(
    adata: AnnData,
    label: str | None = None,
    *,
    network: Description | None = None,
    fit: Fit | None = None,
    genes: str | Sequence[str] = "auto",
    layer: str | None = None,
    use_rep: str | None = None,
    split: str | None = "split",
    start: Classifier | None = None,
    store: bool = True,
    rng: Rng = 0,
    key_added: str = "cellclf",
) -> Classifier:
    """Train a classifier of cells.

    The network learns from the rows marked train. The rows marked valid choose the best epoch and the temperature
    :math:`T` by which the logits are divided :cite:p:`Guo2017`. Where none are marked, a tenth of each class is taken
    out of the training rows for that, and the network is then trained again on all of them. Rows marked test are
    never looked at. Before the network, counts are normalised and every gene is z-scored and multiplied by a power of
    its mutual information with the label, all learnt on the training rows and stored in the model.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. X is not changed.
    label
        Column of `adata.obs` with the class of each cell; cells without one are left out. `None`: the one recorded
        on this AnnData, else the only column that can be a label.
    network
        What to train, such as :class:`cellclf.nn.MLP` (default) or :class:`cellclf.nn.Linear`.
    fit
        How to train it; `None` for the defaults of :class:`cellclf.Fit`.
    genes
        ``"auto"``: `adata.var['selected']` if present, else the 4000 genes with the highest mutual information with
        the label on the training rows; ``"all"``; a list of names; or the name of a boolean column of `adata.var`.
    layer
        Layer to use instead of X.
    use_rep
        Embedding in `adata.obsm` to use instead of genes.
    split
        Column of `adata.obs` with train / valid / test. If ``"split"`` is not there, it is made (80 / 10 / 10 %).
        `None`: all labelled rows are training rows.
    start
        A classifier whose weights to start from; same network, genes and classes. Its preprocessing is kept.
    store
        Keep the model in `adata.uns`, so that an h5ad carries its classifier.
    rng
        Seed or generator; the same seed, thread count and torch build give the same weights, bit for bit.
    key_added
        Key of `adata.uns` for record and model.

    Returns
    -------
    The :class:`cellclf.Classifier`. Sets the following fields:

    `adata.uns['cellclf']` : dict
        Record of the call, `classes`, `history` (one array per column, one entry per epoch) and, with `store=True`,
        `model`: the classifier as safetensors bytes (uint8).
    `adata.uns['cellclf_label']` : str
        The label, for later calls.
    `adata.obs['split']`, `adata.uns['split']`
        As :func:`cellclf.pp.split` writes them, where they were missing and `split="split"`.
    `adata.var['mi']`, `adata.var['mi_corrected']`, `adata.var['mi_pvalue']`, `adata.var['mi_qvalue']`, \
    `adata.var['jsd']`, `adata.varm['mi_by_class']`, `adata.uns['gene_scores']`, `adata.var['selected']`, \
    `adata.var['selected_rank']`, `adata.uns['selected']`
        As :func:`cellclf.pp.gene_scores` and :func:`cellclf.pp.select_genes` write them, where `genes="auto"`
        found no selection.

    Raises
    ------
    KeyError
        `label`, `layer`, `use_rep`, `split` or a gene is not in `adata` (the message lists what is).
    ValueError
        Fewer than two classes among the training rows, duplicate gene names, NaN or infinite values.
    FloatingPointError
        The loss became NaN or infinite.

    See Also
    --------
    cellclf.tl.predict : apply the classifier.
    cellclf.tl.evaluate : judge it on the test rows.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> clf
    Classifier(description=MLP(...
    """
    fit, network = fit or Fit(), network or (MLP() if start is None else start.description)
    to_header(network)  # an unknown network is refused before any work
    x = _slots.matrix(adata, layer=layer, use_rep=use_rep)
    if use_rep is None:
        _slots.warn_if_scaled(adata, layer)
    names = _feature_names(adata, x, use_rep)
    seed = int(np.random.default_rng(rng).integers(2**62))
    rows, slots = plan(adata, _slots.labels(adata, label), split, fit, seed)
    if start is not None:
        _check_start(start, network, rows.found.classes, fit)
    columns = given_columns(adata, names, genes, use_rep, start)
    ours = columns is None
    if columns is None:
        columns, selection = select(x, rows)
        slots = _slots.merge(slots, selection)
    chosen = partial(columns_for, x, rows, columns, ours)
    problem = Problem(x, names, rows, chosen, description=network, options=fit, seed=seed, start=start)
    name, classes = rows.found.name, rows.found.classes
    facts = {"label": name, "layer": layer, "use_rep": use_rep, "colors": _colors(adata, name, classes)}
    classifier = learn(problem, facts)
    call = {"label": label, "network": network, "fit": fit, "genes": genes, "layer": layer, "use_rep": use_rep}
    record = _slots.record(
        "tl.train",
        call | {"split": split, "start": start, "store": store, "rng": rng, "key_added": key_added},
        classes=classes,
        label=name,
        history=dict(classifier.epochs),
        best_epoch=classifier.facts["best_epoch"],
    )
    if store:
        record["model"] = np.frombuffer(classifier.to_bytes(), dtype=np.uint8).copy()
    _slots.write(adata, _slots.merge(slots, {"uns": {key_added: record, _slots.LABEL_KEY: name}}))
    return classifier


def _feature_names(adata: AnnData, x: Matrix, use_rep: str | None) -> np.ndarray:
    """Return the names of the columns of the matrix; those of an embedding are numbered."""
    if use_rep is None:
        return _slots.unique_genes(adata)
    return np.array([f"{use_rep}_{i}" for i in range(x.shape[1])], dtype=object)


def _check_start(start: Classifier, network: Description, classes: np.ndarray, fit: Fit) -> None:
    """Refuse a start whose weights do not fit."""
    if network != start.description or fit.members != start.options.members:
        msg = (
            f"start has the network {start.description} × {start.options.members}; asked for is {network} × {fit.members}. "
            "Leave network= out, and give the same Fit(members=…)."
        )
        raise ValueError(msg)
    if list(start.classes) != list(classes):
        msg = (
            f"start knows the classes {_slots.listing(start.classes)}; the training rows have {_slots.listing(classes)}. "
            "Give rows with the same classes in the same order."
        )
        raise ValueError(msg)


def _colors(adata: AnnData, label: str, classes: np.ndarray) -> list[str] | None:
    """Return the colours that scanpy keeps for the label, in the order of the classes."""
    colors, column = adata.uns.get(f"{label}_colors"), adata.obs[label]
    if colors is None or not isinstance(column.dtype, pd.CategoricalDtype) or len(colors) < len(column.cat.categories):
        return None
    by_name = dict(zip(map(str, column.cat.categories), _slots.strings(colors), strict=False))
    return [by_name[name] for name in classes]
