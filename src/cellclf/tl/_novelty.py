"""What training cells look like to a network, so that others can be told from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellclf import stats
from cellclf.fit._apply import by_member, embedding
from cellclf.fit._hardware import device_of
from cellclf.stats._novelty import enough

if TYPE_CHECKING:
    import numpy as np

    from cellclf.tl._attempt import Attempt, Problem


def novelty(final: Attempt, temperature: float, problem: Problem, draft: Attempt) -> stats.Novelty | None:
    """Learn what the rows that the last network was trained on look like; nothing where there are no classes."""
    if not problem.n_classes:
        return None
    first = of_draft(draft, temperature, problem)
    return first if final.rows is draft.rows else like(first, final, temperature, problem)


def of_draft(draft: Attempt, temperature: float, problem: Problem) -> stats.Novelty:
    """Learn what the draft was trained on looks like, and how far from it new cells are in each measure.

    The draft had not seen the validation rows, so these tell what energy new cells have.
    """
    unseen = None
    if draft.valid is not None:
        some = draft.valid.x[stats.evenly(draft.valid.y, stats.N_LEARNT)]
        unseen = by_member(draft.network.network, some, device_of(problem.options.device)) / temperature
    return _learn(draft, temperature, problem, unseen=unseen)


def like(first: stats.Novelty, fitted: Attempt, temperature: float, problem: Problem) -> stats.Novelty:
    """Learn what the rows of another network look like, with the scales of the first, so that scores can be compared."""
    return _learn(fitted, temperature, problem, like=first)


def _learn(
    fitted: Attempt,
    temperature: float,
    problem: Problem,
    *,
    unseen: np.ndarray | None = None,
    like: stats.Novelty | None = None,
) -> stats.Novelty:
    """Learn from what the network reads of the rows, its embedding, and its logits where nothing else tells their energy."""
    network, rows, device = fitted.network.network, fitted.rows, device_of(problem.options.device)
    chosen = stats.evenly(rows.y, stats.N_LEARNT)
    inputs = rows.x[chosen] if len(chosen) < len(rows.y) else rows.x[:]
    told = like is not None or enough(unseen)
    return stats.Novelty.learn(
        inputs,
        embedding(network, inputs, device),
        None if told else by_member(network, inputs, device) / temperature,
        rows.y[chosen],
        problem.n_classes,
        unseen=unseen,
        like=like,
        emphasis=fitted.emphasis,
    )
