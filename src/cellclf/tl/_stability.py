"""Train again and again, and see whether the same genes matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellclf import _slots
from cellclf.attribution import first_layer_norms, permutation_importance
from cellclf.fit._hardware import device_of
from cellclf.tl._agreement import INDICES, compared
from cellclf.tl._inputs import check_genes, check_number, spread
from cellclf.tl._lesson import fetch, lesson, needed_rows
from cellclf.tl._model import resolve, truth
from cellclf.tl._tables import columns as columns_of
from cellclf.tl._trainings import plan_trainings, scores_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng
    from cellclf.tl._lesson import Pupil


@dataclass(frozen=True, eq=False)
class Stability:
    """How far trainings agree on the genes that matter.

    Parameters
    ----------
    genes
        One row per gene of the classifier, the most often chosen first: `frequency` (share of the trainings in which it is
        among the first `n_top`), `mean` and `sd` of its importance, `rank` (mean) and `rank_sd`, 1 for the most important.
    overlap
        One row per pair of trainings: `jaccard` and `kuncheva` index of their first genes, and `spearman` rank correlation
        of all. Kuncheva's index :cite:p:`Kuncheva2007` is 0 for the overlap that chance gives, 1 for the same genes.
    n_top
        How many first genes are compared.
    n_trainings
        How many trainings are compared.
    interrupted
        Whether Ctrl-C came before all were done.
    """

    genes: pd.DataFrame
    overlap: pd.DataFrame
    n_top: int
    n_trainings: int
    interrupted: bool = False

    def __str__(self) -> str:
        """Show the mean overlap."""
        means = ", ".join(f"{name} {self.overlap[name].mean():.2f}" for name in INDICES)
        end = " (interrupted)" if self.interrupted else ""
        return f"{len(self.genes)} genes, first {self.n_top} of each of {self.n_trainings} trainings compared: {means}{end}"


def stability(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    method: Literal["permutation", "weights"] = "permutation",
    n_trainings: int = 10,
    subsample: float | None = None,
    n_top: int = 50,
    n_repeats: int = 5,
    rows: str | Sequence[bool] | np.ndarray | None = None,
    rng: Rng = 0,
    label: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    split: str = "split",
    key_added: str = "stability",
) -> Stability:
    """Train a classifier several times, measure the importance of the genes each time, and compare.

    Each network is trained as the classifier was, on the same genes and rows, with a seed of its own; with `subsample`
    on a share of the rows of each class, drawn anew each time, which also shows how far the genes depend on the cells
    that happened to be there (stability selection :cite:p:`Meinshausen2010`). Small networks of :class:`cellclf.nn.MLP`
    and :class:`cellclf.nn.Linear` are trained side by side, each on batches of its own.

    Ctrl-C ends the work with the trainings that are finished, if there are two, and says so; where all are trained side by
    side, with all of them as far as they have come.

    Parameters
    ----------
    adata
        Annotated data, with the rows that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns['cellclf']`.
    method
        ``"permutation"`` (rise of the log loss) or ``"weights"`` (sum of absolute weights in the first layer).
    n_trainings
        Number of trainings, at least two.
    subsample
        Share of the training rows of each class that a training sees. `None`: all of them; only the seeds differ.
    n_top
        How many first genes of the trainings are compared.
    n_repeats
        Number of permutations.
    rows
        Rows for permutation: ``"train"``, ``"valid"``, ``"test"`` or a boolean mask (n_obs). `None`: the test rows, else
        the validation rows, else all labelled rows.
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
        Name of the written fields; it stands for `stability` in each of them.

    Returns
    -------
    A :class:`cellclf.tl.Stability`. Sets the following fields:

    `adata.var['stability']` : :class:`pandas.Series` (n_vars, float64)
        Share of the trainings in which the gene is among the first `n_top`; 0 for genes that are not read.
    `adata.var['stability_mean']`, `adata.var['stability_sd']` : :class:`pandas.Series` (n_vars, float64)
        Mean importance over the trainings and its standard deviation; 0 for genes that are not read.
    `adata.var['stability_rank']` : :class:`pandas.Series` (n_vars, float64)
        Mean rank, 1 for the most important; NaN for genes that are not read.
    `adata.uns['stability']` : dict
        Record of the call, with `n_top`, `n_trainings` (those compared), `interrupted`, the columns of `overlap`, and its
        means `jaccard`, `kuncheva`, `spearman`.

    Raises
    ------
    KeyError
        There is no classifier, or a column or layer is not in `adata`.
    TypeError
        `method="weights"` and a network without a first linear layer.
    ValueError
        `adata` lacks rows or genes that the classifier was trained on, a number is out of range, or an option of
        permutation is given with `method="weights"`.
    KeyboardInterrupt
        The work was stopped before two networks could be compared.

    See Also
    --------
    cellclf.pl.stability : the same as a picture.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels", network=cc.nn.Linear(), fit=cc.Fit(epochs=10))
    >>> found = cc.tl.stability(adata, n_trainings=3, method="weights")
    >>> len(found.overlap)
    3
    """
    _slots.check_key(key_added)
    model = resolve(adata, classifier, "cellclf")
    check_genes(model)
    _check(method, n_trainings, subsample, n_top, n_repeats, rows)
    _, codes = truth(adata, model, label)
    learnt = needed_rows(adata, model, codes, split)
    mask = _slots.chosen_rows(adata, rows, split, codes >= 0)
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    material = lesson(adata, model, codes, learnt, layer=layer, gene_symbols=gene_symbols)
    values = fetch(adata, model, columns, mask, layer=layer)[1] if method == "permutation" else None
    plan = plan_trainings(n_trainings, material.y, subsample, np.random.default_rng(rng))

    def measure(pupil: Pupil, seed: int) -> np.ndarray:
        return _importance(model, pupil, values, codes[mask], n_repeats, seed)

    scores, interrupted = scores_of(model, material, plan, measure)
    n_first = min(n_top, len(columns))
    tables = compared(np.array(scores), model.genes, n_first)
    result = Stability(tables.genes, tables.overlap, n_first, len(scores), interrupted)
    table = result.genes.loc[[str(gene) for gene in model.genes]]
    var = {
        key_added: spread(adata, columns, table["frequency"].to_numpy()),
        f"{key_added}_mean": spread(adata, columns, table["mean"].to_numpy()),
        f"{key_added}_sd": spread(adata, columns, table["sd"].to_numpy()),
        f"{key_added}_rank": spread(adata, columns, table["rank"].to_numpy(), np.nan),
    }
    call: dict[str, Any] = {"method": method, "n_trainings": n_trainings, "subsample": subsample, "n_top": n_top}
    call |= {"n_repeats": n_repeats, "rows": rows if rows is None or isinstance(rows, str) else "mask", "rng": rng}
    call |= {"label": label, "layer": layer, "gene_symbols": gene_symbols, "split": split, "key_added": key_added}
    means: dict[str, Any] = {name: float(result.overlap[name].mean()) for name in INDICES}
    record = _slots.record(
        "tl.stability",
        call,
        classes=model.classes,
        method=method,
        n_trainings=result.n_trainings,
        interrupted=result.interrupted,
        n_top=result.n_top,
        overlap=columns_of(result.overlap),
        **means,
    )
    _slots.write(adata, {"var": var, "uns": {key_added: record}})
    return result


def _check(method: str, n_trainings: int, subsample: float | None, n_top: int, n_repeats: int, rows: object) -> None:
    """Refuse what has no meaning, before any work."""
    if method not in {"permutation", "weights"}:
        msg = f"method={method!r} is not known. Choose 'permutation' or 'weights'."
        raise ValueError(msg)
    check_number("n_trainings", n_trainings, "trainings", 2)
    check_number("n_top", n_top, "genes")
    check_number("n_repeats", n_repeats, "permutations")
    if subsample is not None and not 0 < subsample < 1:
        msg = (
            f"subsample={subsample!r} is not a share of the rows. Give a number between 0 and 1, or None for all rows."
        )
        raise ValueError(msg)
    idle = [name for name, given in (("rows", rows is not None), ("n_repeats", n_repeats != 5)) if given]
    if method == "weights" and idle:
        msg = f"method='weights' shuffles nothing, so {_slots.listing(idle)} would do nothing. Leave it out."
        raise ValueError(msg)


def _importance(
    model: Classifier, pupil: Pupil, values: np.ndarray | None, y: np.ndarray, n_repeats: int, seed: int
) -> np.ndarray:
    """Measure the importance of each gene in one network."""
    if values is None:
        return first_layer_norms(pupil.network) * pupil.preprocessing.weight.astype(np.float64)
    found = permutation_importance(
        pupil.network.to(device_of(model.options.device)),
        pupil.preprocessing.apply(values),
        y,
        n_repeats=n_repeats,
        seed=seed,
        temperature=model.temperature,
    )
    if found.interrupted:
        raise KeyboardInterrupt
    return found.by_repeat.mean(axis=1)
