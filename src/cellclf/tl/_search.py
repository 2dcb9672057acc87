"""Trials of settings: what is proposed, how it is measured, what is kept."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, fields, replace
from itertools import product
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cellclf import _slots
from cellclf.nn import MLP
from cellclf.tl import _folds
from cellclf.tl._folds import value_of
from cellclf.tl._space import Choice, Integers, LogUniform, Space
from cellclf.tl._trial_processes import trial_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cellclf.nn._registry import Description
    from cellclf.tl._folds import Fold, Study
    from cellclf.tl._space import Distribution

DIRECTIONS = {"log_loss": "minimize", "accuracy": "maximize", "balanced_accuracy": "maximize", "macro_f1": "maximize"}
HIDDEN = Choice([(64,), (128,), (256,), (128, 64)])


def settings_of(space: Space, network: Description) -> dict[str, Distribution]:
    """Name the settings to be chosen, of training and network."""
    own = space.network
    if own is None:
        own = {"hidden": HIDDEN} if isinstance(network, MLP) else {}
    known = [entry.name for entry in fields(network)]  # type: ignore[arg-type]
    for name in dict(own):
        if name not in known:
            msg = f"{type(network).__name__} has no setting {name!r}. It has: {_slots.listing(known)}."
            raise ValueError(msg)
    found = {f"fit.{name}": value for name, value in dict(space.fit).items()}
    found |= {f"network.{name}": value for name, value in dict(own).items()}
    if not found:
        msg = "space names no setting, so there is nothing to search. Give a distribution for one at least."
        raise ValueError(msg)
    return dict(sorted(found.items()))


def grid_points(settings: Mapping[str, Distribution]) -> list[dict[str, Any]]:
    """List all points of a grid."""
    axes: list[list[Any]] = []
    for name, distribution in settings.items():
        if isinstance(distribution, Choice):
            axes.append([repr(option) for option in distribution.options])
        elif isinstance(distribution, Integers):
            axes.append(list(range(distribution.low, distribution.high + 1)))
        else:
            msg = f"sampler='grid' cannot list all values of {name} in {distribution}. Give a Choice of some."
            raise ValueError(msg)
    return [dict(zip(settings, point, strict=True)) for point in product(*axes)]


def with_settings(study: Study, settings: Mapping[str, Distribution], values: Mapping[str, Any]) -> Study:
    """Put the values of a trial into training and network."""
    own: dict[str, dict[str, Any]] = {"fit": {}, "network": {}}
    for name, distribution in settings.items():
        value = values[name]
        if isinstance(distribution, Choice):
            value = next(option for option in distribution.options if repr(option) == value)
        where, _, setting = name.partition(".")
        own[where][setting] = int(value) if isinstance(distribution, Integers) else value
    fit = replace(study.fit, **own["fit"])
    return replace(study, fit=fit, network=replace(study.network, **own["network"]))  # type: ignore[type-var]


@dataclass(frozen=True)
class Search:
    """How trials are proposed and judged."""

    study: Study
    settings: Mapping[str, Distribution]
    points: list[dict[str, Any]] | None
    n_trials: int
    sampler: str
    metric: str
    n_folds: int
    prune: bool
    seed: int
    n_jobs: int

    def run(self, optuna: Any, storage: Any, mask: np.ndarray, name: str) -> tuple[pd.DataFrame, bool]:
        """Run the trials that are missing, on some rows (mask); Ctrl-C keeps those that are done."""
        found = _slots.restrict(self.study.found, mask, what="training rows")
        study = replace(self.study, found=found)
        folds = _folds.at_random(found, self.n_folds, 0, np.random.default_rng([self.seed, 0]))
        trials = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=DIRECTIONS[self.metric],
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5) if self.prune else optuna.pruners.NopPruner(),
        )
        self._check_same(trials, study, folds)
        bar = tqdm(total=self.n_trials, initial=len(_finished(trials)), desc=name, unit="trial", leave=False, delay=1)
        asker = Asker(optuna, trials, self, study, len(folds), bar)
        interrupted = False
        try:
            with bar:
                if self.n_jobs == 1:
                    asker.work(lambda chosen, fold: value_of(chosen, folds[fold], self.metric, self.seed))
                else:
                    self._together(asker, study, folds)
        except KeyboardInterrupt:
            interrupted = True
        table = _table(trials, self.settings)
        table.attrs["logarithmic"] = [name for name, given in self.settings.items() if isinstance(given, LogUniform)]
        if not (table["state"] == "complete").any():
            if interrupted:
                raise KeyboardInterrupt
            msg = "No trial ran to its end: with all settings the training diverged. Narrow the space, above all the learning rate."
            raise FloatingPointError(msg)
        return table, interrupted

    def _check_same(self, trials: Any, study: Study, folds: Sequence[Fold]) -> None:
        """Refuse to go on with trials of another search."""
        dealt = np.stack([fold.test for fold in folds])
        digest = hashlib.sha256(np.packbits(dealt).tobytes() + study.found.codes.tobytes()).hexdigest()
        setup = {
            "space": {name: repr(value) for name, value in self.settings.items()},
            "metric": self.metric,
            "sampler": self.sampler,
            "n_folds": self.n_folds,
            "prune": self.prune,
            "network": repr(self.study.network),
            "fit": repr(self.study.fit),
            "cells and labels": digest,
            "genes": None if self.study.columns is None else hashlib.sha256(self.study.columns.tobytes()).hexdigest(),
        }
        kept = trials.user_attrs.get("setup")
        if kept is None:
            trials.set_user_attr("setup", setup)
            return
        other = [name for name, value in setup.items() if kept.get(name) != value]
        if other:
            msg = f"storage holds another search: {_slots.listing(other)} differ. Give another file, or the same call."
            raise ValueError(msg)

    def _together(self, asker: Asker, study: Study, folds: Sequence[Fold]) -> None:
        """Try settings in several processes, each asked by a thread."""
        with (
            trial_processes(study, folds, self.metric, self.seed, self.n_jobs) as processes,
            ThreadPoolExecutor(self.n_jobs) as threads,
        ):
            try:
                for done in as_completed([threads.submit(asker.work, process.value) for process in processes]):
                    done.result()
            except BaseException:
                asker.stopped = True
                for process in processes:
                    process.end()  # the threads that wait for them then end
                raise


class Asker:
    """Proposes settings, has them tried, and keeps what they reach; several threads may work with one."""

    def __init__(self, optuna: Any, trials: Any, search: Search, study: Study, n_folds: int, bar: Any) -> None:
        self.optuna, self.trials, self.search, self.study = optuna, trials, search, study
        self.n_folds, self.bar, self.lock = n_folds, bar, Lock()
        self.begun, self.stopped = len(_finished(trials)), False
        done = [trial.params for trial in _finished(trials)]
        self.points = None if search.points is None else [point for point in search.points if point not in done]

    def work(self, value: Callable[[Study, int], float]) -> None:
        """Try settings until there are enough; `value` measures them on the fold of a number."""
        while (proposal := self._next()) is not None:
            trial, chosen = proposal
            state = self.optuna.trial.TrialState.FAIL
            try:
                state = self._try(trial, chosen, value)
            finally:
                with self.lock:
                    last = trial.user_attrs.get("value") if state == self.optuna.trial.TrialState.COMPLETE else None
                    self.trials.tell(trial, last, state=state)
                    self.bar.update(1)

    def _next(self) -> tuple[Any, Study] | None:
        """Propose settings. What is proposed depends on the trials that are done alone, so that a search can go on."""
        search, samplers = self.search, self.optuna.samplers
        with self.lock:
            if self.stopped or self.begun >= search.n_trials or self.points == []:
                return None
            number, self.begun = self.begun, self.begun + 1
            kind = samplers.TPESampler if search.sampler == "tpe" else samplers.RandomSampler
            self.trials.sampler = kind(seed=int(np.random.default_rng([search.seed, 1, number]).integers(2**32)))
            if self.points is not None:
                self.trials.enqueue_trial(self.points.pop(0))
            trial = self.trials.ask()
            values = {name: _proposed(trial, name, given) for name, given in search.settings.items()}
        return trial, with_settings(self.study, search.settings, values)

    def _try(self, trial: Any, chosen: Study, value: Callable[[Study, int], float]) -> Any:
        """Try settings on one fold after the other, and return how that ended."""
        states, values, start = self.optuna.trial.TrialState, [], time.perf_counter()
        for fold in range(self.n_folds):
            try:
                values.append(value(chosen, fold))
            except FloatingPointError:  # the training diverged
                return states.PRUNED
            with self.lock:
                trial.report(float(np.mean(values)), fold)
                trial.set_user_attr("seconds", time.perf_counter() - start)
                trial.set_user_attr("value", float(np.mean(values)))
                if fold + 1 < self.n_folds and trial.should_prune():
                    return states.PRUNED
        return states.COMPLETE


def _proposed(trial: Any, name: str, distribution: Distribution) -> Any:
    """Ask for the value of a setting; options are known to the storage by their text."""
    if isinstance(distribution, Choice):
        return trial.suggest_categorical(name, [repr(option) for option in distribution.options])
    if isinstance(distribution, Integers):
        return trial.suggest_int(name, distribution.low, distribution.high)
    return trial.suggest_float(name, distribution.low, distribution.high, log=isinstance(distribution, LogUniform))


def _finished(trials: Any) -> list[Any]:
    """List the trials that ran to their end or were given up."""
    return [trial for trial in trials.get_trials(deepcopy=False) if trial.state.name in {"COMPLETE", "PRUNED"}]


def _table(trials: Any, settings: Mapping[str, Distribution]) -> pd.DataFrame:
    """Make the table of the trials that are done."""
    return pd.DataFrame(
        [
            {
                "state": trial.state.name.lower(),
                "value": trial.intermediate_values[max(trial.intermediate_values)]
                if trial.intermediate_values
                else np.nan,
                "n_folds": len(trial.intermediate_values),
                "seconds": float(trial.user_attrs.get("seconds", np.nan)),
                **{name: trial.params[name] for name in settings},
            }
            for trial in _finished(trials)
        ],
        columns=["state", "value", "n_folds", "seconds", *settings],
    )


def best_trial(trials: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Return the best trial of those that ran all folds; of equal ones the first."""
    complete = trials[trials["state"] == "complete"]
    place = complete["value"].argmin() if DIRECTIONS[metric] == "minimize" else complete["value"].argmax()
    return {str(name): value for name, value in complete.iloc[int(place)].items()}
