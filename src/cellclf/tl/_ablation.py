"""Take genes away, or keep only some, and train again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax
from tqdm.auto import tqdm

from cellclf import _slots, stats
from cellclf.fit._apply import logits
from cellclf.fit._hardware import device_of
from cellclf.tl._inputs import check_genes, check_number
from cellclf.tl._lesson import fetch, lesson, needed_rows, teach
from cellclf.tl._model import resolve, truth
from cellclf.tl._sizes import check_sizes
from cellclf.tl._tables import columns as columns_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng
    from cellclf.tl._lesson import Lesson

Mode = Literal["remove", "keep"]
Order = Literal["ranked", "random"]
MODES: tuple[Mode, ...] = ("remove", "keep")
ORDERS: tuple[Order, ...] = ("ranked", "random")
MEASURES = ("log_loss", "accuracy", "macro_f1")


@dataclass(frozen=True, eq=False)
class Ablation:
    """What networks reach that are trained without some genes, or with some only.

    Parameters
    ----------
    trainings
        One row per training: mode (``"remove"``, ``"keep"``, or ``"all"`` genes), order in which the genes were taken
        (``"ranked"``, ``"random"``; ``"none"`` for all genes), n_genes removed or kept, repeat, and log_loss (nats),
        accuracy and macro_f1 on the rows judged.
    summary
        Means over the repeats, and their standard deviations (`log_loss_sd` and so on).
    """

    trainings: pd.DataFrame
    summary: pd.DataFrame

    def __str__(self) -> str:
        """Show the summary."""
        return self.summary.to_string(index=False, float_format="{:.3f}".format)


def ablation(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    ranking: str = "importance",
    sizes: Sequence[int] | None = None,
    modes: Sequence[Mode] = MODES,
    orders: Sequence[Order] = ORDERS,
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
    one gene goes, a new training may find in another. Genes are taken in the order of a ranking, and at random. Each
    network is trained as the classifier was, on the rows it learnt from, scaling and weighing of the inputs included;
    genes taken away are not read at all (set to their mean for a network that reads them by their position).

    Parameters
    ----------
    adata
        Annotated data, with the rows that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns['cellclf']`.
    ranking
        Column of `adata.var` that ranks the genes, the highest first, such as ``"importance"`` or ``"mi"``.
    sizes
        Numbers of genes removed or kept. `None`: about 1, 4, 14 and 50 % of the classifier's genes.
    modes
        ``"remove"`` so many genes, ``"keep"`` only so many, or both.
    orders
        ``"ranked"``, ``"random"``, or both.
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
        Record of the call, with the columns of `trainings` and `summary`, and `n_rows`.

    Raises
    ------
    KeyError
        There is no classifier or ranking, or a column or layer is not in `adata`.
    ValueError
        `adata` lacks rows or genes that the classifier was trained on, `ranking` is not numeric, a mode, an order or a
        number is out of range.

    See Also
    --------
    cellclf.pl.ablation : the same as a picture.
    cellclf.tl.importance_check : the same question to the network as it is, without training.

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
    model = resolve(adata, classifier, "cellclf")
    check_genes(model)
    check_number("n_repeats", n_repeats, "trainings")
    chosen = _choices("modes", modes, MODES), _choices("orders", orders, ORDERS)
    _, codes = truth(adata, model, label)
    mask = _slots.chosen_rows(adata, rows, split, codes >= 0)
    learnt = needed_rows(adata, model, codes, split)
    place, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    material = lesson(adata, model, codes, learnt, layer=layer, gene_symbols=gene_symbols)
    points = _sizes(sizes, len(place))
    ranked = _ranked(adata, ranking, place)
    _, values = fetch(adata, model, place, mask, layer=layer)
    plan = _plan(ranked, points, *chosen, n_repeats, np.random.default_rng(rng))
    found = []
    for trial in tqdm(plan, desc="ablation", unit="training", leave=False, delay=1):
        measures = _measured(model, material, values, codes[mask], trial)
        found.append((trial.mode, trial.order, trial.n_genes, trial.repeat, *measures))
    trainings = pd.DataFrame(found, columns=["mode", "order", "n_genes", "repeat", *MEASURES])
    result = Ablation(trainings, _summary(trainings))
    call: dict[str, Any] = {
        "ranking": ranking,
        "sizes": sizes,
        "modes": chosen[0],
        "orders": chosen[1],
        "n_repeats": n_repeats,
    }
    call |= {
        "rows": rows if rows is None or isinstance(rows, str) else "mask",
        "rng": rng,
        "label": label,
        "layer": layer,
    }
    call |= {"gene_symbols": gene_symbols, "split": split, "key_added": key_added}
    record = _slots.record(
        "tl.ablation",
        call,
        classes=model.classes,
        trainings=columns_of(trainings),
        summary=columns_of(result.summary),
        n_rows=int(mask.sum()),
    )
    _slots.write(adata, {"uns": {key_added: record}})
    return result


class _Trial(NamedTuple):
    """A training to be done: with the genes `kept` (columns of the model's genes)."""

    mode: str
    order: str
    n_genes: int
    repeat: int
    kept: np.ndarray
    seed: int


def _plan(
    ranked: np.ndarray,
    sizes: np.ndarray,
    modes: tuple[str, ...],
    orders: tuple[str, ...],
    n_repeats: int,
    generator: np.random.Generator,
) -> list[_Trial]:
    """List all trainings; those of a repeat share their seed and their random order."""
    trials = []
    every = np.sort(ranked)
    for repeat in range(n_repeats):
        seed, shuffled = int(generator.integers(2**62)), generator.permutation(every)
        trials.append(_Trial("all", "none", len(every), repeat, every, seed))
        for mode in modes:
            for order in orders:
                genes = ranked if order == "ranked" else shuffled
                for size in sizes.tolist():
                    kept = genes[:size] if mode == "keep" else genes[size:]
                    trials.append(_Trial(mode, order, size, repeat, np.sort(kept), seed))
    return trials


def _measured(
    model: Classifier, material: Lesson, values: np.ndarray, y: np.ndarray, trial: _Trial
) -> tuple[float, float, float]:
    """Train on the genes that are kept, and judge the network."""
    title = f"{trial.mode} {trial.n_genes}, {trial.order}"
    kept, silent = trial.kept, None
    if model.network.first_linear is None:
        silent = np.isin(np.arange(values.shape[1]), kept, invert=True)
        kept = np.arange(values.shape[1])
    pupil = teach(model, material.part(genes=kept), seed=trial.seed, title=title, silent=silent)
    x = pupil.preprocessing.apply(np.ascontiguousarray(values[:, kept]))
    if silent is not None:
        x[:, silent] = 0
    proba = softmax(logits(pupil.network, x, device_of(model.options.device)) / model.temperature, axis=1)
    table = stats.confusion(y, proba.argmax(axis=1), len(model.classes))
    return stats.log_loss(proba, y), stats.accuracy(table), stats.macro_f1(table)


def _summary(trainings: pd.DataFrame) -> pd.DataFrame:
    """Average over the repeats."""
    groups = trainings.groupby(["mode", "order", "n_genes"], sort=False)[list(MEASURES)]
    spread = groups.std(ddof=1).add_suffix("_sd")
    return groups.mean().join(spread).reset_index()


def _sizes(sizes: Sequence[int] | None, n_genes: int) -> np.ndarray:
    """Return the numbers of genes removed or kept; some must go, and some stay."""
    if sizes is None:
        sizes = np.unique(np.geomspace(max(1, n_genes / 100), max(1, n_genes / 2), 4).round().astype(np.int64)).tolist()
    found = check_sizes(sizes, n_genes - 1, n_points=0)
    if found[0] == 0:
        msg = "sizes holds 0: nothing would be removed, or kept. Give numbers of 1 or more; all genes are trained on anyway."
        raise ValueError(msg)
    return found


def _ranked(adata: AnnData, ranking: str, place: np.ndarray) -> np.ndarray:
    """Return the columns of the model's genes from the highest to the lowest; a missing value ranks last."""
    column = _slots.member(adata.var, ranking, "ranking", "adata.var")
    if not pd.api.types.is_numeric_dtype(column.dtype):
        msg = f"adata.var[{ranking!r}] ({column.dtype}) is no ranking. Name a column of numbers."
        raise ValueError(msg)
    values = column.to_numpy(dtype=np.float64)[place]
    return np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")


def _choices(name: str, given: Sequence[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Check names against those known."""
    chosen = (given,) if isinstance(given, str) else tuple(given)
    if not chosen or set(chosen) - set(known) or len(set(chosen)) < len(chosen):
        msg = f"{name}={given!r} is not understood. Give {' or '.join(map(repr, known))}, or both."
        raise ValueError(msg)
    return chosen
