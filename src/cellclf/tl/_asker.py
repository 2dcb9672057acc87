"""Asks Optuna what to try next, has it tried, and tells what came of it."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.tl._settings import with_settings
from cellclf.tl._space import Choice, Integers, LogUniform

if TYPE_CHECKING:
    from collections.abc import Callable

    from cellclf.tl._search import Search
    from cellclf.tl._space import Distribution
    from cellclf.tl._study import Study


class Asker:
    """Proposes settings, has them tried, and keeps what they reach; several threads may work with one."""

    def __init__(self, optuna: Any, trials: Any, search: Search, study: Study, n_folds: int, bar: Any) -> None:
        self.optuna, self.trials, self.search, self.study = optuna, trials, search, study
        self.n_folds, self.bar, self.lock = n_folds, bar, Lock()
        self.begun, self.stopped = len(finished(trials)), False
        done = [trial.params for trial in finished(trials)]
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


def finished(trials: Any) -> list[Any]:
    """List the trials that ran to their end or were given up."""
    return [trial for trial in trials.get_trials(deepcopy=False) if trial.state.name in {"COMPLETE", "PRUNED"}]
