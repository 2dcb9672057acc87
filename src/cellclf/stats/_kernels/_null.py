"""Mean of the information under permuted labels, and the law of one count that it rests on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled

SERIES_FROM = 24.0  # expected count from which a series, then good to 1e-8, replaces sums over the law of the count
SPAN = 192  # counts below this are summed; with fewer than `SERIES_FROM` expected, larger ones never occur
WEIGHT_FLOOR = 1e-18
LOGS = np.log(np.maximum(1, np.arange(SPAN)))


def _inverse(series: list[float]) -> list[float]:
    """Return the power series of 1 / s, where s begins with one."""
    out = [1.0]
    for order in range(1, len(series)):
        out.append(-sum(series[i] * out[order - i] for i in range(1, order + 1)))
    return out


def _series(n_terms: int) -> list[float]:
    """Coefficients of u² / ((1 - u) log²(1 - u)), which turn differences of n log n into inverse factorials."""
    root = _inverse([1.0 / (i + 1) for i in range(n_terms)])  # of -u / log(1 - u)
    square = [sum(root[i] * root[order - i] for i in range(order + 1)) for order in range(n_terms)]
    return [math.fsum(square[: order + 1]) for order in range(n_terms)]


SERIES = np.array(_series(9))


@compiled
def hypergeometric(size: int, members: int, total: int, weights: Any) -> tuple[int, int]:
    """Write the law of the count of `members` among `size` of `total` rows; return the first and last count that matter."""
    rest = total - size - members
    lowest, highest = max(0, -rest), min(min(size, members), weights.shape[0] - 1)
    mode = min(highest, max(lowest, np.int64((size + 1.0) * (members + 1.0) / (total + 2.0))))
    weights[mode] = 1.0
    weight, whole, last, first = 1.0, 1.0, mode, mode
    for n in range(mode, highest):
        weight *= (np.float64(size - n) * (members - n)) / ((n + 1.0) * (rest + n + 1.0))
        if weight < WEIGHT_FLOOR:
            break
        last = n + 1
        weights[last] = weight
        whole += weight
    weight = 1.0
    for n in range(mode - 1, lowest - 1, -1):
        weight *= ((n + 1.0) * (rest + n + 1.0)) / (np.float64(size - n) * (members - n))
        if weight < WEIGHT_FLOOR:
            break
        first = n
        weights[first] = weight
        whole += weight
    share = 1.0 / whole
    for n in range(first, last + 1):
        weights[n] *= share
    return first, last


@compiled
def _series_mean(size: float, members: float, total: float, lag: float) -> float:
    """Mean of n log(n / μ), μ being the expected count, by a series in inverse factorials."""
    mean, term = 0.5 + lag * size * members / total, 1.0
    for j in range(2, SERIES.shape[0]):
        term *= (total + j - 1.0) / ((size + j - 1.0) * (members + j - 1.0)) * max(1.0, j - 2.0)
        mean += SERIES[j] * term
    return mean


@compiled
def bin_excess(
    sizes: Any, lags: Any, class_sizes: Any, class_lags: Any, total: int, first: int, stop: int, mean: Any
) -> None:
    """Mean under permuted labels of the sum over classes of n log(n / μ) in bins of the given sizes.

    A lag is ψ(n) - log n, less that of the total for classes.
    """
    weights = np.empty(SPAN)
    for i in range(first, stop):
        size = np.int64(sizes[i])
        if size == 0 or size == total:
            continue
        for code in range(class_sizes.shape[0]):
            members = np.int64(class_sizes[code])
            expected = size * (members / total)
            if expected >= SERIES_FROM:
                lag = lags[i] + class_lags[code]
                mean[i] += _series_mean(np.float64(size), np.float64(members), np.float64(total), lag)
                continue
            lowest, highest = hypergeometric(size, members, total, weights)
            log_expected = math.log(expected)
            for n in range(lowest, highest + 1):
                mean[i] += weights[n] * (n * (LOGS[n] - log_expected) - (n - expected))
