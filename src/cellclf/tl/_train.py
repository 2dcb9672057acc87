"""Train a classifier on an AnnData."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.fit import Fit
from cellclf.nn import MLP
from cellclf.nn._registry import to_header
from cellclf.pp import _gene_scores, _select_genes, _split
from cellclf.tl._learn import Problem, learn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Matrix, Rng
    from cellclf.nn._registry import Description

N_GENES = 4000  # with inputs weighted by information the number hardly matters; fewer hurts bulk data


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
    rows, slots = _plan(adata, _slots.labels(adata, label), split, fit, seed)
    if start is not None:
        _check_start(start, network, rows.found.classes, fit)
    columns = _given_columns(adata, names, genes, use_rep, start)
    if columns is None:
        columns, selection = _select(x, rows)
        slots = _merge(slots, selection)
    problem = Problem(
        x=x,
        names=names,
        codes=rows.found.codes,
        classes=rows.found.classes,
        train=rows.train,
        valid=rows.valid,
        refit=rows.refit,
        columns_for=partial(_columns_for, x, rows, columns, "mi" in slots.get("var", {})),
        description=network,
        options=fit,
        seed=seed,
        start=start,
    )
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
    _slots.write(adata, _merge(slots, {"uns": {key_added: record, _slots.LABEL_KEY: name}}))
    return classifier


class _Rows(NamedTuple):
    """Who learns from what: the labels (classes of the training rows), masks, and whether to train again on both."""

    found: _slots.Labels
    train: np.ndarray
    valid: np.ndarray
    refit: bool

    @property
    def final(self) -> np.ndarray:
        """The rows that the finished network has learnt from."""
        return self.train | self.valid if self.refit else self.train


def _plan(
    adata: AnnData, found: _slots.Labels, split: str | None, fit: Fit, seed: int
) -> tuple[_Rows, dict[str, dict[str, Any]]]:
    """Decide which rows train and which validate, making the split that is missing."""
    slots: dict[str, dict[str, Any]] = {}
    masks = _slots.split_rows(adata, split)
    if masks is None and split is not None:
        codes = _split.assign_rows(found.codes, fractions=_split.FRACTIONS, rng=seed)
        masks = {name: codes == k for k, name in enumerate(_split.NAMES)}
        slots = _split.slots(codes, {"label": found.name, "rng": seed})
    labelled = found.codes >= 0
    train = labelled if masks is None else labelled & masks["train"]
    found = _slots.keep_classes(found, train, what="training rows")
    known = found.codes >= 0
    valid = np.zeros_like(known) if masks is None else known & masks["valid"]
    if valid.any():
        return _Rows(found, train, valid, refit=False), slots
    shares = (1 - fit.valid_fraction, fit.valid_fraction, 0.0)
    codes = _split.assign_rows(np.where(train, found.codes, -1), fractions=shares, rng=seed)
    return _Rows(found, codes == 0, codes == 1, refit=fit.refit and bool((codes == 1).any())), slots


def _feature_names(adata: AnnData, x: Matrix, use_rep: str | None) -> np.ndarray:
    """Return the names of the columns of the matrix; those of an embedding are numbered."""
    if use_rep is None:
        return _slots.unique_genes(adata)
    return np.array([f"{use_rep}_{i}" for i in range(x.shape[1])], dtype=object)


def _given_columns(
    adata: AnnData, names: np.ndarray, genes: str | Sequence[str], use_rep: str | None, start: Classifier | None
) -> np.ndarray | None:
    """Return the columns that the user or an earlier selection names, or None where they are to be selected."""
    if use_rep is not None and not (isinstance(genes, str) and genes in {"auto", "all"}):
        msg = f"genes={genes!r} cannot be chosen from the embedding use_rep={use_rep!r}. Leave one of the two out."
        raise ValueError(msg)
    if start is not None:
        if not (isinstance(genes, str) and genes == "auto"):
            msg = "Both genes= and start= are given; training goes on with the genes of start. Leave genes out."
            raise ValueError(msg)
        return _positions(names, start.genes)
    if use_rep is not None or (isinstance(genes, str) and genes == "all"):
        return np.arange(len(names))
    if not isinstance(genes, str):
        return _positions(names, np.array([str(name) for name in genes], dtype=object))
    if genes == "auto" and "selected" not in adata.var:
        return None
    column = "selected" if genes == "auto" else genes
    chosen = _slots.member(adata.var, column, "genes", "adata.var")
    if not pd.api.types.is_bool_dtype(chosen.dtype) or chosen.isna().any():
        msg = f"adata.var[{column!r}] is not boolean ({chosen.dtype}). Name a column of True and False, or give a list of genes."
        raise ValueError(msg)
    if not chosen.any():
        msg = f"adata.var[{column!r}] selects no gene. Select some with `cc.pp.select_genes`, or pass genes='all'."
        raise ValueError(msg)
    return np.flatnonzero(chosen.to_numpy(dtype=bool))


def _positions(names: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find the columns of the wanted genes, all of which must be there, once."""
    if len(wanted) == 0:
        msg = "genes is empty. Name some, or pass genes='all'."
        raise ValueError(msg)
    if len(set(wanted)) < len(wanted):
        msg = f"genes names {len(wanted) - len(set(wanted))} genes more than once. Name each once."
        raise ValueError(msg)
    columns = pd.Index(names).get_indexer(pd.Index(wanted))
    if (columns < 0).any():
        absent = wanted[columns < 0]
        msg = f"{len(absent)} of the {len(wanted)} genes are not in adata.var_names: {_slots.listing(absent, 5)}."
        raise KeyError(msg)
    return columns


def _select(x: Matrix, rows: _Rows) -> tuple[np.ndarray, dict[str, dict[str, Any]]]:
    """Score all genes on the final rows, select the most informative, and prepare what is written of both."""
    codes, n_classes = np.where(rows.final, rows.found.codes, -1), len(rows.found.classes)
    scores = _gene_scores.compute(x, codes, n_classes)
    rank = _select_genes.rank(scores["mi_corrected"], N_GENES)
    slots = _gene_scores.slots(scores, {"label": rows.found.name}, rows.found.classes)
    selected = _select_genes.slots(rank, {"n_genes": N_GENES, "by": "mi_corrected"})
    return np.flatnonzero(~np.isnan(rank)), _merge(slots, selected)


def _merge(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put two sets of slots together."""
    return {slot: one.get(slot, {}) | other.get(slot, {}) for slot in [*one, *(s for s in other if s not in one)]}


def _columns_for(x: Matrix, rows: _Rows, columns: np.ndarray, selected: bool, mask: np.ndarray) -> np.ndarray:
    """Return the genes for a training on the rows of `mask`: a selection of ours is made anew on fewer rows."""
    if not selected or (mask == rows.final).all():
        return columns
    table = stats.contingency(
        x,
        np.where(mask, rows.found.codes, -1),
        bins=stats.bin_edges(x, mask, bins="auto"),
        n_classes=len(rows.found.classes),
    )
    rank = _select_genes.rank(stats.mutual_information(table, corrected=True), N_GENES)
    return np.flatnonzero(~np.isnan(rank))


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
