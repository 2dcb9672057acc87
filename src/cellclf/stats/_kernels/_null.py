"""Moments of the information under permuted labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.stats._kernels._compile import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

SERIES_FROM = 64.0  # expected count from which the expansion replaces the sum; it is then good to 1e-6
WEIGHT_FLOOR = 1e-19
LOGS = np.log(np.maximum(1, np.arange(1024)))  # of counts, as far as the sums usually go


@compiled
def _series_mean(size: float, expected: float, share: float, total: float) -> float:
    """Expansion of E[n log n] - μ log μ about μ, by the central moments of the hypergeometric law."""
    m2 = expected * (1.0 - share) * (total - size) / (total - 1.0)
    if m2 <= 0.0:
        return 0.0
    m3 = m2 * (1.0 - 2.0 * share) * (total - 2.0 * size) / (total - 2.0)
    members = share * total
    product = size * members * (total - members) * (total - size)
    kurtosis = (total - 1.0) * total * total * (
        total * (total + 1.0) - 6.0 * members * (total - members) - 6.0 * size * (total - size)
    ) + 6.0 * product * (5.0 * total - 6.0)
    m4 = m2 * m2 * (3.0 + kurtosis / (product * (total - 2.0) * (total - 3.0)))
    series = m2 * m2 * m2 / (2.0 * expected) - m2 * m3 / 2.0  # sixth and fifth moment to leading order
    series = series / expected + m4 / 12.0
    series = series / expected - m3 / 6.0
    series = series / expected + m2 / 2.0
    return series / expected


@compiled
def _log(n: int) -> float:
    """Return the logarithm of a count."""
    return LOGS[n] if n < LOGS.shape[0] else math.log(n)


@compiled
def _sum_moments(size: int, members: int, total: int, expected: float) -> tuple[float, float]:
    """Mean and variance of n log(n / μ) - (n - μ) by summing over the hypergeometric law, outwards from its mode."""
    lowest, highest = max(0, size + members - total), min(size, members)
    mode = min(highest, max(lowest, (size + 1) * (members + 1) // (total + 2)))
    log_expected = math.log(expected)
    weights, first, second = 0.0, 0.0, 0.0
    weight = 1.0
    for n in range(mode, highest + 1):
        term = expected - n
        if n > 0:
            term += n * (_log(n) - log_expected)
        weights += weight
        first += weight * term
        second += weight * term * term
        weight *= (size - n) / (n + 1.0) * ((members - n) / (total - size - members + n + 1.0))
        if weight < WEIGHT_FLOOR:
            break
    weight = 1.0
    for n in range(mode - 1, lowest - 1, -1):
        weight *= (n + 1.0) / (size - n) * ((total - size - members + n + 1.0) / (members - n))
        if weight < WEIGHT_FLOOR:
            break
        term = expected - n
        if n > 0:
            term += n * (_log(n) - log_expected)
        weights += weight
        first += weight * term
        second += weight * term * term
    mean = first / weights
    return mean, max(0.0, second / weights - mean * mean)


@compiled
def bin_excess(sizes: Any, class_sizes: Any, total: int, first: int, stop: int, mean: Any, variance: Any) -> None:
    """Mean and variance under permuted labels of the sum over classes of n log(n / μ) in bins of the given sizes."""
    for i in range(first, stop):
        size = np.int64(sizes[i])
        if size == 0 or size == total:
            continue
        rest = ((total - size) / (total - 1.0)) ** 2 / 2.0
        covariance = 1.0
        for code in range(class_sizes.shape[0]):
            members = np.int64(class_sizes[code])
            share = members / total
            expected = size * share
            covariance -= share * share
            if expected >= SERIES_FROM:
                mean[i] += _series_mean(np.float64(size), expected, share, np.float64(total))
                variance[i] += (1.0 - share) ** 2 * rest
            else:
                cell_mean, cell_variance = _sum_moments(size, members, total, expected)
                mean[i] += cell_mean
                variance[i] += cell_variance
        variance[i] += covariance * rest


@compiled
def _fold_class(weight: Any, first: Any, second: Any, own: Any, term: Any, size: int) -> None:
    """Fold one more class into the law of a bin's statistic (in place, from the largest size down)."""
    for total in range(size, -1, -1):
        w, s, q = 0.0, 0.0, 0.0
        for n in range(total + 1):
            v, t = own[n], term[n]
            w += weight[total - n] * v
            s += (first[total - n] + weight[total - n] * t) * v
            q += (second[total - n] + 2.0 * first[total - n] * t + weight[total - n] * t * t) * v
        weight[total], first[total], second[total] = w, s, q


@compiled
def bin_variance(class_sizes: Any, total: int, size: int) -> NDArray[np.float64]:
    """Exact variance under permuted labels of the sum over classes of n log(n / μ), for bins of each size up to `size`."""
    weight, first, second = np.zeros(size + 1), np.zeros(size + 1), np.zeros(size + 1)
    own, term = np.zeros(size + 1), np.zeros(size + 1)
    weight[0] = 1.0
    scale = total / size  # keeps the weights of the likely sizes near one
    for code in range(class_sizes.shape[0]):
        own[0] = 1.0
        for n in range(1, size + 1):
            term[n] = n * math.log(n * (total / class_sizes[code]) / size)  # the size of the bin itself does not vary
        for n in range(size):
            own[n + 1] = own[n] * max(0.0, (class_sizes[code] - n) / ((n + 1.0) * scale))
        _fold_class(weight, first, second, own, term, size)
    variance = np.zeros(size + 1)
    for n in range(size + 1):
        if weight[n] > 0.0:
            mean = first[n] / weight[n]
            variance[n] = max(0.0, second[n] / weight[n] - mean * mean)
    return variance
