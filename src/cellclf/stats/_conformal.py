"""Sets of classes that hold the true one with a stated frequency, and cells that belong to none."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Conformal:
    """What networks that never saw them say of labelled cells of `classes` (n_cells, int32).

    `scores` (n_cells, float32) say how badly a cell fits its own class, `novelty` how unlike it is any training cell; the higher,
    the worse.
    """

    scores: NDArray[Any]
    novelty: NDArray[Any]
    classes: NDArray[Any]
    n_classes: int

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of cells of each class."""
        return np.bincount(self.classes, minlength=self.n_classes)

    def judged_alone(self, error_rate: float) -> NDArray[np.bool_]:
        """Tell which classes have cells enough to be judged by themselves: one over the error rate, less one."""
        return self.sizes >= _needed(error_rate)

    def of_classes(
        self, scores: NDArray[Any], error_rate: float, chance: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """Compare how badly cells fit each class with how badly its own cells do :cite:p:`Vovk2005`.

        The rank of a cell among n others is a whole number, and the stated share may lie between two of them; where n is small,
        too few cells would then be left out. A number drawn for each cell says how much of its own rank counts, so that the share
        is met exactly.

        Parameters
        ----------
        scores
            Nonconformity of each cell with each class (n_cells × n_classes).
        error_rate
            Share of cells whose set may lack the true class. It decides which classes are compared with their own cells, and
            which, being too small, with all cells together.
        chance
            A number for each cell (n_cells), drawn evenly from 0 to 1 and from nothing that is known of its class: the share of
            its own rank, and of known cells with exactly its score, that is counted. `None`: all of it, so that sets are a little
            larger than need be.

        Returns
        -------
        (n_cells × n_classes): the share of the known cells, this one included, that fit their class no better than this one
        would. The set of a cell holds the classes whose share exceeds the error rate.

        Raises
        ------
        ValueError
            The error rate does not lie between 0 and 1, there are too few known cells for it, or scores are missing.

        Examples
        --------
        >>> known = Conformal(np.arange(4.0), np.arange(4.0), np.zeros(4, dtype=np.int32), 1)
        >>> known.of_classes(np.array([[2.5], [9.0]]), 0.2)
        array([[0.4],
               [0.2]])
        """
        self._check(scores, error_rate)
        alone, found = self.judged_alone(error_rate), np.empty(np.shape(scores))
        for k in range(self.n_classes):
            own = self.scores[self.classes == k] if alone[k] else self.scores
            found[:, k] = _as_bad(scores[:, k], own, chance)
        return found

    def of_any(self, novelty: NDArray[Any], error_rate: float) -> NDArray[np.float64]:
        """Compare how unlike any training cell cells are with how unlike known ones are.

        Parameters
        ----------
        novelty
            Strangeness of each cell (n_cells).
        error_rate
            Share of known cells that may be rejected.

        Returns
        -------
        The share of the known cells, this one included, that are as strange or stranger (n_cells): the p-value of belonging to
        any class at all.

        Raises
        ------
        ValueError
            As for :meth:`of_classes`.
        """
        self._check(novelty[:, None], error_rate)
        return _as_bad(novelty, self.novelty)

    def _check(self, scores: NDArray[Any], error_rate: float) -> None:
        """Refuse an error rate that these cells cannot show, and missing scores (n_cells, any)."""
        check_error_rate(error_rate)
        if len(self.scores) < _needed(error_rate):
            msg = (
                f"{len(self.scores)} calibration cells are too few for an error rate of {error_rate}: none could ever be "
                f"left out. Give {1 / (len(self.scores) + 1):.2g} or more, or calibrate on more cells."
            )
            raise ValueError(msg)
        if np.isnan(scores).any():
            msg = f"{int(np.isnan(scores).any(axis=1).sum())} cells have no score (NaN). Check the network and its inputs."
            raise ValueError(msg)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {"scores": self.scores, "novelty": self.novelty, "classes": self.classes}

    @classmethod
    def restore(cls, tensors: Mapping[str, NDArray[Any]], n_classes: int) -> Conformal | None:
        """Rebuild from the arrays; `None` where there are none."""
        return cls(tensors["scores"], tensors["novelty"], tensors["classes"], n_classes) if tensors else None


def _as_bad(values: NDArray[Any], known: NDArray[Any], chance: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Return the share of known values that are as high as each value or higher; of itself and its equals, `chance` counts."""
    ordered = np.sort(known)
    below, not_above = (np.searchsorted(ordered, values.astype(ordered.dtype), side=side) for side in ("left", "right"))
    equals = 1 + not_above - below
    return (len(ordered) - not_above + (equals if chance is None else chance * equals)) / (1 + len(ordered))


def nonconformity(probabilities: NDArray[Any], strangeness: NDArray[Any]) -> NDArray[np.float32]:
    """Measure how badly cells fit each class: by the network, and by how unlike the training cells of the class they are.

    Parameters
    ----------
    probabilities
        (n_cells × n_classes).
    strangeness
        (n_cells × n_classes); 0 for the average training cell of a class, 1 for one standard deviation more.

    Returns
    -------
    Minus the logarithm of the probability, plus twice the strangeness (n_cells × n_classes).
    """
    smallest = np.finfo(np.float32).tiny
    return (2 * strangeness - np.log(np.maximum(probabilities, smallest))).astype(np.float32)


def check_error_rate(value: object) -> None:
    """Refuse what is no share between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
        msg = f"An error rate of {value!r} has no meaning. Give a share between 0 and 1, such as 0.05."
        raise ValueError(msg)


def _needed(error_rate: float) -> float:
    """Return how many cells it takes for one to be left out; rounding does not ask for one more."""
    return 1 / error_rate - 1 - 1e-9
