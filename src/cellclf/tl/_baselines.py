"""What simpler models reach on the same folds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm.auto import tqdm

from cellclf import _slots
from cellclf.tl import _answers, _folds, _rivals, _study
from cellclf.tl._inputs import check_number
from cellclf.tl._rivals import MODELS
from cellclf.tl._tables import columns as columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from cellclf._types import Rng
    from cellclf.fit import Fit
    from cellclf.nn._registry import Description
    from cellclf.tl._answers import Judged
    from cellclf.tl._folds import Fold
    from cellclf.tl._rivals import Estimator
    from cellclf.tl._study import Study


@dataclass(frozen=True, eq=False)
class Baselines:
    """What several models reach on the same folds.

    Parameters
    ----------
    summary
        One row per scheme (as in :class:`cellclf.tl.CrossValidation`, or ``"valid"`` and ``"test"`` with `split`) and model:
        `network`, `linear` and `prior` are those of cellclf. `accuracy`, `balanced_accuracy`, `macro_f1` and `log_loss` (nats,
        NaN for models without probabilities) of all folds together, their standard deviations over the folds, and
        `seconds` of a fold.
    folds
        The same measures for each fold and model, with `settings`, those chosen from a grid (JSON).
    interrupted
        Whether the user stopped the work; the folds that were finished are there.
    """

    summary: pd.DataFrame
    folds: pd.DataFrame
    interrupted: bool = False

    def __str__(self) -> str:
        """Show the models side by side."""
        shown = self.summary[["scheme", "model", *_answers.METRICS, "seconds"]]
        text = shown.to_string(index=False, float_format="{:.3f}".format)
        return f"{text}\nunfinished: stopped by the user" if self.interrupted else text


def baselines(
    adata: AnnData,
    label: str | None = None,
    *,
    models: Sequence[str] | Mapping[str, Estimator] = MODELS,
    grid: bool = False,
    network: Description | None = None,
    fit: Fit | None = None,
    genes: str | Sequence[str] = "auto",
    scale: Literal["auto", "zscore", "none"] = "auto",
    n_folds: int = 5,
    n_repeats: int = 1,
    groups: str | None = None,
    batch: str | None = None,
    split: str | None = None,
    layer: str | None = None,
    use_rep: str | None = None,
    rng: Rng = 0,
    key_added: str = "baselines",
) -> Baselines:
    """Compare the network with the models that everyone would try first.

    All learn from the same genes of the same rows and are judged on the same others; whatever is chosen or learnt is
    chosen and learnt within each fold. Folds and network are those of :func:`cellclf.tl.cross_validate` with the same
    arguments. The other models are scikit-learn's :cite:p:`Pedregosa2011`. They see counts divided by the total of the
    cell, times 10 000, as log1p; other values z-scored on the training rows; an embedding as it is.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. X is not changed.
    label
        Column of `adata.obs` with the class of each cell; cells without one are left out. `None`: the one recorded on
        this AnnData, else the only column that can be a label.
    models
        Names, of ``"linear_svc"`` (C = 1, one against the rest), ``"svc"`` (linear kernel, one against one),
        ``"logistic_regression"`` (C = 0.1), ``"random_forest"`` (200 trees), ``"nearest_neighbors"`` (15) and
        ``"kernel_pca_forest"`` (164 components, linear kernel, 100 trees of depth 15); or a mapping of names of one's own to
        classifiers of scikit-learn's kind, which are cloned.
    grid
        Choose the settings of each named model from a grid, by macro-F1 on three folds within the training rows. The
        grid of ``"kernel_pca_forest"`` has 60 points.
    network
        The network to compare with, such as :class:`cellclf.nn.MLP` (default) or :class:`cellclf.nn.Linear`.
    fit
        How to train it; `None` for the defaults of :class:`cellclf.Fit`. Its `preprocess` holds for the other models, too.
    genes
        As for :func:`cellclf.tl.cross_validate`.
    scale
        ``"zscore"`` or ``"none"``, for the other models; ``"auto"`` as said above.
    n_folds
        Number of folds. Has no meaning with `batch` or `split`.
    n_repeats
        How often to deal the cells anew. Not with `batch` or `split`.
    groups
        Column of `adata.obs` with groups of cells (donors, patients) that are left out together.
    batch
        Column of `adata.obs` with batches that are left out one at a time.
    split
        Column of `adata.obs` with train / valid / test: all models learn from the rows marked train, once, and are judged
        on those marked valid and test. `None`: folds.
    layer
        Layer to use instead of X.
    use_rep
        Embedding in `adata.obsm` to use instead of genes, such as ``"X_cellclf"`` of an autoencoder.
    rng
        Seed or generator; the same seed gives the same folds and trainings.
    key_added
        Key of `adata.uns` for the record.

    Returns
    -------
    The :class:`cellclf.tl.Baselines`. Sets the following fields:

    `adata.uns['baselines']` : dict
        Record of the call; the columns of `summary` and `folds`; `classes`; `interrupted`.

    Raises
    ------
    KeyError
        A column, layer, embedding or gene is not in `adata` (the message lists what is).
    KeyboardInterrupt
        The work was stopped before a fold was finished; later, the finished folds are returned.
    TypeError
        A model is no classifier.
    ValueError
        An unknown model, arguments that exclude each other, or as for :func:`cellclf.tl.cross_validate`.

    See Also
    --------
    cellclf.pl.baselines : the same as a picture.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=5), "n_folds": 3}
    >>> found = cc.tl.baselines(adata, "bulk_labels", models=["nearest_neighbors"], **quick)
    >>> found.summary["model"].tolist()
    ['network', 'linear', 'prior', 'nearest_neighbors']
    """
    _slots.check_key(key_added)
    _check(scale, n_repeats, n_folds, groups, batch, split)
    _rivals.check_models(models, grid)
    study = _study.study(adata, label, network=network, fit=fit, genes=genes, layer=layer, use_rep=use_rep)
    generator = np.random.default_rng(rng)
    if split is None:
        folds = _folds.deal(
            adata, study.found, n_folds=n_folds, n_repeats=n_repeats, groups=groups, batch=batch, generator=generator
        )
    else:
        folds = _folds.of_split(adata, study.found, split)
    trainings = [list(part) for _, part in groupby(folds, key=lambda fold: id(fold.train))]
    done, interrupted = _study.judge_in_turn(partial(_judged, study, models, grid, scale), trainings, generator)
    n_classes = len(study.found.classes)
    table = _answers.by_fold(done, n_classes)
    result = Baselines(_answers.summarised(done, table, n_classes), table, interrupted)
    call: dict[str, Any] = {"label": label, "models": list(models), "grid": grid, "network": network, "fit": fit}
    call |= {"genes": genes, "scale": scale, "n_folds": n_folds, "n_repeats": n_repeats, "groups": groups}
    call |= {"batch": batch, "split": split, "layer": layer, "use_rep": use_rep, "rng": rng, "key_added": key_added}
    record = _slots.record(
        "tl.baselines",
        call,
        classes=study.found.classes,
        label=study.found.name,
        interrupted=interrupted,
        summary=columns_of(result.summary),
        folds=columns_of(result.folds),
    )
    _slots.write(adata, {"uns": {key_added: record}})
    return result


def _check(scale: str, n_repeats: int, n_folds: int, groups: str | None, batch: str | None, split: str | None) -> None:
    """Refuse what has no meaning, before any work."""
    check_number("n_repeats", n_repeats, "repeats")
    if scale not in {"auto", "zscore", "none"}:
        msg = f"scale={scale!r} is not known. Choose 'auto', 'zscore' or 'none'."
        raise ValueError(msg)
    given = {
        "n_folds": n_folds != 5,
        "n_repeats": n_repeats > 1,
        "groups": groups is not None,
        "batch": batch is not None,
    }
    idle = [name for name, there in given.items() if there]
    if split is not None and idle:
        msg = f"split={split!r} says which rows are judged, so {_slots.listing(idle)} would do nothing. Leave it out."
        raise ValueError(msg)


def _judged(
    study: Study,
    models: Sequence[str] | Mapping[str, Estimator],
    grid: bool,
    scale: str,
    folds: Sequence[Fold],
    seed: int,
) -> list[Judged]:
    """Train all models once, and judge them on what each of the folds leaves out."""
    judged, train = study.judged(folds, seed), folds[0].train
    x, tests = _rivals.inputs(study, train, [fold.test for fold in folds], scale)
    y = study.found.codes[train]
    for name in tqdm(list(models), desc="baselines", unit="model", leave=False, delay=1):
        start = time.perf_counter()
        fitted, settings = _rivals.fitted(name, models, grid, x, y, seed)
        seconds = time.perf_counter() - start
        for fold, test in zip(judged, tests, strict=True):
            fold.answers[name] = _rivals.answer(fitted, test, len(study.found.classes), seconds, settings)
    return judged
