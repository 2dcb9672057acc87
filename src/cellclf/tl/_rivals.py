"""The models that everyone would try first: what they read, how they are fitted, and what they say."""

from __future__ import annotations

import json
import logging
import time
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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

from cellclf import _slots, stats
from cellclf._preprocessing import normalise
from cellclf.tl._answers import OURS, Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellclf.tl._study import Study

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


def check_models(models: Sequence[str] | Mapping[str, Estimator], grid: bool) -> None:
    """Refuse unknown names, what is no classifier, and names that are taken."""
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
        if name in OURS:
            msg = f"models: the name {name!r} is that of cellclf's own. Choose another."
            raise ValueError(msg)
        if not (hasattr(model, "fit") and hasattr(model, "predict") and hasattr(model, "get_params")):
            msg = f"models[{name!r}] is a {type(model).__name__}. Give a classifier of scikit-learn's kind."
            raise TypeError(msg)


def inputs(study: Study, train: np.ndarray, tests: Sequence[np.ndarray], scale: str) -> tuple[Any, list[Any]]:
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


def fitted(
    name: str, models: Sequence[str] | Mapping[str, Estimator], grid: bool, x: Any, y: np.ndarray, seed: int
) -> tuple[Estimator, str]:
    """Fit one of the models, and say (JSON) which settings it was given from its grid, where it has one."""
    model = clone(models[name]) if isinstance(models, Mapping) else _named(name, len(y), x, seed % 2**32)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        if not grid:
            best, settings = model.fit(x, y), ""
        else:
            inner = stats.stratified_folds(y, N_INNER, np.random.default_rng([seed, 1]))
            cut = [(np.flatnonzero(inner != k), np.flatnonzero(inner == k)) for k in range(N_INNER)]
            search = GridSearchCV(model, _feasible(GRIDS[name], x, cut), scoring="f1_macro", cv=cut).fit(x, y)
            best, settings = search.best_estimator_, json.dumps(search.best_params_, sort_keys=True)
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            logger.info("%s stopped before it converged.", type(model).__name__)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return best, settings


def _named(name: str, n_rows: int, x: Any, seed: int) -> Estimator:
    """Make one of the known models."""
    if name == "linear_svc":
        # in the primal it takes minutes on unscaled values
        return LinearSVC(dual=True, max_iter=500, random_state=seed)
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


def _feasible(grid: dict[str, list[Any]], x: Any, cut: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[Any]]:
    """Leave out numbers of neighbours and components that the inner training rows do not have."""
    most = min(len(train) for train, _ in cut)
    limits = {"n_neighbors": most, "kernelpca__n_components": min(most, x.shape[1]) - 1}
    return {
        name: [value for value in values if name not in limits or value <= limits[name]] or [limits[name]]
        for name, values in grid.items()
    }


def answer(model: Estimator, x: Any, n_classes: int, seconds: float, settings: str) -> Answer:
    """Predict some rows, with probabilities where the model has any."""
    start = time.perf_counter()
    predicted, proba = np.asarray(model.predict(x)), None
    if hasattr(model, "predict_proba"):
        proba = np.zeros((len(predicted), n_classes))
        proba[:, model.classes_] = model.predict_proba(x)
    return Answer(predicted, proba, seconds + time.perf_counter() - start, settings)
