"""What a pass over the data found wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats._blocks import require_sound

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_GENE = np.iinfo(np.int64).max


class BadValueError(ValueError):
    """Values that cannot be counted; `gene` is the number of the first gene with one."""

    def __init__(self, message: str, gene: int) -> None:
        super().__init__(message)
        self.gene = gene


@dataclass(frozen=True)
class Findings:
    """How many values were not finite, how many were no counts, the first gene with each, and the order of indices."""

    not_finite: int = 0
    gene_not_finite: int = NO_GENE
    not_whole: int = 0
    gene_not_whole: int = NO_GENE
    disorder: int = 0

    @classmethod
    def of(cls, results: Iterable[Any]) -> Findings:
        """Gather what the kernels returned."""
        found = reduce(cls.__or__, (cls(*map(int, result)) for result in results), cls())
        require_sound(found.disorder)
        return found

    def __or__(self, other: Findings) -> Findings:
        return Findings(
            self.not_finite + other.not_finite,
            min(self.gene_not_finite, other.gene_not_finite),
            self.not_whole + other.not_whole,
            min(self.gene_not_whole, other.gene_not_whole),
            max(self.disorder, other.disorder),
        )

    def shifted(self, first_gene: int) -> Findings:
        """Count genes from the first of the matrix rather than of the block."""
        return replace(
            self,
            gene_not_finite=self.gene_not_finite + first_gene if self.not_finite else NO_GENE,
            gene_not_whole=self.gene_not_whole + first_gene if self.not_whole else NO_GENE,
        )

    def require_finite(self) -> None:
        """Refuse NaN and infinity."""
        if self.not_finite:
            msg = (
                f"{self.not_finite} values are NaN or infinite, the first in gene {self.gene_not_finite} (counted from 0). "
                "Remove those genes or cells, or fill the values."
            )
            raise BadValueError(msg, self.gene_not_finite)

    def require_whole(self) -> None:
        """Refuse what cannot be a count."""
        if self.not_whole:
            msg = (
                f"{self.not_whole} values are negative or not whole, the first in gene {self.gene_not_whole} "
                "(counted from 0), so they are no counts. Give raw counts, or use bins='quantile' or bins='auto'."
            )
            raise BadValueError(msg, self.gene_not_whole)
