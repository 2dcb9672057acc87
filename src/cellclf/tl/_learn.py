"""From a matrix and the class of each row to a classifier; what only training rows may tell is learnt from them alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from cellclf import _slots, stats
from cellclf._classifier import Classifier
from cellclf._preprocessing import Preprocessing, normalise
from cellclf.fit import Rows
from cellclf.fit import train as fit_network
from cellclf.fit._apply import embedding, logits
from cellclf.fit._hardware import device_of
from cellclf.fit._loop import no_worse
from cellclf.nn import Linear

if TYPE_CHECKING:
    from cellclf._types import Matrix
    from cellclf.fit import Fit, Trained
    from cellclf.nn._network import Network
    from cellclf.nn._registry import Description
    from cellclf.tl._rows import LearningRows

logger = logging.getLogger("cellclf")


@dataclass(frozen=True)
class Problem:
    """What is to be learnt from matrix `x` with columns `names`, and how; `columns_for` chooses genes from given rows."""

    x: Matrix
    names: np.ndarray
    rows: LearningRows
    columns_for: Callable[[np.ndarray], np.ndarray]
    description: Description
    options: Fit
    seed: int
    start: Classifier | None = None


@dataclass(frozen=True)
class Attempt:
    """Networks trained on some rows, and the scaled rows themselves."""

    columns: np.ndarray
    preprocessing: Preprocessing
    rows: Rows
    valid: Rows | None
    network: Trained
    linear: Trained

    @property
    def interrupted(self) -> bool:
        """Whether the user stopped either training."""
        return self.network.interrupted or self.linear.interrupted


def learn(problem: Problem, facts: Mapping[str, Any]) -> Classifier:
    """Train, choose epoch and temperature on the validation rows, train again on all rows, and assemble the classifier."""
    counts = problem.start.preprocessing.counts if problem.start else _counts(problem)
    draft = _attempt(problem, problem.rows.train, counts)
    final = draft
    if problem.rows.refit and not draft.interrupted:
        again = _attempt(problem, problem.rows.final, counts, after=draft)
        final = draft if again.interrupted else again
        draft = replace(draft, network=replace(draft.network, interrupted=again.interrupted))
    temperature, proba = _calibrated(draft.network.network, draft.valid, problem.options)
    linear_temperature, linear_proba = _calibrated(draft.linear.network, draft.valid, problem.options)
    prior = np.bincount(final.rows.y, minlength=len(problem.rows.found.classes)) / len(final.rows.y)
    skill = _skill(draft, proba, linear_proba)
    network, device = final.network.network, device_of(problem.options.device)
    return Classifier(
        description=problem.description,
        network=network,
        linear=final.linear.network,
        genes=problem.names[final.columns],
        classes=problem.rows.found.classes,
        preprocessing=final.preprocessing,
        novelty=stats.Novelty.learn(
            embedding(network, final.rows.x, device), final.rows.y, len(problem.rows.found.classes)
        ),
        temperature=temperature,
        linear_temperature=linear_temperature,
        prior=prior,
        gene_norms=_gene_norms(network, final.preprocessing),
        options=problem.options,
        epochs=draft.network.history,
        facts={
            **facts,
            "n_rows": len(final.rows.y),
            "best_epoch": draft.network.best_epoch,
            "interrupted": draft.interrupted,
            "skill": skill,
        },
    )


def _counts(problem: Problem) -> bool:
    """Decide whether values are counts to be normalised, from the training rows."""
    choice = problem.options.preprocess
    counts = choice == "counts" or (choice == "auto" and stats.holds_counts(problem.x, problem.rows.train))
    logger.info(
        "Values are %s.", "counts: normalised to 10 000 per cell and log1p'd" if counts else "taken as they are"
    )
    return counts


def _attempt(problem: Problem, rows: np.ndarray, counts: bool, after: Attempt | None = None) -> Attempt:
    """Train network and linear network on `rows`; `after` a draft, for as many epochs as it found best."""
    columns = problem.columns_for(rows)
    raw, totals = _raw(problem, rows, columns)
    if counts and (raw < 0).any():
        msg = "The matrix holds negative numbers, which are no counts. Name the layer with counts, or Fit(preprocess='none')."
        raise ValueError(msg)
    y = problem.rows.found.codes[rows]
    information = _information(raw, y, problem)
    values = normalise(raw, totals) if counts else raw
    if problem.start is None:
        preprocessing = Preprocessing.learn(values, counts=counts, scale=problem.options.scale)
        preprocessing = preprocessing.weighted(information, problem.options.information_power)
    else:
        preprocessing = problem.start.preprocessing
    scaled, valid = Rows(preprocessing.apply(values), y), None
    if after is None and problem.rows.valid.any():
        raw, totals = _raw(problem, problem.rows.valid, columns)
        values = normalise(raw, totals) if counts else raw
        valid = Rows(preprocessing.apply(values), problem.rows.found.codes[problem.rows.valid])
    trained = {}
    for name, description in {"network": problem.description, "linear": Linear()}.items():
        trained[name] = fit_network(
            description,
            scaled,
            valid,
            problem.options if name == "network" else replace(problem.options, members=1),
            n_classes=len(problem.rows.found.classes),
            seed=problem.seed,
            epochs=None if after is None else getattr(after, name).best_epoch,
            initial=None if problem.start is None else getattr(problem.start, name).state_dict(),
            title=f"{name}, all rows" if after else name,
        )
    return Attempt(columns, preprocessing, scaled, valid, **trained)


def _raw(problem: Problem, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fetch the values of the chosen genes and the totals of the rows, refusing what cannot be learnt from."""
    values, totals = stats.dense(problem.x, rows, columns)
    if not np.isfinite(values).all():
        bad = ~np.isfinite(values)
        where = _slots.listing(problem.names[columns[bad.any(axis=0)]], 3)
        msg = (
            f"{int(bad.any(axis=1).sum())} cells have NaN or infinite values (genes {where}). "
            "Remove or replace them first."
        )
        raise ValueError(msg)
    return values, totals


