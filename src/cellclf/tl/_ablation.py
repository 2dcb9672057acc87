"""Take genes away, or keep only some, and train again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellclf import _slots
from cellclf.tl._gene_groups import columns_of_set
from cellclf.tl._inputs import check_genes, check_number
from cellclf.tl._lesson import fetch, lesson, needed_rows
from cellclf.tl._model import resolve, truth
from cellclf.tl._rankings import ranking as ranking_of
from cellclf.tl._sizes import check_sizes
from cellclf.tl._tables import columns as columns_of
from cellclf.tl._trials import along_ranking, of_sets, summary_of, train_trials

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng

Mode = Literal["remove", "keep"]
Order = Literal["ranked", "given", "random"]
MODES: tuple[Mode, ...] = ("remove", "keep")
ORDERS: tuple[Order, ...] = ("ranked", "random")
GIVEN: tuple[Order, ...] = ("given", "random")
RANKING, SET = "importance", "genes"  # where nothing is named


@dataclass(frozen=True, eq=False)
class Ablation:
    """What networks reach that are trained without some genes, or with some only.

    Parameters
    ----------
    trainings
        One row per training: set (the name of a set of genes, empty along a ranking and for all genes), mode
        (``"remove"``, ``"keep"``, or ``"all"`` genes), order in which the genes were taken (``"ranked"``, ``"given"``,
        ``"random"``; ``"none"`` for all genes), n_genes removed or kept, repeat, and log_loss (nats), accuracy and
        macro_f1 on the rows judged.
    summary
        Means over the repeats, and their standard deviations (`log_loss_sd` and so on).
    interrupted
        Whether Ctrl-C came before all trainings were done.
    """

    trainings: pd.DataFrame
    summary: pd.DataFrame
    interrupted: bool = False

    def __str__(self) -> str:
        """Show the summary."""
        table = self.summary.to_string(index=False, float_format="{:.3f}".format)
        return f"{table}\n(interrupted)" if self.interrupted else table


def ablation(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    ranking: str | None = None,
    genes: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    sizes: Sequence[int] | None = None,
    modes: Sequence[Mode] = MODES,
    orders: Sequence[Order] | None = None,
    n_repeats: int = 3,
    rows: str | Sequence[bool] | np.ndarray | None = None,
    rng: Rng = 0,
    label: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    split: str = "split",
    key_added: str = "ablation",
) -> Ablation:
    """Take genes away from a classifier, or keep only some, train it again, and see what it has lost.

    Shuffling or deleting a gene asks what a trained network uses; ablation asks what a network *needs*: what is lost when
    one gene goes, a new training may find in another. Genes are taken in the order of a ranking, and at random; or in sets
    of your own, beside random sets of the same size. Each network is trained as the classifier was, on the rows it learnt
    from, scaling and weighing of the inputs included; genes taken away are not read at all (set to their mean for a network
    that reads them by their position).

    Ctrl-C ends the work with the trainings that are finished, and says so.

    Parameters
    ----------
    adata
        Annotated data, with the rows that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns['cellclf']`.
    ranking
        Column of `adata.var` that ranks the genes, the highest first, such as ``"importance"`` (which `None` stands for) or
        ``"mi"``. Not with `genes`.
    genes
        Instead of a ranking, the genes to remove or keep: a list of names, or a mapping of names of sets to lists. Genes
        that the classifier does not read have no say.
    sizes
        Numbers of genes removed or kept along the ranking. `None`: about 1, 4, 14 and 50 % of the classifier's genes. Not
        with `genes`.
    modes
        ``"remove"`` these genes, ``"keep"`` only these, or both.
    orders
        ``"ranked"`` (with `genes`: ``"given"``), ``"random"`` (as many genes drawn from all of the classifier's), or both
        (`None`).
    n_repeats
        Trainings of each kind; each has a seed of its own, and random genes of its own.
    rows
        Rows to judge on: ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: the test rows, else the
        validation rows, else all labelled rows.
    rng
        Seed or generator; the same seed gives the same trainings.
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
    An :class:`cellclf.tl.Ablation`. Sets the following fields:

    `adata.uns['ablation']` : dict
        Record of the call, with the columns of `trainings` and `summary`, `n_rows` and `interrupted`.

    Raises
    ------
    KeyError
        There is no classifier or ranking, or a column or layer is not in `adata`.
    TypeError
        A set of `genes` is a string.
    ValueError
        `adata` lacks rows or genes that the classifier was trained on, `ranking` is not numeric, a set holds no gene of the
        classifier or all of them, a mode, an order or a number is out of range, or `genes` is given together with
        `ranking` or `sizes`.
    KeyboardInterrupt
        The work was stopped before two trainings were finished.

    See Also
    --------
    cellclf.pl.ablation : the same as a picture.
    cellclf.tl.importance_check : the same question to the network as it is, without training.
    cellclf.tl.importance : ``method="ablation"`` writes what is lost without each of several sets as importance.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels", network=cc.nn.Linear(), fit=cc.Fit(epochs=10))
    >>> cc.tl.importance(adata, null=None)
    >>> found = cc.tl.ablation(adata, sizes=[20], orders=["ranked"], n_repeats=1)
    >>> list(found.summary["mode"])
    ['all', 'remove', 'keep']
    """
    _slots.check_key(key_added)
    model = resolve(adata, classifier, "cellclf")
    check_genes(model)
    check_number("n_repeats", n_repeats, "trainings")
    kinds = ORDERS if genes is None else GIVEN
    chosen = _choices("modes", modes, MODES), _choices("orders", kinds if orders is None else orders, kinds)
    if genes is not None and (ranking is not None or sizes is not None):
        msg = "genes= names what to remove or keep, so ranking and sizes have no say. Leave out one or the other."
        raise ValueError(msg)
    _, codes = truth(adata, model, label)
    mask = _slots.chosen_rows(adata, rows, split, codes >= 0)
    learnt = needed_rows(adata, model, codes, split)
    place, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    material = lesson(adata, model, codes, learnt, layer=layer, gene_symbols=gene_symbols)
    plan = n_repeats, np.random.default_rng(rng)
    if genes is None:
        points = _sizes(sizes, len(place))
        ranked = np.argsort(-ranking_of(adata, ranking or RANKING, "ranking", place), kind="stable")
        trials = along_ranking(ranked, points, *chosen, *plan)
    else:
        sets = _sets(genes, model, adata.var_names.to_numpy(dtype=object)[place])
        trials = of_sets(sets, len(place), *chosen, *plan)
    _, values = fetch(adata, model, place, mask, layer=layer)
    trainings, interrupted = train_trials(model, material, values, codes[mask], trials)
    result = Ablation(trainings, summary_of(trainings), interrupted)
    call: dict[str, Any] = {"ranking": ranking, "genes": genes, "sizes": sizes, "modes": chosen[0], "orders": chosen[1]}
    call |= {"n_repeats": n_repeats, "rows": rows if rows is None or isinstance(rows, str) else "mask", "rng": rng}
    call |= {"label": label, "layer": layer, "gene_symbols": gene_symbols, "split": split, "key_added": key_added}
    record = _slots.record(
        "tl.ablation",
        call,
        classes=model.classes,
        trainings=columns_of(trainings),
        summary=columns_of(result.summary),
        n_rows=int(mask.sum()),
        interrupted=interrupted,
    )
    _slots.write(adata, {"uns": {key_added: record}})
    return result


def _sizes(sizes: Sequence[int] | None, n_genes: int) -> np.ndarray:
    """Return the numbers of genes removed or kept; some must go, and some stay."""
    if sizes is None:
        sizes = np.unique(np.geomspace(max(1, n_genes / 100), max(1, n_genes / 2), 4).round().astype(np.int64)).tolist()
    found = check_sizes(sizes, n_genes - 1, n_points=0)
    if found[0] == 0:
        msg = "sizes holds 0: nothing would be removed, or kept. Give numbers of 1 or more; all genes are trained on anyway."
        raise ValueError(msg)
    return found


def _sets(genes: Any, model: Classifier, names: np.ndarray) -> dict[str, np.ndarray]:
    """Find the user's genes among those of the model, which are called `names` in the AnnData; some must stay."""
    given = genes if isinstance(genes, Mapping) else {SET: genes}
    sets = {str(name): columns_of_set(f"genes[{name!r}]", given[name], model, names) for name in given}
    if not sets:
        msg = f"genes={genes!r} names no set. Give a list of genes, or a mapping of names to such lists."
        raise ValueError(msg)
    for name, columns in sets.items():
        if len(columns) == len(names):
            msg = f"genes[{name!r}] holds all {len(names)} genes of the classifier: none would stay, or go. Give fewer."
            raise ValueError(msg)
    return sets


def _choices(name: str, given: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Check names against those known."""
    chosen = (given,) if isinstance(given, str) else tuple(given)
    if not chosen or set(chosen) - set(known) or len(set(chosen)) < len(chosen):
        msg = f"{name}={given!r} is not understood. Give {' or '.join(map(repr, known))}, or both."
        raise ValueError(msg)
    return chosen
