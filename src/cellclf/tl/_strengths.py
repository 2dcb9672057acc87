"""Train the same network under one penalty after the other, and look at its weights and its predictions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from tqdm.auto import tqdm

from cellclf import stats
from cellclf._preprocessing import normalise
from cellclf.attribution import weight_values
from cellclf.fit import train
from cellclf.fit._apply import logits
from cellclf.fit._hardware import device_of
from cellclf.tl._attempt import attempt, find_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellclf.fit import Trained
    from cellclf.nn._network import Network
    from cellclf.tl._attempt import Attempt, Problem
    from cellclf.tl._rows import LearningRows

NEAR_ZERO = 1e-5  # as seen from here a weight is gone
N_BINS = 50
REACH = 1.5  # histograms reach so many times as far as all but a thousandth of the weights without penalty


@dataclass
class Examiner:
    """The rows on which networks are judged, and what was found of each network."""

    rows: LearningRows
    test: np.ndarray
    found: list[dict[str, Any]] = field(default_factory=list)
    counts: list[np.ndarray] = field(default_factory=list)
    present: list[np.ndarray] = field(default_factory=list)
    edges: np.ndarray = field(default_factory=lambda: np.empty(0))
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def prepare(self, problem: Problem, draft: Attempt, counts: bool) -> None:
        """Read the rows, scaled as the training rows were."""
        self.parts = {"train": (draft.rows.x[:], draft.rows.y)}
        for name, mask in (("valid", self.rows.valid), ("test", self.test)):
            raw, totals = stats.dense(problem.x, mask, draft.columns)
            if not (np.isfinite(raw).all() and np.isfinite(totals).all()):
                msg = f"The {name} rows hold NaN or infinite values. Remove or replace them first."
                raise ValueError(msg)
            values = normalise(raw, totals) if counts else raw
            self.parts[name] = (draft.preprocessing.apply(values), problem.rows.found.codes[mask])

    def examine(self, penalty: str, strength: float, network: Network, problem: Problem, draft: Attempt) -> None:
        """Look at the weights of a network, and judge it."""
        weights = weight_values(network)
        if not len(self.edges):
            reach = max(REACH * float(np.quantile(np.abs(weights), 0.999)), NEAR_ZERO)
            self.edges = np.linspace(-reach, reach, N_BINS + 1)
        self.counts.append(np.histogram(np.clip(weights, self.edges[0], self.edges[-1]), self.edges)[0])
        self.present.append(_present(network) & (draft.preprocessing.weight > 0))
        line: dict[str, Any] = {
            "penalty": penalty,
            "strength": strength,
            "n_weights": len(weights),
            "n_near_zero": int((np.abs(weights) < NEAR_ZERO).sum()),
            "mean": float(weights.mean(dtype=np.float64)),
            "sd": float(weights.std(dtype=np.float64)),
            "min": float(weights.min()),
            "max": float(weights.max()),
            "genes_left": int(self.present[-1].sum()),
        }
        for name, (x, y) in self.parts.items():
            line |= {f"{name}_{measure}": value for measure, value in _judged(network, x, y, problem).items()}
        self.found.append(line)

    def tables(self, genes: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Return the trainings, the histograms, and how long each gene stays."""
        trainings = pd.DataFrame(self.found)
        repeated = trainings[["penalty", "strength"]].loc[trainings.index.repeat(N_BINS)].reset_index(drop=True)
        bins = {"left": np.tile(self.edges[:-1], len(trainings)), "right": np.tile(self.edges[1:], len(trainings))}
        histograms = repeated.assign(**bins, count=np.concatenate(self.counts))
        stays = {name: self._stays(name) for name in ("group_l1", "l1")}
        table = pd.DataFrame(stays, index=pd.Index([str(gene) for gene in genes], name="gene"))
        order = np.lexsort([-np.nan_to_num(table[name].to_numpy(), nan=-1.0) for name in ("l1", "group_l1")])
        return trainings, histograms, table.iloc[order]

    def _stays(self, penalty: str) -> np.ndarray:
        """Return the greatest strength of a penalty under which each gene is in the network, NaN without any."""
        longest = np.where(self.present[0], 0.0, np.nan)
        for line, present in zip(self.found, self.present, strict=True):
            if line["penalty"] == penalty:
                longest = np.where(present, line["strength"], longest)
        return longest


def train_strengths(problem: Problem, strengths: Sequence[tuple[str, float]], examiner: Examiner) -> bool:
    """Train without a penalty and then under each; Ctrl-C keeps those that are finished. Say whether it came."""
    counts = find_counts(problem)
    draft = attempt(problem, problem.rows.train, counts)
    if draft.interrupted:
        raise KeyboardInterrupt
    examiner.prepare(problem, draft, counts)
    examiner.examine("none", 0.0, draft.network.network, problem, draft)
    if draft.linear is not None:
        examiner.examine("linear", 0.0, draft.linear.network, problem, draft)
    try:
        for penalty, strength in tqdm(strengths, desc="L1 path", unit="training", leave=False, delay=1):
            trained = _trained(problem, draft, penalty, strength)
            if trained.interrupted:
                return True
            examiner.examine(penalty, strength, trained.network, problem, draft)
    except KeyboardInterrupt:
        return True
    return False


def _trained(problem: Problem, draft: Attempt, penalty: str, strength: float) -> Trained:
    """Train under one penalty, from the same first weights."""
    changes: dict[str, Any] = {penalty: strength}
    return train(
        problem.description,
        draft.rows,
        None,
        replace(problem.options, **changes),
        n_classes=problem.n_classes,
        seed=problem.seed,
        title=f"{penalty} {strength:g}",
    )


def _present(network: Network) -> np.ndarray:
    """Mark the genes with any weight that is not near zero; all where no weight belongs to one gene."""
    if network.first_linear is None:
        return np.array(True)
    weight = network.first_linear.weight.detach().abs().amax(dim=0)
    return weight.cpu().numpy() >= NEAR_ZERO


def _judged(network: Network, x: np.ndarray, y: np.ndarray, problem: Problem) -> dict[str, float]:
    """Judge a network on some rows, NaN where there are none."""
    if not len(y):
        return dict.fromkeys(("accuracy", "macro_f1", "log_loss"), np.nan)
    proba = softmax(logits(network, x, device_of(problem.options.device)), axis=1)
    table = stats.confusion(y, proba.argmax(axis=1), problem.n_classes)
    return {
        "accuracy": stats.accuracy(table),
        "macro_f1": stats.macro_f1(table),
        "log_loss": stats.log_loss(proba, y),
    }
