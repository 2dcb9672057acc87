"""How far measures of predictions scatter if other rows had been drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bootstrap_confusion(
    truth: NDArray[np.integer[Any]],
    predicted: NDArray[np.integer[Any]],
    n_classes: int,
    *,
    n_repeats: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw rows with replacement, and tabulate what each of several models makes of the same rows.

    Parameters
    ----------
    truth
        Class of each row (n_obs), 0 to n_classes - 1.
    predicted
        Predicted classes (n_models × n_obs).
    n_classes
        Number of classes.
    n_repeats
        How often to draw.
    rng
        Generator.

    Returns
    -------
    Confusion tables (n_repeats × n_models × n_classes × n_classes), truth in rows; each holds n_obs rows.

    Examples
    --------
    >>> truth, predicted = np.array([0, 1, 1]), np.array([[0, 1, 0]])
    >>> bootstrap_confusion(truth, predicted, 2, n_repeats=4, rng=np.random.default_rng(0)).sum(axis=(1, 2, 3))
    array([3, 3, 3, 3])
    """
    outcomes, sizes = np.unique(np.vstack([truth, predicted]), axis=1, return_counts=True)
    drawn = rng.multinomial(sizes.sum(), sizes / sizes.sum(), size=n_repeats)
    tables = np.zeros((n_repeats, len(predicted), n_classes, n_classes), np.int64)
    for model, classes in enumerate(outcomes[1:]):
        for outcome, (true, found) in enumerate(zip(outcomes[0], classes, strict=True)):
            tables[:, model, true, found] += drawn[:, outcome]
    return tables
