"""A search: trials of settings on some rows, what they reach, and what the search itself is worth."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cellclf import _slots
from cellclf.tl._answers import by_fold
from cellclf.tl._asker import Asker, finished
from cellclf.tl._folds import at_random
from cellclf.tl._settings import as_json, with_settings
from cellclf.tl._space import LogUniform
from cellclf.tl._study import value_of
from cellclf.tl._trial_processes import trial_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cellclf.tl._answers import Judged
    from cellclf.tl._folds import Fold
    from cellclf.tl._space import Distribution
    from cellclf.tl._study import Study

DIRECTIONS = {"log_loss": "minimize", "accuracy": "maximize", "balanced_accuracy": "maximize", "macro_f1": "maximize"}


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
        folds = at_random(found, self.n_folds, 0, np.random.default_rng([self.seed, 0]))
        trials = optuna.create_study(
            storage=storage,
            study_name=name,
            direction=DIRECTIONS[self.metric],
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5) if self.prune else optuna.pruners.NopPruner(),
        )
        self._check_same(trials, study, folds)
        bar = tqdm(total=self.n_trials, initial=len(finished(trials)), desc=name, unit="trial", leave=False, delay=1)
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
            for trial in finished(trials)
        ],
        columns=["state", "value", "n_folds", "seconds", *settings],
    )


def best_trial(trials: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Return the best trial of those that ran all folds; of equal ones the first."""
    complete = trials[trials["state"] == "complete"]
    place = complete["value"].argmin() if DIRECTIONS[metric] == "minimize" else complete["value"].argmax()
    return {str(name): value for name, value in complete.iloc[int(place)].items()}


def search_in_turn(
    search: Search, optuna: Any, storage: Any, mask: np.ndarray, n_outer: int
) -> tuple[pd.DataFrame | None, bool]:
    """Run a search for each outer fold and judge its best network there; Ctrl-C keeps the folds that are done."""
    found = _slots.restrict(search.study.found, mask, what="training rows")
    study = replace(search.study, found=found)
    done: list[Judged] = []
    interrupted = False
    for fold in at_random(found, n_outer, 0, np.random.default_rng([search.seed, 2]), "outer"):
        try:
            trials, interrupted = search.run(optuna, storage, fold.train, f"outer fold {fold.name}")
            if interrupted:
                break
            best = best_trial(trials, search.metric)
            (judged,) = with_settings(study, search.settings, best).judged([fold], search.seed)
        except KeyboardInterrupt:
            interrupted = True
            break
        chosen = as_json(best, search.settings)
        judged.answers["network"] = judged.answers["network"]._replace(settings=chosen)
        done.append(judged)
    return (by_fold(done, len(found.classes)) if done else None), interrupted
