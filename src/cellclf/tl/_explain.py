"""Explain the calls of single cells and of clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse import vstack as stack

from cellclf import _slots
from cellclf.fit._apply import logits
from cellclf.fit._hardware import device_of
from cellclf.tl._attributed import attributed
from cellclf.tl._group_totals import GroupTotals
from cellclf.tl._inputs import check_genes, check_known, check_number
from cellclf.tl._model import layer_to_read, resolve, truth
from cellclf.tl._references import Baseline, check_baseline, references

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng
    from cellclf.attribution._gradients import GradientMethod

METHODS = ("integrated_gradients", "deep_lift", "gradient_shap")


def explain(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    groupby: str | None = None,
    rows: str | Sequence[bool] | np.ndarray | None = None,
    method: GradientMethod = "integrated_gradients",
    baseline: Baseline = "mean",
    n_steps: int | None = None,
    attribution_layer: bool = False,
    rng: Rng = 0,
    label: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    split: str = "split",
    key_added: str = "cellclf_explain",
    copy: bool = False,
) -> AnnData | None:
    r"""Find the genes that drive the calls of each group of cells.

    What speaks for the class that a cell is called, its logit over the temperature less the mean over the classes, is
    parted among the genes in comparison with a baseline :cite:p:`Sundararajan2017`. The score of a gene in a group is the
    mean of its part over the group's cells: positive where the gene speaks for the calls, negative where against. Cells
    are read a block at a time. Ctrl-C ends with the cells that are done, the first ones of those chosen.

    The record has the shape of :func:`scanpy.tl.rank_genes_groups`, so that ``sc.pl.rank_genes_groups_dotplot(adata,
    key="cellclf_explain")``, ``sc.get.rank_genes_groups_df(adata, group, key="cellclf_explain")`` and gene-set tools take
    it as it stands. Fold changes compare the mean normalised expression with that of the other explained cells, as
    scanpy does. P-values are those of a t-test of the mean part against zero; they take the classifier as given, and say
    that the part is not a matter of which cells of the group were looked at, nothing more.

    Parameters
    ----------
    adata
        Annotated data, cells in rows, with values of the kind that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns['cellclf']`.
    groupby
        Column of `adata.obs` with the groups, such as clusters. `None`: ``"cellclf"``, the predicted classes, if
        :func:`cellclf.tl.predict` has run, else the label that the classifier was trained on.
    rows
        The cells to explain: ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: all.
    method
        ``"integrated_gradients"``, ``"deep_lift"`` or ``"gradient_shap"``.
    baseline
        What a cell is compared with: the ``"mean"`` training cell, a cell that expresses nothing (``"zeros"``), or the
        mean cells of the other classes (``"class"``).
    n_steps
        Points on the way from baseline to cell, or random samples of ``"gradient_shap"``. `None`: 50.
    attribution_layer
        Also keep the attributions of every explained cell in `adata.layers`, sparse.
    rng
        Seed or generator of the samples of ``"gradient_shap"``.
    label
        Column of `adata.obs` with the true classes, for ``baseline="class"``. `None`: the one that the classifier was
        trained on.
    layer
        Layer to use. `None`: the one that the classifier was trained on; ``"X"``: X itself.
    gene_symbols
        Column of `adata.var` with the gene names to match on, instead of `adata.var_names`.
    split
        Column of `adata.obs` with train / valid / test.
    key_added
        Key of `adata.uns` for the record.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.uns['cellclf_explain']` : dict
        `params`, and the record arrays `names`, `scores`, `logfoldchanges`, `pvals` and `pvals_adj` with one field per
        group that has cells and one row per gene, the highest score first (0 for a gene that the classifier does not
        read, with no fold change); the record of the call with `classes`, `n_rows`, `interrupted` (whether Ctrl-C came before
        all cells were done) and `completeness_gap` (mean absolute difference between the sum of a cell's parts and what was to
        be parted, as a share of the latter's mean).

    With `attribution_layer=True`, also `layers["cellclf_attribution"]` (n_obs × n_vars, float32, CSR): the part of each
    gene in each cell, nothing for cells that are not explained. (`key_added="x_explain"` gives `layers["x_attribution"]`.)

    Raises
    ------
    KeyError
        There is no classifier, no `groupby` could be found, or a column or layer is not in `adata`.
    ValueError
        The classifier was trained on an embedding or without a label, an option has no meaning together with the others,
        or as for :func:`cellclf.tl.predict`.
    KeyboardInterrupt
        The work was stopped before any cell was done.

    See Also
    --------
    cellclf.tl.importance : one number per gene for the classifier as a whole.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> cc.tl.predict(adata)
    >>> cc.tl.explain(adata, rows="test")
    >>> sc.get.rank_genes_groups_df(adata, "CD56+ NK", key="cellclf_explain").shape
    (765, 5)
    """
    _slots.check_key(key_added)
    model = resolve(adata, classifier, "cellclf")
    _check(method, baseline, n_steps, rng, label)
    check_genes(model)
    groups = _groups(adata, model, groupby)
    every = np.ones(adata.n_obs, dtype=bool)
    mask = (every if rows is None else _slots.chosen_rows(adata, rows, split, every)) & (groups.codes >= 0)
    if not mask.any():
        msg = f"None of the chosen rows has a value in adata.obs[{groups.name!r}]. Choose other `rows` or `groupby`."
        raise ValueError(msg)
    where: dict[str, Any] = {"layer": layer, "gene_symbols": gene_symbols}
    codes = truth(adata, model, label)[1] if baseline == "class" else None
    compared = references(adata, model, baseline, codes, split, **where)
    totals = GroupTotals(len(groups.classes), len(model.genes))
    network, device = model.network.to(device_of(model.options.device)), device_of(model.options.device)
    options: dict[str, Any] = {"method": method, "n_steps": n_steps, "rng": rng}

    def called(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        return logits(network, x, device).argmax(axis=1)

    kept, done = [], np.zeros(adata.n_obs, dtype=bool)
    for part in attributed(adata, model, mask, called, compared, **options, **where):
        totals.add(groups.codes[part.rows], part.found.values, part.values, part.found.change)
        done[part.rows] = True
        if attribution_layer:
            kept.append(csr_matrix(part.found.values.astype(np.float32)))
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    params = {"groupby": groups.name, "reference": "rest", "method": method, "use_raw": False}
    params |= {"layer": layer_to_read(adata, model, layer), "corr_method": "benjamini-hochberg"}
    call: dict[str, Any] = {"groupby": groupby, "rows": rows if rows is None or isinstance(rows, str) else "mask"}
    call |= {"method": method, "baseline": baseline, "n_steps": n_steps, "attribution_layer": attribution_layer}
    call |= {"rng": rng, "label": label}
    call |= where | {"split": split, "key_added": key_added}
    tables = totals.tables(adata.var_names.to_numpy(dtype=object), columns, groups.classes)
    facts: dict[str, Any] = {"n_rows": int(done.sum()), "interrupted": bool((mask & ~done).any())}
    facts |= {"completeness_gap": totals.completeness_gap}
    entry = _slots.record("tl.explain", call, classes=model.classes, params=params, **tables, **facts)
    slots: dict[str, dict[str, Any]] = {"uns": {key_added: entry}}
    if attribution_layer:
        slots["layers"] = {
            f"{key_added.removesuffix('_explain')}_attribution": _spread(kept, done, columns, adata.n_vars)
        }
    adata = adata.copy() if copy else adata
    _slots.write(adata, slots)
    return adata if copy else None


def _check(method: str, baseline: str, n_steps: int | None, rng: Rng, label: str | None) -> None:
    """Refuse what has no meaning, before any work."""
    check_known("method", method, METHODS)
    check_baseline(baseline)
    if n_steps is not None:
        check_number("n_steps", n_steps, "steps")
    idle = {
        "n_steps": n_steps is not None and method == "deep_lift",
        "rng": not (isinstance(rng, int) and rng == 0) and method != "gradient_shap",
        "label": label is not None and baseline != "class",
    }
    if any(idle.values()):
        names = _slots.listing(name for name, needless in idle.items() if needless)
        msg = f"method={method!r} with baseline={baseline!r} makes no use of {names}. Leave out what is not needed."
        raise ValueError(msg)


def _groups(adata: AnnData, model: Classifier, groupby: str | None) -> _slots.Labels:
    """Return the group of each cell."""
    if groupby is None:
        groupby = next((name for name in ("cellclf", model.facts["label"]) if name in adata.obs), None)
        if groupby is None:
            msg = (
                "There is no adata.obs['cellclf'] to group the cells by. Run `cc.tl.predict` first, or name a column "
                "with `groupby=`."
            )
            raise KeyError(msg)
    return _slots.labels(adata, str(_slots.member(adata.obs, groupby, "groupby", "adata.obs").name))


def _spread(parts: list[csr_matrix], rows: np.ndarray, columns: np.ndarray, n_vars: int) -> csr_matrix:
    """Put the attributions of some cells and genes at their places."""
    found = stack(parts, format="coo")
    keep = columns[found.col] >= 0
    place = np.flatnonzero(rows)
    coordinates = place[found.row[keep]], columns[found.col[keep]]
    return csr_matrix((found.data[keep], coordinates), shape=(len(rows), n_vars))
