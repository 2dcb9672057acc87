"""Choose genes by their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellclf import _slots, stats
from cellclf.pp import _conditions
from cellclf.pp._repeats import GREEDY, for_all_classes, thinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


def select_genes(
    adata: AnnData,
    n_genes: int = 2000,
    *,
    by: str = "mi",
    ascending: bool = False,
    balance: bool | None = None,
    redundancy: float | Literal["mrmr", "jmi"] | None = None,
    n_candidates: int | None = None,
    max_qvalue: float | None = None,
    cumulative: float | None = None,
    quota: int | None = None,
    force: Sequence[str] = (),
    exclude: Sequence[str] = (),
    key_added: str = "selected",
    copy: bool = False,
) -> AnnData | None:
    r"""Select the genes that score best.

    By default the genes are chosen for all classes together: each time the gene is taken that tells much about the classes
    and explains most of what the genes taken before leave unexplained. Otherwise genes are taken in the order of a column
    of `adata.var`; equal scores keep the order of the genes, missing scores are never taken. Where fewer genes are left
    than `n_genes`, all of them are taken. First come the genes of `force`, then those that a `quota` keeps for each class,
    then all others.

    Parameters
    ----------
    adata
        Annotated data, cells in rows.
    n_genes
        How many genes to select; the most, where other conditions leave fewer.
    by
        Column of `adata.var` with numbers: a score of :func:`cellclf.pp.gene_scores` or any other, such as a ranking saved
        earlier.
    ascending
        Take the smallest values first, as is right for ranks and p-values.
    balance
        Choose for all classes together, so that rare and difficult ones are not forgotten: the next gene has the largest
        :math:`\bar I(g) \sum_c \langle g, e_c \rangle^2`. Here :math:`\bar I` is the mean over the classes of `mi_by_class`,
        corrected for chance as `mi_corrected` is and divided by that of the best gene for the class; :math:`e_c` is what a
        ridge regression on the genes taken before leaves unexplained of class :math:`c`, and the bracket the covariance of
        the gene with it, classes and genes standardised (and centred within batches, if the scores were made so) over at
        most 2048 cells, after log(1 + x per 10 000) if these are counts. After 1000 genes, or as many as cells, the classes
        take what is left in turns. It needs the label from which the scores come.
        `None`: so it is if `by` is the ``"mi"`` of :func:`cellclf.pp.gene_scores`, and neither `ascending` nor `redundancy`
        is given. `False`: the order of the column.
    redundancy
        How to leave out genes that repeat others. A number between 0 and 1: the largest absolute Pearson correlation that
        a selected gene may have with a better one, taken over at most 8192 evenly spaced cells, after log(1 + x) if these
        are counts. ``"mrmr"`` and ``"jmi"`` choose one gene after another for what it adds to the set :math:`S` of those
        chosen before: the largest :math:`I(g; c) - \frac{1}{|S|} \sum_{s \in S} I(g; s)`, minimal redundancy and maximal
        relevance :cite:p:`Peng2005`, or the largest :math:`\sum_{s \in S} I(g, s; c)`, joint mutual information
        :cite:p:`Yang1999`. They know the class :math:`c` and cut each gene into at most four bins, over at most 32768
        evenly spaced cells; `by` then decides only which genes are candidates, and which of equal ones is taken. Cells,
        layer, label and batch are those from which the scores come (training cells, X and the recorded label, if `by` is
        no score of ours). `None`: repetition does not matter.
    n_candidates
        With ``"mrmr"`` and ``"jmi"``: choose from so many best genes only. `None`: all that have a score. The time grows
        with `n_genes` × candidates × cells; 1000 of 20 000 genes over 20 000 cells take about a minute on two cores.
    max_qvalue
        Take only genes with `mi_qvalue` up to this, as written together with the score `by`. `None`: no limit.
    cumulative
        Take only the smallest number of best genes that together hold this share (0 to 1) of the sum of all positive
        scores. `None`: no limit.
    quota
        Every class keeps its so many best genes by `mi_by_class`, as written together with the score `by`, so that a rare
        class is not forgotten. They are taken in turns, the best of each class first; a gene that is among the best of
        several classes counts for each. They must have a score and meet `max_qvalue`, but neither `cumulative` nor
        `redundancy` removes them. A class gets fewer only where fewer genes tell anything about it.
    force
        Genes that are selected in any case; they come first, in the order given.
    exclude
        Genes that are never selected.
    key_added
        Name of the written fields; it stands for `selected` in each of them.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.var['selected']` : :class:`pandas.Series` (n_vars, bool)
        Whether the gene is selected.
    `adata.var['selected_rank']` : :class:`pandas.Series` (n_vars, float64)
        1 for the first gene, 2 for the second, …; NaN for genes that are not selected.
    `adata.uns['selected']` : dict
        Record of the call.

    Raises
    ------
    KeyError
        `by`, or the q-value, the scores by class or the label that belong to it, are not in `adata`; a gene of `force` or
        `exclude` is not in `adata.var_names`.
    ValueError
        A number out of range; a column that holds no numbers; a gene that is both forced and excluded; more genes forced
        or kept for classes than `n_genes`; options that contradict each other; nothing left to select; with `redundancy`,
        values that are NaN or infinite; no record says from which label the scores come, where genes are chosen for its classes.

    Examples
    --------
    >>> import cellclf as cc
    >>> import scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.gene_scores(adata, "bulk_labels")
    >>> cc.pp.select_genes(adata, 100, by="jsd", quota=5, redundancy="mrmr")
    >>> adata[:, adata.var["selected"]].shape
    (700, 100)
    """
    _conditions.require_count(n_genes, "n_genes", "how many genes to select")
    _check_balance(by, balance, redundancy, ascending=ascending)
    _check_redundancy(redundancy, n_candidates)
    _check_limits(max_qvalue, cumulative, quota, ascending=ascending)
    score = _conditions.scores(adata, by)
    forced, excluded = _conditions.genes(adata, force, "force"), _conditions.genes(adata, exclude, "exclude")
    if both := sorted(set(forced.tolist()) & set(excluded.tolist())):
        msg = f"{_slots.listing(adata.var_names[both])} are in both `force` and `exclude`. Leave them in one."
        raise ValueError(msg)
    score[excluded] = np.nan
    if max_qvalue is not None:
        score[~(_conditions.scores(adata, f"{_conditions.prefix(by)}mi_qvalue") <= max_qvalue)] = np.nan
    order = stats.by_score(score, ascending=ascending)
    given = forced if quota is None else _union(forced, _kept(adata, by, order, quota))
    _check_given(forced.size, given.size, n_genes, quota)
    if cumulative is not None:
        _check_finite(score, by)
        order = order[stats.holding(score, cumulative)[order]]
    order = _union(given, order)
    if order.size == 0:
        msg = f"No gene is left to select: none has a value in by={by!r} that meets the conditions. Relax them."
        raise ValueError(msg)
    if balance or (balance is None and redundancy is None and not ascending and _conditions.has_classes(adata, by)):
        order = for_all_classes(adata, by, order, n_genes=n_genes, n_given=given.size)
    elif redundancy is not None:
        order = order if n_candidates is None else order[: given.size + n_candidates]
        order = thinned(adata, by, order, n_genes=n_genes, redundancy=redundancy, n_given=given.size)
    call = {"n_genes": n_genes, "by": by, "ascending": ascending, "redundancy": redundancy, "max_qvalue": max_qvalue}
    call |= {"balance": balance, "n_candidates": n_candidates, "cumulative": cumulative, "quota": quota}
    call |= {"force": list(force), "exclude": list(exclude)}
    adata = adata.copy() if copy else adata
    _slots.write(adata, slots(_ranks(order[:n_genes], adata.n_vars), call, key_added))
    return adata if copy else None


def rank(score: NDArray[Any], n_genes: int) -> NDArray[np.float64]:
    """Number the best genes from 1; NaN for the others. Equal scores keep their order, NaN is never taken."""
    order = stats.by_score(np.asarray(score, dtype=np.float64))
    return _ranks(order[:n_genes], len(score))


def rank_in_turns(scores: Mapping[str, NDArray[np.float64]], n_genes: int) -> NDArray[np.float64]:
    """Number genes from 1 as the classes take them in turn, each what tells most about it beyond chance; NaN for the others."""
    order = stats.turns(_conditions.corrected_by_class(scores))
    return _ranks(order[:n_genes], len(scores["mi"]))


def slots(ranks: NDArray[np.float64], call: Mapping[str, Any], key: str = "selected") -> dict[str, dict[str, Any]]:
    """Lay out what a selection writes."""
    return {
        "var": {key: ~np.isnan(ranks), f"{key}_rank": ranks},
        "uns": {key: _slots.record("pp.select_genes", call)},
    }


def _ranks(order: NDArray[np.int64], n_vars: int) -> NDArray[np.float64]:
    """Number the genes of `order` from 1."""
    ranks = np.full(n_vars, np.nan)
    ranks[order] = np.arange(1, order.size + 1)
    return ranks


def _union(first: NDArray[np.int64], then: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put genes after others, each once."""
    return np.concatenate([first, then[~np.isin(then, first)]])


def _kept(adata: AnnData, by: str, order: NDArray[np.int64], quota: int) -> NDArray[np.int64]:
    """Return the genes that every class keeps."""
    return stats.in_turn(_conditions.scores_by_class(adata, by), order, quota)


def _check_balance(by: str, balance: bool | None, redundancy: float | str | None, *, ascending: bool) -> None:
    """Refuse the choice for all classes together with another order."""
    if balance is not None and not isinstance(balance, bool | np.bool_):
        msg = f"balance={balance!r} is neither True, False nor None. Leave it out, or say whether to choose for all classes."
        raise ValueError(msg)
    if balance and redundancy is not None:
        msg = (
            f"balance=True leaves repeats out by itself, but redundancy={redundancy!r} is given. Leave one of them out."
        )
        raise ValueError(msg)
    if balance and (ascending or by != f"{_conditions.prefix(by)}mi"):
        msg = f"balance=True goes with by='mi', the largest first, not with by={by!r}, ascending={ascending}. Leave it out."
        raise ValueError(msg)


def _check_redundancy(redundancy: float | str | None, n_candidates: int | None) -> None:
    """Refuse ways of leaving out genes that do not exist."""
    if isinstance(redundancy, str):
        if redundancy not in GREEDY:
            msg = f"redundancy={redundancy!r} is unknown. Give 'mrmr', 'jmi', a correlation such as 0.9, or None."
            raise ValueError(msg)
    else:
        _conditions.require_share(redundancy, "redundancy", zero=False, example=0.9)
    if n_candidates is not None:
        _conditions.require_count(n_candidates, "n_candidates", "from how many of the best genes to choose")
        if not isinstance(redundancy, str):
            msg = f"n_candidates={n_candidates} does nothing with redundancy={redundancy!r}. Leave it out."
            raise ValueError(msg)


def _check_limits(max_qvalue: float | None, cumulative: float | None, quota: int | None, *, ascending: bool) -> None:
    """Refuse limits out of range, and shares of a sum in which the smallest counts most."""
    _conditions.require_share(max_qvalue, "max_qvalue", zero=True, example=0.05)
    _conditions.require_share(cumulative, "cumulative", zero=False, example=0.9)
    if quota is not None:
        _conditions.require_count(quota, "quota", "how many genes each class keeps")
    if cumulative is not None and ascending:
        msg = f"cumulative={cumulative} adds up scores, but ascending=True takes the smallest first. Leave one of them out."
        raise ValueError(msg)


def _check_finite(score: NDArray[np.float64], by: str) -> None:
    """Refuse the share of a sum that is infinite."""
    if endless := int(np.isposinf(score).sum()):
        msg = (
            f"by={by!r} is infinite for {endless} genes, so no share of its sum can be taken. Replace infinity by the "
            "largest finite value, or leave `cumulative` out."
        )
        raise ValueError(msg)


def _check_given(n_forced: int, n_given: int, n_genes: int, quota: int | None) -> None:
    """Refuse fewer genes than are to be taken in any case."""
    if n_forced > n_genes:
        msg = f"`force` names {n_forced} genes, but n_genes={n_genes}. Raise n_genes, or force fewer."
        raise ValueError(msg)
    if n_given > n_genes:
        msg = f"quota={quota} keeps {n_given} genes, forced ones included, but n_genes={n_genes}. Raise n_genes, or lower quota."
        raise ValueError(msg)
