"""Check whether rankings of genes are faithful to a classifier."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cellclf import _slots
from cellclf.attribution import replacement_curve
from cellclf.fit._hardware import device_of
from cellclf.tl._inputs import check_genes, check_number, inputs
from cellclf.tl._lesson import likely_rows
from cellclf.tl._model import resolve, truth
from cellclf.tl._rankings import agreement, information, rankings_of
from cellclf.tl._sizes import check_sizes
from cellclf.tl._tables import columns as columns_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng

logger = logging.getLogger("cellclf")

KINDS: tuple[Literal["deletion", "insertion"], ...] = ("deletion", "insertion")
MEASURES = ("log_loss", "accuracy", "macro_f1")
INFORMATION, RANDOM = "mi_corrected", "random"


@dataclass(frozen=True, eq=False)
class ImportanceCheck:
    """How faithful rankings of genes are to a classifier, and how far they agree.

    Parameters
    ----------
    curves
        One row per ranking, kind (deletion or insertion) and number of genes: log_loss (nats), accuracy and macro_f1 when
        the first genes of the ranking give way to the mean training cell, or alone are kept; for the random ranking the
        mean over the draws. `log_loss_sd` is their standard deviation.
    summary
        One row per ranking: the mean log loss over the points of its deletion curve (the higher the better), and of its
        insertion curve (the lower the better).
    agreement
        One row per pair of rankings: rank correlation (Spearman), and share of the first genes in common.
    interrupted
        Whether Ctrl-C came before all rankings had their curves.
    """

    curves: pd.DataFrame
    summary: pd.DataFrame
    agreement: pd.DataFrame
    interrupted: bool = False

    def __str__(self) -> str:
        """Show the summary."""
        table = self.summary.to_string(float_format="{:.3f}".format)
        return f"{table}\n(interrupted)" if self.interrupted else table


def importance_check(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    rankings: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    n_random: int = 5,
    n_top: int = 50,
    rows: str | Sequence[bool] | np.ndarray | None = None,
    rng: Rng = 0,
    label: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    split: str = "split",
    key_added: str = "importance_check",
) -> ImportanceCheck:
    """Delete and insert genes in the order of each ranking, and compare the rankings with one another.

    If a ranking is faithful, the classifier fails soon when its first genes are taken away (*deletion*), and does well
    soon when it is given them alone (*insertion*). What is taken away gives way to the mean training cell; nothing is
    trained again (:func:`cellclf.tl.ablation` does that). Beside the rankings stand a random one and that by mutual
    information with the label on the training rows, which knows nothing of the classifier.

    Ctrl-C ends the work with the rankings that have both curves, and says so.

    Parameters
    ----------
    adata
        Annotated data with rankings in `adata.var`. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns['cellclf']`.
    rankings
        Columns of `adata.var`, the higher the more important. `None`: all that :func:`cellclf.tl.importance` wrote.
    sizes
        Numbers of genes at which the classifier is measured. `None`: 0, and some 15 from 1 to all of its genes, evenly
        spaced on a logarithmic scale.
    n_random
        Number of random rankings.
    n_top
        Number of first genes whose overlap is counted.
    rows
        ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: the test rows, else the validation rows,
        else all labelled rows.
    rng
        Seed or generator of the random rankings.
    label
        Column of `adata.obs` with the true classes. `None`: the one that the classifier was trained on.
    layer
        Layer to use. `None`: the one that the classifier was trained on; ``"X"``: X itself.
    gene_symbols
        Column of `adata.var` with the gene names to match on, instead of `adata.var_names`.
    split
        Column of `adata.obs` with train / valid / test.
    key_added
        Key of `adata.uns` for the record.

    Returns
    -------
    An :class:`cellclf.tl.ImportanceCheck`. Sets the following fields:

    `adata.uns['importance_check']` : dict
        Record of the call, with the columns of `curves`, `summary` and `agreement`, `n_rows` and `interrupted`.

    Raises
    ------
    KeyError
        There is no classifier or no ranking, or a column or layer is not in `adata`.
    ValueError
        A ranking is not numeric, a number is out of range, or as for :func:`cellclf.tl.importance`.
    KeyboardInterrupt
        The work was stopped before the first ranking had its curves.

    See Also
    --------
    cellclf.pl.importance_check : the curves as a picture.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> cc.tl.importance(adata, null=None)
    >>> check = cc.tl.importance_check(adata)
    >>> list(check.summary.index)
    ['importance', 'mi_corrected', 'random']
    """
    _slots.check_key(key_added)
    model = resolve(adata, classifier, "cellclf")
    check_genes(model)
    check_number("n_random", n_random, "rankings")
    check_number("n_top", n_top, "genes")
    _, codes = truth(adata, model, label)
    mask = _slots.chosen_rows(adata, rows, split, codes >= 0)
    place, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    read = np.flatnonzero(place >= 0)
    points = check_sizes(sizes, len(read), n_points=15)
    scores = rankings_of(adata, rankings, place[read])
    _check_names(scores)
    if INFORMATION not in scores:
        learnt = np.where(likely_rows(adata, model, codes, split), codes, -1)
        scores[INFORMATION] = information(adata, model, learnt, place[read], layer)
    generator = np.random.default_rng(rng)
    orders = {name: [read[np.argsort(-score, kind="stable")]] for name, score in scores.items()}
    orders[RANDOM] = [read[generator.permutation(len(read))] for _ in range(n_random)]
    x = inputs(adata, model, mask, layer=layer, gene_symbols=gene_symbols)
    fill = model.inputs(model.preprocessing.fill[None])[0]
    curves = _curves(model, x, codes[mask], orders, points, fill)
    summary, interrupted = _summary(curves), curves["ranking"].nunique() < len(orders)
    result = ImportanceCheck(curves, summary, agreement(scores, min(n_top, len(read))), interrupted)
    call: dict[str, Any] = {"rankings": rankings, "sizes": sizes, "n_random": n_random, "n_top": n_top, "rng": rng}
    call |= {"rows": rows if rows is None or isinstance(rows, str) else "mask", "label": label, "layer": layer}
    call |= {"gene_symbols": gene_symbols, "split": split, "key_added": key_added}
    record = _slots.record(
        "tl.importance_check",
        call,
        classes=model.classes,
        curves=columns_of(curves),
        summary=columns_of(result.summary.reset_index()),
        agreement=columns_of(result.agreement),
        n_rows=int(mask.sum()),
        interrupted=interrupted,
    )
    _slots.write(adata, {"uns": {key_added: record}})
    return result


def _check_names(scores: dict[str, np.ndarray]) -> None:
    """Refuse a name that is taken."""
    if RANDOM in scores:
        msg = (
            f"rankings names {RANDOM!r}, which is what the rankings by chance are called. Give the column another name."
        )
        raise ValueError(msg)


def _curves(
    model: Classifier,
    x: np.ndarray,
    y: np.ndarray,
    orders: dict[str, list[np.ndarray]],
    sizes: np.ndarray,
    fill: np.ndarray,
) -> pd.DataFrame:
    """Measure the network along each ranking; Ctrl-C keeps the rankings that are finished."""
    network = model.network.to(device_of(model.options.device))
    along = partial(replacement_curve, network, x, y, sizes=sizes, fill=fill, temperature=model.temperature)
    found: list[pd.DataFrame] = []
    try:
        with tqdm(total=len(orders), desc="importance check", unit="ranking", leave=False, delay=1) as bar:
            for name, draws in orders.items():
                found.append(_curves_of(name, draws, sizes, along))
                bar.update(1)
    except KeyboardInterrupt:
        if not found:
            raise
        logger.warning("Interrupted: %d of %d rankings have their curves.", len(found), len(orders))
    return pd.concat(found, ignore_index=True)


def _curves_of(name: str, draws: list[np.ndarray], sizes: np.ndarray, along: Callable[..., np.ndarray]) -> pd.DataFrame:
    """Return deletion and insertion curve of one ranking, as means over its draws; `along` measures at these sizes."""
    tables = []
    for kind in KINDS:
        found = np.stack([along(order, kind=kind) for order in draws])
        table = pd.DataFrame(found.mean(axis=0), columns=list(MEASURES))
        table.insert(0, "n_genes", sizes)
        table.insert(0, "kind", kind)
        table.insert(0, "ranking", name)
        table["log_loss_sd"] = found[:, :, 0].std(axis=0, ddof=1) if len(draws) > 1 else np.nan
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _summary(curves: pd.DataFrame) -> pd.DataFrame:
    """Average the log loss along each curve."""
    means = curves.groupby(["ranking", "kind"], sort=False)["log_loss"].mean().unstack("kind")
    names = curves["ranking"].unique()
    return means.loc[names, list(KINDS)].rename_axis("ranking").rename_axis(None, axis=1)
