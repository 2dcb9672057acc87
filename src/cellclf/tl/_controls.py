"""What guards against believing a cross-validation wrongly: folds that keep groups apart, and labels that mean nothing."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cellclf import stats
from cellclf.tl._folds import at_random
from cellclf.tl._study import judge_in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellclf.tl._answers import Judged
    from cellclf.tl._study import Study

MEASURES = ("accuracy", "balanced_accuracy", "macro_f1")
N_REPEATS = 400  # a standard error is then known to within 4 %


def leakage(done: Sequence[Judged], groups: np.ndarray, n_classes: int, generator: np.random.Generator) -> pd.DataFrame:
    """Compare random folds with those that keep groups apart; the error is from drawing groups with replacement."""
    tables = np.zeros((2, groups.max() + 1, n_classes, n_classes))
    for fold, answers, truth in done:
        own = tables[int(fold.scheme != "random")]
        np.add.at(own, (groups[fold.test], truth, answers["network"].predicted), 1)
    n_groups = tables.shape[1]
    drawn = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=N_REPEATS)
    every = np.stack([_agreement(tables.sum(axis=1)), *(_agreement(np.tensordot(w, tables, (0, 1))) for w in drawn)])
    gap = every[:, 0] - every[:, 1]
    return pd.DataFrame(
        {"random": every[0, 0], "apart": every[0, 1], "gap": gap[0], "gap_se": gap[1:].std(axis=0, ddof=1)},
        index=pd.Index(MEASURES, name="measure"),
    )


def _agreement(tables: np.ndarray) -> np.ndarray:
    """Return accuracy, balanced accuracy and macro-F1 (n_tables, 3) of confusion tables."""
    return np.array([[stats.accuracy(t), stats.balanced_accuracy(t), stats.macro_f1(t)] for t in tables])


def judge_shuffled(study: Study, n_folds: int, generator: np.random.Generator) -> tuple[list[Judged], bool]:
    """Do the same with labels that have been shuffled; a control that is stopped is left out."""
    codes, known = study.found.codes.copy(), study.found.codes >= 0
    codes[known] = generator.permutation(codes[known])
    shuffled = replace(study, found=study.found._replace(codes=codes))
    folds = at_random(shuffled.found, n_folds, 0, generator, "shuffled")
    with warnings.catch_warnings():  # that nothing is learnt is what is to be shown
        warnings.filterwarnings("ignore", "The network's log loss on the validation rows", UserWarning)
        try:
            return judge_in_turn(shuffled.judged, [[fold] for fold in folds], generator)
        except KeyboardInterrupt:
            return [], True