def _information(raw: np.ndarray, y: np.ndarray, problem: Problem) -> np.ndarray:
    """Measure what each gene tells about the class, as a share of what it could tell."""
    if problem.options.information_power == 0 or problem.start is not None:
        return np.ones(raw.shape[1])
    bins = stats.bin_edges(raw, np.ones(len(y), dtype=bool), bins="auto")
    return stats.normalised_information(stats.contingency(raw, y, bins=bins, n_classes=len(problem.rows.found.classes)))


def _calibrated(network: Network, valid: Rows | None, options: Fit) -> tuple[float, np.ndarray | None]:
    """Find the temperature on the validation rows, and the probabilities it gives there; 1 where there are none."""
    if valid is None:
        return 1.0, None
    scores = logits(network, valid.x, device_of(options.device))
    temperature = stats.fit_temperature(scores, valid.y)
    return temperature, softmax(scores / temperature, axis=1)


def _skill(draft: Attempt, proba: np.ndarray | None, linear_proba: np.ndarray | None) -> dict[str, dict[str, float]]:
    """Measure network, linear network and class prior on the validation rows; nothing where there are none."""
    if draft.valid is None or proba is None or linear_proba is None:
        return {}
    truth, n_classes = draft.valid.y, proba.shape[1]
    prior = np.bincount(draft.rows.y, minlength=n_classes) / len(draft.rows.y)
    models = {"network": proba, "linear": linear_proba, "prior": np.tile(prior, (len(truth), 1))}
    _check_against_prior(*(-np.log(p[np.arange(len(truth)), truth]) for p in (proba, models["prior"])))
    skill = {}
    for name, probabilities in models.items():
        table = stats.confusion(truth, probabilities.argmax(axis=1), n_classes)
        skill[name] = {
            "log_loss": stats.log_loss(probabilities, truth),
            "accuracy": stats.accuracy(table),
            "macro_f1": stats.macro_f1(table),
        }
    return skill


def _check_against_prior(losses: np.ndarray, prior_losses: np.ndarray) -> None:
    """Warn where the network does not beat guessing by more than one standard error of the paired difference."""
    if no_worse(prior_losses, losses, errors=1.0):
        _slots.warn(
            f"The network's log loss on the validation rows ({losses.mean():.3f}) is no better than that of guessing the "
            f"class frequencies ({prior_losses.mean():.3f}), within its error: it has learnt nothing of use. "
            "Train longer (Fit(epochs=…)), or check that the label belongs to these cells."
        )


def _gene_norms(network: Network, preprocessing: Preprocessing) -> np.ndarray:
    """Return the length of each gene's weight vector in the first layer, per standard deviation of the gene."""
    if network.first_linear is None:
        return preprocessing.weight
    weight = network.first_linear.weight.detach().cpu().double().numpy()
    return (np.sqrt((weight**2).sum(axis=0)) * preprocessing.weight).astype(np.float32)
