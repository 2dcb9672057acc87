"""What training cells look like to a network, so that others can be told from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellclf import stats
from cellclf.fit._apply import by_member, embedding
from cellclf.fit._hardware import device_of

if TYPE_CHECKING:
    from cellclf.fit import Rows
    from cellclf.nn._network import Network
    from cellclf.tl._attempt import Problem


def novelty(network: Network, rows: Rows, temperature: float, problem: Problem) -> stats.Novelty | None:
    """Learn what the rows that a network was trained on look like; nothing where there are no classes."""
    if not problem.n_classes:
        return None
    chosen = stats.evenly(rows.y, stats.N_LEARNT)
    inputs, device = rows.x[chosen], device_of(problem.options.device)
    return stats.Novelty.learn(
        inputs,
        embedding(network, inputs, device),
        by_member(network, inputs, device) / temperature,
        rows.y[chosen],
        problem.n_classes,
    )
