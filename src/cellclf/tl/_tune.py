"""Search for settings that suit the data."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cellclf import _slots
from cellclf.tl import _study
from cellclf.tl._inputs import check_known, check_number
from cellclf.tl._rows import plan
from cellclf.tl._search import DIRECTIONS, Search, best_trial, search_in_turn
from cellclf.tl._settings import as_json, grid_points, settings_of, with_settings
from cellclf.tl._space import Space
from cellclf.tl._tables import columns as columns_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from anndata import AnnData

    from cellclf._types import Rng
    from cellclf.fit import Fit
    from cellclf.nn._registry import Description

N_TRIALS = 30


@dataclass(frozen=True, eq=False)
class Tuning:
    """What a search for settings has found.

    Parameters
    ----------
    trials
        One row per trial: `state` (``"complete"`` or ``"pruned"``), `value` of the metric, mean over the folds that were
        run, `n_folds` of them, `seconds`, and a column per setting, such as `fit.learning_rate` or `network.hidden`.
    fit
        The best settings of the training.
    network
        The best network.
    value
        The best value, of trials that ran all folds. Being the best of many it is too good; see `nested`.
    metric
        What was measured.
    nested
        With `n_outer`: what the search as a whole reaches on cells it has not seen, a row per outer fold and model, with
        the `settings` (JSON) that were chosen there. `None` otherwise.
    interrupted
        Whether the user stopped the search.
    """

    trials: pd.DataFrame
    fit: Fit
    network: Description
    value: float
    metric: str
    nested: pd.DataFrame | None = None
    interrupted: bool = False

    def __str__(self) -> str:
        """Show the best trial."""
        best = self.trials[self.trials["value"] == self.value].iloc[0]
        settings = ", ".join(f"{name}={best[name]}" for name in self.trials.columns if "." in name)
        text = f"{len(self.trials)} trials, best {self.metric} {self.value:.4f}: {settings}"
        if self.nested is not None:
            own = self.nested.loc[self.nested["model"] == "network", self.metric]
            text += f"\nof cells that had no part in the search: {own.mean():.4f}"
        return text


def tune(
    adata: AnnData,
    label: str | None = None,
    *,
    space: Space | None = None,
    n_trials: int | None = None,
    sampler: Literal["tpe", "random", "grid"] = "tpe",
    metric: Literal["log_loss", "accuracy", "balanced_accuracy", "macro_f1"] = "log_loss",
    n_folds: int = 3,
    n_outer: int | None = None,
    prune: bool = True,
    n_jobs: int = 1,
    network: Description | None = None,
    fit: Fit | None = None,
    genes: str | Sequence[str] = "auto",
    layer: str | None = None,
    use_rep: str | None = None,
    split: str | None = "split",
    storage: str | os.PathLike[str] | None = None,
    rng: Rng = 0,
    key_added: str = "tune",
) -> Tuning:
    """Search for settings of training and network that suit the data.

    Each trial trains with settings of its own on the rows marked train and valid, by cross-validation within these, as
    :func:`cellclf.tl.cross_validate` does. Rows marked test are never seen. The settings are proposed by Optuna
    :cite:p:`Akiba2019`: by a tree-structured Parzen estimator :cite:p:`Bergstra2011`, which looks where earlier trials did
    well, at random, or all of a grid. A trial that does worse than the median of the earlier ones after as many folds is
    given up.

    With the defaults of :class:`cellclf.Fit` there is seldom much to gain, and the best of many trials looks better than it
    is: `n_outer` measures what the search as a whole is worth.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. X is not changed.
    label
        Column of `adata.obs` with the class of each cell; cells without one are left out. `None`: the one recorded on
        this AnnData, else the only column that can be a label.
    space
        Where to search; `None` for the default of :class:`cellclf.tl.Space`.
    n_trials
        Number of trials, with those that `storage` holds. `None`: 30. Of a grid, at most all points, which is what `None`
        means there.
    sampler
        ``"tpe"``, ``"random"``, or ``"grid"``, for which every distribution must be a :class:`cellclf.tl.Choice` or
        :class:`cellclf.tl.Integers`.
    metric
        What to optimise: ``"log_loss"``, ``"accuracy"``, ``"balanced_accuracy"`` or ``"macro_f1"``.
    n_folds
        Folds of the cross-validation in each trial.
    n_outer
        Number of outer folds: each in turn is left out, a search of its own is run on the others, and its best network
        judged on the fold. `None`: none.
    prune
        Give up trials that do badly in their first folds. The folds of the first five trials are all run.
    n_jobs
        Number of trials at a time, each in a process of its own with its share of the cores, and with its copy of the cells.
        Which trials are proposed then depends on which end first. 1: one after the other, in this process.
    network
        The network whose settings are varied; `None` for :class:`cellclf.nn.MLP`.
    fit
        The settings that are not varied; `None` for the defaults of :class:`cellclf.Fit`.
    genes
        As for :func:`cellclf.tl.cross_validate`.
    layer
        Layer to use instead of X.
    use_rep
        Embedding in `adata.obsm` to use instead of genes.
    split
        Column of `adata.obs` with train / valid / test. If ``"split"`` is not there, it is made (80 / 10 / 10 %). `None`: all
        labelled rows are training rows.
    storage
        File (SQLite) that keeps the trials. A search that was killed goes on there by the same call, with the same trials as
        if it had not been. `None`: in memory.
    rng
        Seed or generator; the same seed gives the same trials, with `n_jobs=1`.
    key_added
        Key of `adata.uns` for the record.

    Returns
    -------
    The :class:`cellclf.tl.Tuning`. Sets the following fields:

    `adata.uns['tune']` : dict
        Record of the call; the columns of `trials` and, if there is one, of `nested`; `metric`, `value`, `best`, the best
        settings, and `logarithmic`, the settings searched on such a scale (JSON).
    `adata.obs['split']`, `adata.uns['split']`
        As :func:`cellclf.pp.split` writes them, where they were missing and `split="split"`.

    Raises
    ------
    KeyError
        A column, layer, embedding or gene is not in `adata`.
    KeyboardInterrupt
        The search was stopped before a trial was finished; later, the finished trials are returned.
    ModuleNotFoundError
        Optuna is not installed.
    ValueError
        The network has no such setting, a grid of distributions without end, a storage that holds another search, or as for
        :func:`cellclf.tl.cross_validate`.

    See Also
    --------
    cellclf.pl.tune : the trials as a picture.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> space = cc.tl.Space(fit={"learning_rate": cc.tl.LogUniform(1e-3, 1e-2)})
    >>> quick = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=2)}
    >>> found = cc.tl.tune(adata, "bulk_labels", space=space, n_trials=2, n_folds=2, **quick)  # doctest: +SKIP
    >>> clf = cc.tl.train(adata, network=found.network, fit=found.fit)  # doctest: +SKIP
    """
    _slots.check_key(key_added)
    study = _study.study(adata, label, network=network, fit=fit, genes=genes, layer=layer, use_rep=use_rep)
    settings = settings_of(space or Space(), study.network)
    points = grid_points(settings) if sampler == "grid" else None
    if n_trials is None:
        n_trials = len(points) if points else N_TRIALS
    _check(n_trials, sampler, metric, n_folds, n_outer, n_jobs)
    seed = int(np.random.default_rng(rng).integers(2**62))
    rows, slots = plan(adata, study.found, split, study.fit, seed)
    mask = rows.train | rows.valid
    search = Search(study, settings, points, n_trials, sampler, metric, n_folds, prune, seed, n_jobs)
    with _optuna() as optuna:
        kept = None if storage is None else _storage(optuna, Path(storage))
        trials, interrupted = search.run(optuna, kept, mask, "search")
        best = best_trial(trials, metric)
        nested = None
        if n_outer is not None and not interrupted:
            nested, interrupted = search_in_turn(search, optuna, kept, mask, n_outer)
    chosen = with_settings(study, settings, best)
    result = Tuning(trials, chosen.fit, chosen.network, float(best["value"]), metric, nested, interrupted)
    call: dict[str, Any] = {"label": label, "space": space, "n_trials": n_trials, "sampler": sampler, "metric": metric}
    call |= {"n_folds": n_folds, "n_outer": n_outer, "prune": prune, "n_jobs": n_jobs, "network": network, "fit": fit}
    call |= {"genes": genes, "layer": layer, "use_rep": use_rep, "split": split, "rng": rng, "key_added": key_added}
    record = _slots.record(
        "tl.tune",
        call,
        classes=study.found.classes,
        label=study.found.name,
        metric=metric,
        value=result.value,
        best=as_json(best, settings),
        logarithmic=json.dumps(trials.attrs["logarithmic"]),
        interrupted=interrupted,
        trials=columns_of(trials),
        **({} if nested is None else {"nested": columns_of(nested)}),
    )
    _slots.write(adata, _slots.merge(slots, {"uns": {key_added: record}}))
    return result


def _check(n_trials: int, sampler: str, metric: str, n_folds: int, n_outer: int | None, n_jobs: int) -> None:
    """Refuse what has no meaning, before any work."""
    check_number("n_trials", n_trials, "trials")
    check_number("n_jobs", n_jobs, "trials at a time")
    check_number("n_folds", n_folds, "folds", 2)
    if n_outer is not None:
        check_number("n_outer", n_outer, "folds", 2)
    check_known("sampler", sampler, ("tpe", "random", "grid"))
    check_known("metric", metric, tuple(DIRECTIONS))


@contextmanager
def _optuna() -> Iterator[Any]:
    """Import Optuna, quiet for a while."""
    try:
        import optuna
    except ModuleNotFoundError as error:
        msg = "cc.tl.tune needs the package optuna. Install it with `pip install 'cellclf[tune]'`."
        raise ModuleNotFoundError(msg) from error
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(level)


def _storage(optuna: Any, path: Path) -> Any:
    """Open the file that keeps the trials."""
    if not path.parent.is_dir():
        msg = f"storage={str(path)!r} lies in no folder that exists. Make the folder first."
        raise FileNotFoundError(msg)
    return optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
