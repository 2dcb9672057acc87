"""From a matrix and the class of each row to a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from cellclf import _slots, stats
from cellclf._classifier import Classifier
from cellclf.fit._apply import logits
from cellclf.fit._hardware import device_of
from cellclf.fit._judge import no_worse
from cellclf.fit._threads import torch_alone
from cellclf.tl._at_hand import at_hand
from cellclf.tl._attempt import Attempt, Problem, attempt, find_counts
from cellclf.tl._conformal import calibrate, folds_of
from cellclf.tl._novelty import novelty

if TYPE_CHECKING:
    from cellclf._preprocessing import Preprocessing
    from cellclf.fit import Rows, Trained
    from cellclf.nn._network import Network

SMALLEST = np.finfo(np.float64).eps  # as stats.log_loss has it: a probability of zero would make the loss infinite


def learn(problem: Problem, facts: Mapping[str, Any]) -> Classifier:
    """Train, choose epoch and temperature on the validation rows, train again on all rows, and assemble the classifier."""
    with torch_alone(), at_hand(problem) as laid_out:
        return _learnt(laid_out, facts)


def _learnt(problem: Problem, facts: Mapping[str, Any]) -> Classifier:
    """Do so where the values can be read at random."""
    folds = folds_of(problem)
    counts = find_counts(problem)
    draft = attempt(problem, problem.rows.train, counts)
    final = draft
    if problem.rows.refit and not draft.interrupted:
        again = attempt(problem, problem.rows.final, counts, after=draft)
        final = draft if again.interrupted else again
        draft = replace(draft, network=replace(draft.network, interrupted=again.interrupted))
    temperature, proba = _calibrated(draft.network, draft.valid, problem)
    linear_temperature, linear_proba = _calibrated(draft.linear, draft.valid, problem)
    conformal = calibrate(problem, folds, counts, draft, temperature)
    network = final.network.network
    gene_norms = _gene_norms(network, final.preprocessing)
    left = {"genes_left": int((gene_norms > 0).sum())} if problem.options.group_l1 else {}
    return Classifier(
        description=problem.description,
        network=network,
        linear=None if final.linear is None else final.linear.network,
        genes=problem.names[final.columns],
        classes=problem.rows.found.classes,
        preprocessing=final.preprocessing,
        novelty=novelty(final, temperature, problem, draft),
        temperature=temperature,
        linear_temperature=linear_temperature,
        prior=_prior(final, problem.n_classes),
        gene_norms=gene_norms,
        options=problem.options,
        epochs=draft.network.history,
        facts={
            **facts,
            "n_rows": len(final.rows.y),
            "best_epoch": draft.network.best_epoch,
            "batch_size": final.network.batch_size,
            "stacked": dict(final.loud),
            "interrupted": draft.interrupted or (folds is not None and conformal is None),
            "skill": _skill(draft, proba, linear_proba, problem.n_classes),
            "calibration": _calibration(draft, proba, problem),
            **left,
        },
        conformal=conformal,
    )


def _prior(fitted: Attempt, n_classes: int) -> np.ndarray:
    """Return the share of each class among the rows."""
    return np.bincount(fitted.rows.y, minlength=n_classes)[:n_classes] / len(fitted.rows.y)


def _calibrated(trained: Trained | None, valid: Rows | None, problem: Problem) -> tuple[float, np.ndarray | None]:
    """Find the temperature on the validation rows, and the probabilities it gives there; 1 where there are none."""
    if valid is None or trained is None or not problem.n_classes:
        return 1.0, None
    scores = logits(trained.network, valid.x, device_of(problem.options.device))
    temperature = stats.fit_temperature(scores, valid.y)
    return temperature, softmax(scores / temperature, axis=1)


def _calibration(draft: Attempt, proba: np.ndarray | None, problem: Problem) -> dict[str, float]:
    """Measure what the temperature does on the rows that chose it, which trained nothing; nothing where there are none."""
    if draft.valid is None or proba is None:
        return {}
    truth = draft.valid.y
    before = softmax(logits(draft.network.network, draft.valid.x, device_of(problem.options.device)), axis=1)
    return {"n_rows": len(truth)} | {
        f"{name}_{when}": measure(probabilities, truth)
        for name, measure in (("log_loss", stats.log_loss), ("calibration_error", stats.expected_calibration_error))
        for when, probabilities in (("before", before), ("after", proba))
    }


def _skill(
    draft: Attempt, proba: np.ndarray | None, linear_proba: np.ndarray | None, n_classes: int
) -> dict[str, dict[str, float]]:
    """Measure network, linear network and class prior on the validation rows; nothing where there are none."""
    if draft.valid is None or proba is None or linear_proba is None:
        return {}
    truth = draft.valid.y
    models = {"network": proba, "linear": linear_proba, "prior": np.tile(_prior(draft, n_classes), (len(truth), 1))}
    of_truth = (np.maximum(p[np.arange(len(truth)), truth], SMALLEST) for p in (proba, models["prior"]))
    _check_against_prior(*(-np.log(p) for p in of_truth))
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
