"""Measure which genes a classifier listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from cellclf import _slots
from cellclf.attribution import first_layer_norms, permutation_importance
from cellclf.fit._hardware import device_of
from cellclf.tl._model import find_genes, read, resolve, truth

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng


def importance(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    method: Literal["permutation", "weights"] = "permutation",
    rows: str | Sequence[bool] | np.ndarray | None = None,
    n_repeats: int = 5,
    rng: Rng = 0,
    label: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    split: str = "split",
    key_added: str = "importance",
    copy: bool = False,
) -> AnnData | None:
    r"""Measure how much a classifier needs each gene.

    ``method="permutation"`` shuffles the preprocessed values of one gene among the cells and takes how much the log
    loss rises :cite:p:`Breiman2001`,

    .. math::

        I_j = \frac1R \sum_{r=1}^{R} \big( L(X^{(j, \pi_r)}) - L(X) \big), \qquad
        L(X) = -\frac1N \sum_i \log p_{y_i}(x_i) \quad \text{in nats.}

    The loss is used because the accuracy of a good classifier stays where it is, whichever gene is shuffled. Every gene
    is measured exactly, though only the layers after the first one are run again, and only for cells whose value
    changed. All genes share the permutation of a repeat. A value around zero means that the classifier can do without
    the gene, which two genes that tell the same can both.

    ``method="weights"`` adds up the absolute weights that leave the gene in the first layer, for the gene scaled to unit
    standard deviation (or as :class:`cellclf.Fit` scaled it). It says what the network *can* listen to, and reads no
    cells.

    Parameters
    ----------
    adata
        Annotated data, cells in rows, with values of the kind that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns['cellclf']`.
    method
        ``"permutation"`` or ``"weights"``.
    rows
        ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: the test rows, else the validation rows,
        else all labelled rows. Their values of the classifier's genes are held in memory (4 bytes each).
    n_repeats
        Number of permutations.
    rng
        Seed or generator of the permutations; the same seed gives the same importances.
    label
        Column of `adata.obs` with the true classes. `None`: the one that the classifier was trained on. Cells without
        a class, or of a class that the classifier never saw, are left out.
    layer
        Layer to use. `None`: the one that the classifier was trained on; ``"X"``: X itself.
    gene_symbols
        Column of `adata.var` with the gene names to match on, instead of `adata.var_names`.
    split
        Column of `adata.obs` with train / valid / test.
    key_added
        Name of the written fields; it stands for `importance` in each of them.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.var['importance']` : :class:`pandas.Series` (n_vars, float64)
        Rise of the log loss in nats, mean over the repeats (or sum of absolute weights); exactly 0 for a gene that the
        classifier does not read, or that is constant over the cells.
    `adata.var['importance_se']` : :class:`pandas.Series` (n_vars, float64)
        Standard error of that mean, from the scatter of the repeats; NaN for one repeat and for weights.
    `adata.varm['importance_by_class']` : :class:`numpy.ndarray` (n_vars × n_classes, float64)
        The same rise averaged over the cells of each class, NaN for a class without cells. Permutation only: weights
        take an earlier one away.
    `adata.uns['importance']` : dict
        Record of the call, with `method` and `classes` and, for permutation, `n_rows`, `n_repeats` and `loss`, the log
        loss with nothing shuffled.

    Raises
    ------
    KeyError
        There is no classifier, or `label`, `layer` or `gene_symbols` is not in `adata`.
    TypeError
        `method="weights"` and a network without a first linear layer.
    ValueError
        The classifier was trained on an embedding, fewer than two rows have a class of the classifier, `n_repeats` is
        below 1, arguments about cells together with `method="weights"`, or as for :func:`cellclf.tl.predict`.

    See Also
    --------
    cellclf.get.importance : the same as a table.
    cellclf.pp.gene_scores : what each gene tells by itself.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> cc.tl.importance(adata)
    >>> adata.varm["importance_by_class"].shape
    (765, 10)
    """
    model = resolve(adata, classifier, "cellclf")
    call: dict[str, Any] = {
        "label": label,
        "layer": layer,
        "n_repeats": n_repeats,
        "rng": rng,
        "rows": rows,
        "split": split,
    }
    _check(method, call, model)
    if method == "weights":
        found = _weights(adata, model, gene_symbols)
    else:
        found = _permutation(adata, model, gene_symbols, **call)
    call |= {"method": method, "gene_symbols": gene_symbols, "key_added": key_added}
    call["rows"] = rows if rows is None or isinstance(rows, str) else "mask"
    entry = _slots.record("tl.importance", call, classes=model.classes, method=method, **found.facts)
    by_class = f"{key_added}_by_class"
    slots: dict[str, dict[str, Any]] = {"var": {key_added: found.mean, f"{key_added}_se": found.error}}
    slots |= {} if found.by_class is None else {"varm": {by_class: found.by_class}}
    adata = adata.copy() if copy else adata
    _slots.write(adata, slots | {"uns": {key_added: entry}})
    if found.by_class is None:
        adata.varm.pop(by_class, None)  # one of an earlier call would not belong to these weights
    return adata if copy else None


class _Found(NamedTuple):
    """Importance of all genes of an AnnData (n_vars), its error, that for each class, and what to record."""

    mean: np.ndarray
    error: np.ndarray
    by_class: np.ndarray | None
    facts: dict[str, Any]


def _check(method: str, call: dict[str, Any], model: Classifier) -> None:
    """Refuse what has no meaning, before any work."""
    if method not in {"permutation", "weights"}:
        msg = f"method={method!r} is not known. Choose 'permutation' or 'weights'."
        raise ValueError(msg)
    if model.facts["use_rep"] is not None:
        msg = (
            f"The classifier was trained on the embedding {model.facts['use_rep']!r}, so there are no genes to score. "
            "Train one on genes, without `use_rep`."
        )
        raise ValueError(msg)
    n_repeats = call["n_repeats"]
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, int | np.integer) or n_repeats < 1:
        msg = f"n_repeats={n_repeats!r} is no number of permutations. Give a whole number of 1 or more."
        raise ValueError(msg)
    defaults = {"n_repeats": 5, "rng": 0, "split": "split"}
    given = [name for name, value in call.items() if value is not None and not _equal(value, defaults.get(name))]
    if method == "weights" and given:
        msg = f"method='weights' reads no cells, so {_slots.listing(given)} would do nothing. Leave out what is not needed."
        raise ValueError(msg)


def _equal(value: Any, default: Any) -> bool:
    """Tell whether an argument, which may be an array, is at its default."""
    return isinstance(value, str | int) and value == default


def _weights(adata: AnnData, model: Classifier, gene_symbols: str | None) -> _Found:
    """Add up the weights of each gene, in units of the gene as it was scaled."""
    sums = first_layer_norms(model.network) * model.preprocessing.weight.astype(np.float64)
    columns = find_genes(adata, model, gene_symbols)
    return _Found(_spread(adata, columns, sums), np.full(adata.n_vars, np.nan), None, {})


def _permutation(
    adata: AnnData,
    model: Classifier,
    gene_symbols: str | None,
    *,
    label: str | None,
    layer: str | None,
    n_repeats: int,
    rng: Rng,
    rows: Any,
    split: str,
) -> _Found:
    """Shuffle each gene of the model among the chosen rows."""
    _, codes = truth(adata, model, label)
    mask = _slots.chosen_rows(adata, rows, split, codes >= 0)
    n_rows = int(mask.sum())
    if n_rows < 2:
        msg = f"Only {n_rows} of the chosen rows have a class of the classifier; shuffling needs two. Choose other `rows`."
        raise ValueError(msg)
    inputs = _inputs(adata, model, mask, layer=layer, gene_symbols=gene_symbols)
    found = permutation_importance(
        model.network.to(device_of(model.options.device)),
        inputs,
        codes[mask],
        n_repeats=int(n_repeats),
        seed=int(np.random.default_rng(rng).integers(2**62)),
        temperature=model.temperature,
    )
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    error = np.full(adata.n_vars, np.nan)
    if n_repeats > 1:
        error = _spread(adata, columns, found.by_repeat.std(axis=1, ddof=1) / np.sqrt(n_repeats))
    by_class = _spread(adata, columns, found.by_class)
    by_class[:, np.bincount(codes[mask], minlength=len(model.classes)) == 0] = np.nan
    facts = {"n_rows": n_rows, "n_repeats": int(n_repeats), "loss": found.loss}
    return _Found(_spread(adata, columns, found.by_repeat.mean(axis=1)), error, by_class, facts)


def _inputs(adata: AnnData, model: Classifier, mask: np.ndarray, **options: Any) -> np.ndarray:
    """Read what the network reads of the chosen rows, (n_rows, n_genes); only one block is held twice."""
    inputs, start = np.empty((int(mask.sum()), len(model.genes)), dtype=np.float32), 0
    for block in read(adata, model, mask, **options):
        stop = start + len(block.values)
        inputs[start:stop] = model.inputs(block.values)
        start = stop
    return inputs


def _spread(adata: AnnData, columns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Put values of the model's genes at their places among the genes of `adata`; the others are not read and get 0."""
    spread = np.zeros((adata.n_vars, *values.shape[1:]))
    spread[columns[columns >= 0]] = values[columns >= 0]
    return spread
