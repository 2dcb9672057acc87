"""Measure which genes a classifier listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.tl._importance_options import check_options
from cellclf.tl._inputs import check_genes
from cellclf.tl._listen import by_gradients, by_permutation, by_weights
from cellclf.tl._model import resolve
from cellclf.tl._relearn import by_ablation

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng
    from cellclf.tl._found import Found
    from cellclf.tl._importance_options import Method
    from cellclf.tl._references import Baseline

RUN = {"permutation": by_permutation, "ablation": by_ablation, "weights": by_weights}


def importance(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    method: Method = "permutation",
    measure: Literal["loss", "accuracy", "macro_f1"] = "loss",
    groups: Mapping[str, Sequence[str]] | float | None = None,
    within: str | None = None,
    null: Literal["auto", "shadow"] | None = "auto",
    norm: Literal["sum", "l2", "path"] = "sum",
    baseline: Baseline = "mean",
    n_steps: int | None = None,
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

    ``method="ablation"`` trains again without each of `groups`, and takes how much worse that is than trainings on all genes
    (on the rows that the classifier learnt from, each pair with a seed in common): what is lost for good, rather than what
    this network uses. :func:`cellclf.tl.ablation` does so along a ranking, or keeps only a set.

    ``method="weights"`` adds up the weights that leave the gene, for the gene scaled to unit standard deviation (or as
    :class:`cellclf.Fit` scaled it). It says what the network *can* listen to, and reads no cells.

    ``method="integrated_gradients"`` :cite:p:`Sundararajan2017`, ``"deep_lift"`` :cite:p:`Shrikumar2017` and
    ``"gradient_shap"`` :cite:p:`Lundberg2017` part the score of each cell's own class among the genes, in comparison with
    a baseline; the importance is the mean size of a gene's part. The score is the logit over the temperature, less the
    mean over the classes.

    **The null.** For permutation and weights the network is trained once more, on the rows it learnt from, beside shadow
    genes: copies of genes whose cells are shuffled :cite:p:`Kursa2010`, and which had to win their places by what they
    seem to tell, as the genes had. With all importances taken in that second network,
    :math:`q(t) = (1 + \#\{\text{shadows} \ge t\}) / \max(1, \#\{\text{genes} \ge t\})` estimates which share of the
    genes at least that important owe it to chance. Where genes are correlated it is a heuristic. Permutation on fewer than
    500 cells, or on cells that were learnt from, takes five such networks, each with shadows of its own (and in the second
    case judged on a fifth of the cells, which it is not shown); genes and shadows of all five are pooled. Of more than 32768
    cells to learn from or to judge on, about so many are drawn, of each class its share, but 50 at least.

    **Ctrl-C** ends with what is finished, and the record says so: of permutation with the genes (or groups) that were measured
    in all repeats, the others NaN and without a null; of the null with the networks that are trained; of the gradients with the
    first cells; of ablation with the repeats that are complete. Before anything is finished nothing is written.

    Parameters
    ----------
    adata
        Annotated data, cells in rows, with values of the kind that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns['cellclf']`.
    method
        ``"permutation"``, ``"ablation"``, ``"weights"``, ``"integrated_gradients"``, ``"deep_lift"`` or ``"gradient_shap"``.
    measure
        What permutation and ablation make worse: ``"loss"``, ``"accuracy"`` or ``"macro_f1"``.
    groups
        Genes shuffled together, or ablated together: a mapping of names to genes (each in one group at most), the
        correlation above which genes form a cluster (between 0 and 1, average linkage over the chosen rows), or a number of
        clusters. Every gene of a group gets the group's importance; genes in no group are shuffled alone, and not ablated.
    within
        Column of `adata.obs`: values are shuffled among cells of the same batch or class only.
    null
        ``"shadow"``: compare with shadow genes, at the cost of one more training (or five) with up to twice the genes.
        ``"auto"``: do so if `adata` holds the rows and genes that the classifier was trained on, no `groups` are given, and the network
        begins with a linear layer (others are run whole for each gene and shadow, which takes long). `None`: do not.
    norm
        How weights are added up: ``"sum"`` of the absolute weights in the first layer, their length (``"l2"``), or
        ``"path"``: products of weights along all paths from the gene to each class, for networks with one hidden layer
        at most.
    baseline
        What the gradient methods compare a cell with: the ``"mean"`` training cell, a cell that expresses nothing
        (``"zeros"``), or the mean cells of the other classes (``"class"``: their average; ``"gradient_shap"`` draws from
        them).
    n_steps
        Points on the way from baseline to cell, or random samples of ``"gradient_shap"``. `None`: 50.
    rows
        ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: the test rows, else the validation rows,
        else all labelled rows. Permutation holds their values of the classifier's genes in memory (4 bytes each).
    n_repeats
        Number of permutations, or of trainings without each group.
    rng
        Seed or generator of the permutations, samples and shadows; the same seed gives the same importances.
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
        Rise of the log loss in nats (or fall of accuracy or macro-F1), mean over the repeats; or sum of absolute weights;
        or mean absolute attribution. Exactly 0 for a gene that the classifier does not read; permutation gives 0 to one
        that is constant over the cells, ablation NaN to one that is in no group. NaN for a gene that Ctrl-C forestalled.
    `adata.var['importance_se']` : :class:`pandas.Series` (n_vars, float64)
        Standard error of that mean, from the scatter of the repeats, or of the cells for gradients; NaN for one repeat
        and for weights.
    `adata.var['importance_qvalue']` : :class:`pandas.Series` (n_vars, float64)
        Estimated share of chance among the genes at least as important, 1 for genes that are not read. Only with a null.
    `adata.varm['importance_by_class']` : :class:`numpy.ndarray` (n_vars × n_classes, float64)
        The same importance averaged over the cells of each class, NaN for a class without cells; of macro-F1 the fall of
        the class's F1; of ``norm="path"`` the signed weight. Other weights have none.
    `adata.uns['importance']` : dict
        Record of the call, with `method`, `classes` and, by method, `n_rows`, `n_repeats`, `measure`, `unshuffled`
        (the measure with nothing shuffled) or `unablated` (that of the trainings on all genes), `interrupted` (whether Ctrl-C
        came before all was done), `baseline` and `completeness_gap` (mean absolute difference
        between the sum of a cell's attributions and its score above the baseline, as a share of the latter's mean); with
        a null `n_networks`, `n_shadows` (of all of them) and `n_passing`, the number of genes with q ≤ 0.05.

    With `groups`, also `var["importance_group"]` (category, missing for genes in none), and `group_names`, `group_sizes`,
    `group_importance` and `group_importance_se` in the record. What an earlier call wrote and this one does not have is
    taken away.

    Raises
    ------
    KeyError
        There is no classifier, or `label`, `layer`, `within` or `gene_symbols` is not in `adata`.
    TypeError
        `method="weights"` and a network without a first linear layer, or too deep for ``norm="path"``.
    ValueError
        The classifier was trained on an embedding or without a label, too few rows have a class of the classifier, a
        number is out of range, a gene is in two groups, ``null="shadow"`` and `adata` lacks the training rows, an option of
        another method is given, or as for :func:`cellclf.tl.predict`.
    KeyboardInterrupt
        The work was stopped before anything was finished.

    See Also
    --------
    cellclf.get.importance : the same as a table.
    cellclf.tl.explain : which genes drive the calls of single cells and clusters.
    cellclf.tl.importance_check : whether a ranking is faithful to the classifier.
    cellclf.tl.stability : whether another training would listen to the same genes.
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
    _slots.check_key(key_added)
    model = resolve(adata, classifier, "cellclf")
    options = {
        "baseline": baseline,
        "groups": groups,
        "label": label,
        "layer": layer,
        "measure": measure,
        "n_repeats": n_repeats,
        "n_steps": n_steps,
        "norm": norm,
        "null": null,
        "rng": rng,
        "rows": rows,
        "split": split,
        "within": within,
    }
    check_options(method, options)
    check_genes(model)
    options |= {"method": method, "gene_symbols": gene_symbols}
    found = RUN.get(method, by_gradients)(adata, model, options)
    call = options | {"key_added": key_added}
    call["rows"] = rows if rows is None or isinstance(rows, str) else "mask"
    entry = _slots.record("tl.importance", call, classes=model.classes, method=method, **found.facts)
    adata = adata.copy() if copy else adata
    _write(adata, found, entry, key_added)
    return adata if copy else None


def _write(adata: AnnData, found: Found, entry: dict[str, Any], key: str) -> None:
    """Write what was found; what an earlier call left and this one does not have would not belong to it."""
    var: dict[str, Any] = {key: found.mean, f"{key}_se": found.error}
    if found.qvalue is not None:
        var[f"{key}_qvalue"] = found.qvalue
    if found.group is not None:
        var[f"{key}_group"] = pd.Categorical(found.group, categories=pd.Index(entry["group_names"]))
    varm = {} if found.by_class is None else {f"{key}_by_class": found.by_class}
    old = adata.uns.get(key)
    ours = isinstance(old, dict) and str(old.get("function")) == "cellclf.tl.importance"
    _slots.write(adata, {"var": var, "varm": varm, "uns": {key: entry}})
    if ours:
        for name in {f"{key}_qvalue", f"{key}_group"} - set(var):
            if name in adata.var:
                del adata.var[name]
        if found.by_class is None:
            adata.varm.pop(f"{key}_by_class", None)
