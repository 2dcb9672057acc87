"""What a matrix seems to hold, judged by rows spread over all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from cellclf.stats import sample_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cellclf._types import Matrix

SAMPLE_ROWS, RUN, SAMPLE_VALUES = 512, 16, 2**23
FEW_ROWS = 8  # that fewer rows have equal sums proves nothing
SAME, MOST = 1e-3, 0.9  # sums are one sum if so many lie so close to their median
RATIOS, NEAR = (1.5, 30.0), 2e-3  # which ratios to the smallest value are examined; how close to whole they must be
LARGEST_LOGARITHM = 60.0
BASES = {"e": float(np.e), "2": 2.0, "10": 10.0}


class Content(NamedTuple):
    """What the matrix holds, the sum of each row and the base of the logarithm (NaN where there is none), and why."""

    holds: str
    target_sum: float
    log_base: float
    evidence: list[str]


class Genes(NamedTuple):
    """What is known about each gene from all rows."""

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def sampled(x: Matrix) -> sparse.csr_matrix:
    """Copy the values of a few rows, in short runs spread evenly over the matrix; a wide matrix gives fewer."""
    n_rows = max(RUN, min(SAMPLE_ROWS, SAMPLE_VALUES // x.shape[1]) // RUN * RUN)
    return sample_rows(x, np.ones(x.shape[0], bool), n_rows, run=RUN).tocsr()


def content(sample: sparse.csr_matrix, genes: Genes, n_rows: int) -> Content:
    """Judge what the values are."""
    low, high = float(genes.lowest.min()), float(genes.highest.max())
    values = sample.data
    looked = f"{sample.shape[0]:,} of {n_rows:,} rows, spread over the whole matrix, were looked at"
    evidence = [
        f"{looked}: {values.size:,} values other than zero.",
        f"Over all rows, values lie between {number(low)} and {number(high)}.",
    ]
    if values.size == 0:
        return _content("other", [*evidence, "Every value looked at is zero."])
    if low < 0:
        return _with_negatives(genes, evidence)
    n_whole = int((values == np.floor(values)).sum())
    if n_whole == values.size:
        holds = "binary" if high == 1 else "counts"
        return _content(holds, [*evidence, "All of them are whole numbers, none is negative."])
    evidence.append(f"{n_whole / values.size:.1%} of them are whole numbers, none is negative.")
    return _fractions(sample, genes, evidence) or _logarithms(sample, high, evidence)


def _content(holds: str, evidence: Sequence[str], target_sum: float = np.nan, log_base: float = np.nan) -> Content:
    """Fill in what there is none of."""
    return Content(holds, target_sum, log_base, list(evidence))


def _with_negatives(genes: Genes, evidence: list[str]) -> Content:
    """Tell z-scores from other values with negative ones among them."""
    varying = genes.std > 0
    mean, std = np.median(np.abs(genes.mean[varying])), np.median(genes.std[varying])
    evidence.append(
        f"There are negative values. Over the genes, the median of |mean| is {mean:.3g} "
        f"and that of the standard deviation {std:.3g}."
    )
    if mean < 0.1 and abs(std - 1) < 0.1:
        return _content("scaled", [*evidence, "So each gene was brought to mean 0 and standard deviation 1."])
    return _content("other", [*evidence, "They are no z-scores, and neither counts nor log1p can be negative."])


def _fractions(sample: sparse.csr_matrix, genes: Genes, evidence: list[str]) -> Content | None:
    """Recognise genes scaled to 0 … 1, shares of a total, and other values between 0 and 1."""
    high, varying = genes.highest.max(), genes.std > 0
    full = float(np.isclose(genes.highest[varying], 1).mean()) if varying.any() else 0.0
    empty = float((genes.lowest[varying] == 0).mean()) if varying.any() else 0.0
    if high <= 1 + 1e-6 and min(full, empty) > 0.95:
        return _content(
            "scaled", [*evidence, f"{full:.0%} of the genes reach from 0 to 1: they were scaled to this range."]
        )
    sums = np.asarray(sample.sum(axis=1, dtype=np.float64)).ravel()
    if (total := common(sums)) is not None:
        return _content(
            "fractions",
            [*evidence, f"Each row sums to {number(total)}: shares of this total, no logarithm taken."],
            total,
        )
    if high <= 1:
        return _content("fractions", [*evidence, "No value exceeds 1, and the sums of the rows differ."])
    return None


def number(value: float) -> str:
    """Write a number: large ones in full, small ones with six digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def common(sums: NDArray[np.float64]) -> float | None:
    """Return the sum that nearly all rows have, if there is one; empty rows do not count."""
    sums = sums[sums > 0]
    if sums.size < FEW_ROWS:
        return None
    median = float(f"{np.median(sums):.6g}")  # more digits are rounding errors
    return median if (np.abs(sums - median) <= SAME * median).mean() >= MOST else None


def _logarithms(sample: sparse.csr_matrix, high: float, evidence: list[str]) -> Content:
    """Undo log(1 + value) in each base: rows then have one sum, or hold whole multiples of their smallest value."""
    sums: dict[str, NDArray[np.float64]] = {}
    for name in [name for name, base in BASES.items() if high * np.log(base) < LARGEST_LOGARITHM]:
        x = _undo(sample, BASES[name])
        sums[name] = np.asarray(x.sum(axis=1)).ravel()
        of_counts = f"logarithm (base {name}) of 1 + normalised counts"
        if (total := common(sums[name])) is not None:
            told = f"Without the {of_counts}, each row sums to {number(total)}."
            return _content("log1p", [*evidence, told], total, BASES[name])
        share, n = whole_ratios(x)
        if n >= 100 and share > MOST:
            told = (
                f"Without the {of_counts}, {share:.0%} of the values are whole multiples of the smallest of their row: one "
                "count. The sums of the rows differ, so genes were left out after normalising, and the target sum cannot be told."
            )
            return _content("log1p", [*evidence, told], log_base=BASES[name])
    why = [_told(name, values) for name, values in sums.items()] or ["Values this large are no logarithms."]
    return _content("other", [*evidence, "The rows do not have one sum.", *why])


def _undo(sample: sparse.csr_matrix, base: float) -> sparse.csr_matrix:
    """Return base ** value - 1."""
    data = np.expm1(sample.data.astype(np.float64) * np.log(base))
    return sparse.csr_matrix((data, sample.indices, sample.indptr), shape=sample.shape)


def whole_ratios(x: sparse.csr_matrix) -> tuple[float, int]:
    """Return which share of the values are whole multiples of the smallest of their row, and how many were compared."""
    filled = np.flatnonzero(np.diff(x.indptr))
    if filled.size == 0:
        return 0.0, 0
    smallest = np.minimum.reduceat(x.data, x.indptr[filled])
    ratios = x.data / np.repeat(smallest, np.diff(x.indptr)[filled])
    ratios = ratios[(ratios > RATIOS[0]) & (ratios < RATIOS[1])]
    near = np.abs(ratios - np.round(ratios)) <= NEAR * ratios
    return (float(near.mean()) if near.size else 0.0), int(near.size)


def _told(name: str, sums: NDArray[Any]) -> str:
    """Say how far apart the sums are."""
    low, middle, high = np.quantile(sums, [0.05, 0.5, 0.95])
    return (
        f"As a logarithm (base {name}) of 1 + normalised counts, rows would sum to {number(middle)} "
        f"(median; 90 % of them between {number(low)} and {number(high)}), not to one target."
    )
