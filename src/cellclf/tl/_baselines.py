"""What simpler models reach on the same folds."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from tqdm.auto import tqdm

from cellclf import _slots, stats
from cellclf._preprocessing import normalise
from cellclf.tl import _folds
from cellclf.tl._folds import Answer, Fold, Judged
from cellclf.tl._inputs import check_number
from cellclf.tl._tables import columns as columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from anndata import AnnData

    from cellclf._types import Rng
    from cellclf.fit import Fit
    from cellclf.nn._registry import Description
    from cellclf.tl._folds import Study

    Estimator = Any

logger = logging.getLogger("cellclf")

MODELS = ("linear_svc", "logistic_regression", "random_forest", "nearest_neighbors", "kernel_pca_forest")
KNOWN = (*MODELS, "svc")
SPARSE = 0.3  # counts of which fewer are above zero are handed on sparse
N_INNER = 3  # folds within the training rows on which settings are compared
GRIDS: dict[str, dict[str, list[Any]]] = {
    "linear_svc": {"C": [0.001, 0.01, 0.1, 1.0, 10.0]},
    "svc": {"C": [0.001, 0.01, 0.1, 1.0, 10.0]},
    "logistic_regression": {"C": [0.001, 0.01, 0.1, 1.0, 10.0]},
    "random_forest": {"max_depth": [5, 10, 15, 20, 30, None]},
    "nearest_neighbors": {"n_neighbors": [1, 5, 15, 39]},
    "kernel_pca_forest": {
        "kernelpca__kernel": ["linear", "cosine", "poly", "rbf", "sigmoid"],
        "kernelpca__n_components": [64, 164, 314],
        "randomforestclassifier__max_depth": [5, 10, 15, 20],
    },
}


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
        shown = self.summary[["scheme", "model", *_folds.METRICS, "seconds"]]
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
    _check(models, grid, scale, n_repeats, n_folds, groups, batch, split)
    study = _folds.study(adata, label, network=network, fit=fit, genes=genes, layer=layer, use_rep=use_rep)
    generator = np.random.default_rng(rng)
    if split is None:
        folds = _folds.deal(
            adata, study.found, n_folds=n_folds, n_repeats=n_repeats, groups=groups, batch=batch, generator=generator
        )
        _folds.warn_of_single_rows(study.found, folds)
    else:
        folds = _of_split(adata, study.found, split)
    done, interrupted = _judge(study, folds, models, grid, scale, generator)
    n_classes = len(study.found.classes)
    table = _folds.by_fold(done, n_classes)
    result = Baselines(_folds.summarised(done, table, n_classes), table, interrupted)
    names = list(models)
    call: dict[str, Any] = {
        "label": label,
        "models": names,
        "grid": grid,
        "network": network,
        "fit": fit,
        "genes": genes,
    }
    call |= {"scale": scale, "n_folds": n_folds, "n_repeats": n_repeats, "groups": groups, "batch": batch}
    call |= {"split": split, "layer": layer, "use_rep": use_rep, "rng": rng, "key_added": key_added}
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


def _check(
    models: Sequence[str] | Mapping[str, Estimator],
    grid: bool,
    scale: str,
    n_repeats: int,
    n_folds: int,
    groups: str | None,
    batch: str | None,
    split: str | None,
) -> None:
    """Refuse what has no meaning, before any work."""
    check_number("n_repeats", n_repeats, "repeats")
    if scale not in {"auto", "zscore", "none"}:
        msg = f"scale={scale!r} is not known. Choose 'auto', 'zscore' or 'none'."
        raise ValueError(msg)
    idle = [
        name
        for name, given in (
            ("n_folds", n_folds != 5),
            ("n_repeats", n_repeats > 1),
            ("groups", groups is not None),
            ("batch", batch is not None),
        )
        if given
    ]
    if split is not None and idle:
        msg = f"split={split!r} says which rows are judged, so {_slots.listing(idle)} would do nothing. Leave it out."
        raise ValueError(msg)
    if isinstance(models, Mapping):
        _check_estimators(models, grid)
        return
    unknown = [name for name in models if name not in KNOWN]
    if unknown or isinstance(models, str):
        named = _slots.listing([models] if isinstance(models, str) else unknown)
        msg = f"models: {named} is no list of known models. Choose from {_slots.listing(KNOWN)}, or map names to estimators."
        raise ValueError(msg)


def _check_estimators(models: Mapping[str, Estimator], grid: bool) -> None:
    """Refuse what is no classifier, and names that are taken."""
    if grid:
        msg = "grid=True has grids for named models only. Leave it out, or map the name to a GridSearchCV."
        raise ValueError(msg)
    for name, model in models.items():
        if name in _folds.MODELS:
            msg = f"models: the name {name!r} is that of cellclf's own. Choose another."
            raise ValueError(msg)
        if not (hasattr(model, "fit") and hasattr(model, "predict") and hasattr(model, "get_params")):
            msg = f"models[{name!r}] is a {type(model).__name__}. Give a classifier of scikit-learn's kind."
            raise TypeError(msg)


def _of_split(adata: AnnData, found: _slots.Labels, split: str) -> list[Fold]:
    """Make one training of a split, judged on its validation and on its test rows."""
    _slots.member(adata.obs, split, "split", "adata.obs")
    masks = _slots.split_rows(adata, split) or {}
    train = masks["train"] & (found.codes >= 0)
    known = np.isin(found.codes, np.unique(found.codes[train]))
    folds = [
        Fold(name, 0, name, train, masks[name] & known) for name in ("valid", "test") if (masks[name] & known).any()
    ]
    if not folds:
        msg = f"adata.obs[{split!r}] marks no row of a class of the training rows as 'valid' or 'test'. Mark some."
        raise ValueError(msg)
    return folds


def _judge(
    study: Study,
    folds: Sequence[Fold],
    models: Sequence[str] | Mapping[str, Estimator],
    grid: bool,
    scale: str,
    generator: np.random.Generator,
) -> tuple[list[Judged], bool]:
    """Train all models fold after fold; Ctrl-C keeps the folds that are done."""
    done: list[Judged] = []
    try:
        trainings = [list(part) for _, part in groupby(folds, key=lambda fold: id(fold.train))]
        for parts in tqdm(trainings, desc="folds", unit="fold", leave=False, delay=1):
            done += _judge_one(study, parts, models, grid, scale, int(generator.integers(2**62)))
    except KeyboardInterrupt:
        if not done:
            raise
        return done, True
    return done, False


def _judge_one(
    study: Study,
    parts: Sequence[Fold],
    models: Sequence[str] | Mapping[str, Estimator],
    grid: bool,
    scale: str,
    seed: int,
) -> list[Judged]:
    """Train all models once and judge them on one part or several."""
    train, start = parts[0].train, time.perf_counter()
    classifier = study.learn(train, seed)
    seconds = time.perf_counter() - start
    answers = [study.answers(classifier, part.test, seconds) for part in parts]
    x, tests = _inputs(study, train, [part.test for part in parts], scale)
    y = study.found.codes[train]
    for name in tqdm(list(models), desc="baselines", unit="model", leave=False, delay=1):
        start = time.perf_counter()
        model = clone(models[name]) if isinstance(models, Mapping) else _named(name, len(y), x, seed % 2**32)
        fitted, settings = _fitted(model, x, y, GRIDS[name] if grid else None, seed)
        seconds = time.perf_counter() - start
        for own, test in zip(answers, tests, strict=True):
            own[name] = _answer(fitted, test, len(study.found.classes), seconds, settings)
    return [Judged(part, own, study.found.codes[part.test]) for part, own in zip(parts, answers, strict=True)]


def _inputs(study: Study, train: np.ndarray, tests: Sequence[np.ndarray], scale: str) -> tuple[Any, list[Any]]:
    """Read what the models see of the training rows and of those to be judged."""
    columns, choice = study.columns_of(train), study.fit.preprocess
    counts = choice == "counts" or (choice == "auto" and stats.holds_counts(study.x, train))
    matrices = []
    for rows in (train, *tests):
        values, totals = stats.dense(study.x, rows, columns)
        matrices.append(normalise(values, totals) if counts else values)
    if scale == "zscore" or (scale == "auto" and not counts and study.use_rep is None):
        scaler = StandardScaler().fit(matrices[0])
        matrices = [scaler.transform(values) for values in matrices]
    elif np.count_nonzero(matrices[0]) < SPARSE * matrices[0].size:
        matrices = [sparse.csr_matrix(values) for values in matrices]
    return matrices[0], matrices[1:]


def _named(name: str, n_rows: int, x: Any, seed: int) -> Estimator:
    """Make one of the known models."""
    if name == "linear_svc":
        return LinearSVC(
            dual=True, max_iter=500, random_state=seed
        )  # in the primal it takes minutes on unscaled values
    if name == "svc":
        return SVC(kernel="linear")
    if name == "logistic_regression":
        return LogisticRegression(C=0.1, max_iter=500)
    if name == "random_forest":
        return RandomForestClassifier(200, random_state=seed)
    if name == "nearest_neighbors":
        return KNeighborsClassifier(min(15, n_rows))
    n_components = min(164, *(n - 1 for n in x.shape))
    return make_pipeline(
        KernelPCA(n_components, kernel="linear", eigen_solver="randomized", random_state=seed),
        RandomForestClassifier(100, max_depth=15, random_state=seed),
    )


def _fitted(
    model: Estimator, x: Any, y: np.ndarray, grid: dict[str, list[Any]] | None, seed: int
) -> tuple[Estimator, str]:
    """Fit a model, with the best settings of a grid where there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        if grid is None:
            fitted, settings = model.fit(x, y), ""
        else:
            inner = stats.stratified_folds(y, N_INNER, np.random.default_rng([seed, 1]))
            cut = [(np.flatnonzero(inner != k), np.flatnonzero(inner == k)) for k in range(N_INNER)]
            search = GridSearchCV(model, _feasible(grid, x, cut), scoring="f1_macro", cv=cut).fit(x, y)
            fitted, settings = search.best_estimator_, json.dumps(search.best_params_, sort_keys=True)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            logger.info("%s stopped before it converged.", type(model).__name__)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return fitted, settings


def _feasible(grid: dict[str, list[Any]], x: Any, cut: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[Any]]:
    """Leave out numbers of neighbours and components that the inner training rows do not have."""
    most = min(len(train) for train, _ in cut)
    limits = {"n_neighbors": most, "kernelpca__n_components": min(most, x.shape[1]) - 1}
    return {
        name: [value for value in values if name not in limits or value <= limits[name]] or [limits[name]]
        for name, values in grid.items()
    }


def _answer(model: Estimator, x: Any, n_classes: int, seconds: float, settings: str) -> Answer:
    """Predict some rows, with probabilities where the model has any."""
    start = time.perf_counter()
    predicted, proba = np.asarray(model.predict(x)), None
    if hasattr(model, "predict_proba"):
        proba = np.zeros((len(predicted), n_classes))
        proba[:, model.classes_] = model.predict_proba(x)
    return Answer(predicted, proba, seconds + time.perf_counter() - start, settings)
