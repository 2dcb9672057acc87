"""Variance of the information under permuted labels: a sum over degrees, each of which factorises.

With all sums fixed, the covariance of f(n) in one cell of the table and f(n') in another is Σ a_k a'_k ρ_k over the degrees
k ≥ 1, where a_k are the coefficients of f in the orthonormal (Hahn) polynomials of each count's own law. ρ_k is the product
of a factor for the bins, one in the same bin, else (-1)^k q_k q'_k, and the like for the classes, where q_k² is
r(r-1)…(r-k+1) / ((N-r)(N-r-1)…(N-r-k+1)) for r of N rows. By summation by parts a_k is a scale times the mean k-th
difference of f under the law of k fewer rows in bin and class and 2k fewer in all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cellclf.stats._kernels._compile import compiled, compiled_sums
from cellclf.stats._kernels._null import LOGS, SERIES, SERIES_FROM, SPAN, hypergeometric

DEGREES = 16
NEGLIGIBLE = 1e-9  # share of a cell's variance below which higher degrees are left out
ROUNDING = 1e-12  # share of the cells' own variances below which the sum with the covariances is zero
COUNTS = np.arange(SPAN, dtype=np.float64)
N_TERMS = SERIES.shape[0]


@compiled_sums
def describe(number: int, total: int, scale: Any, ratio: Any, lead: Any, rising: Any) -> None:
    """Write for a bin or class of `number` rows what each degree needs.

    Half of the scale of the coefficients, q_k, the factor of the series, and its inverse rising factorials.
    """
    n = np.float64(total)
    scale[0], ratio[0], lead[0], rising[0] = 1.0, 1.0, 1.0, 1.0
    for k in range(1, DEGREES + 1):
        inside, outside = max(0.0, number - k + 1.0), max(0.0, n - number - k + 1.0)
        scale[k] = scale[k - 1] * (inside / n) * (outside / n)
        ratio[k] = ratio[k - 1] * inside / outside if outside > 0.0 else 0.0
        lead[k] = lead[k - 1] * n / max(1.0, inside) if k > 1 else 1.0
    for k in range(1, DEGREES + 1):
        scale[k] = np.sqrt(scale[k])
        ratio[k] = np.sqrt(ratio[k])
    for j in range(1, N_TERMS):
        rising[j] = rising[j - 1] * n / (number + j - 1.0)


@compiled
def _distant(size: float, members: float, total: float) -> float:
    """Return the fewer expected of the cells that go with this one most closely: all other bins, or all other classes."""
    return min((total - size) * (members / total), size * ((total - members) / total))


@compiled_sums
def _summed_class(
    size: int, code: int, total: int, psi: float, scale: Any, classes: Any, shared: Any, weights: Any, at: int, out: Any
) -> tuple[float, int]:
    """Write the coefficients of n log n, less a line, in one class; return its variance and the last degree that matters.

    The line is a sum of one for the bin and one for the class, so it changes nothing but rounding.
    """
    class_sizes, class_psi, class_scale, differences = classes[0], classes[1], classes[2], shared[1]
    members = np.int64(class_sizes[code])
    slope = 1.0 + psi + class_psi[code]
    lowest, highest = hypergeometric(size, members, total, weights)
    span = slice(lowest, highest + 1)
    chance, counts, logs = weights[span], COUNTS[span], LOGS[span]
    first, second = 0.0, 0.0
    for n in range(chance.shape[0]):
        term = counts[n] * (logs[n] - slope)
        first += chance[n] * term
        second += chance[n] * term * term
    variance = second - first * first
    inside, chosen, left, likeness = np.float64(size), np.float64(members), np.float64(total), 1.0
    distant, bent = _distant(inside, chosen, left), variance
    for k in range(1, DEGREES + 1):
        kappa = scale[k] * class_scale[k, code]
        if kappa == 0.0:
            return variance, k - 1
        step = left * (left - 1.0) / (inside * chosen * (left - inside) * (left - chosen))
        mean = slope if k == 1 else 0.0
        steps = differences[k, span]
        for n in range(chance.shape[0]):
            weight = chance[n] * (step * (inside - counts[n]) * (chosen - counts[n]))
            chance[n] = weight
            mean += weight * steps[n]
        coefficient = kappa * mean
        out[k, at, code] = coefficient
        if k == 1:
            bent -= coefficient * coefficient
        else:
            likeness *= max(1.0, k - 2.0) / distant
            if coefficient * kappa * min(1.0, likeness) < NEGLIGIBLE * bent:
                return variance, k
        inside, chosen, left = inside - 1.0, chosen - 1.0, left - 2.0
    return variance, DEGREES


@compiled_sums
def _series_classes(
    size: int, first: int, total: int, scale: Any, lead: Any, rising: Any, classes: Any, shared: Any, at: int, out: Any
) -> tuple[float, int]:
    """Write the coefficients in the classes from `first`, where many are expected, by a series in inverse factorials.

    Returns the sum of the classes' variances and the last degree that matters. The smallest and the largest class decide.
    """
    class_sizes, class_scale, class_lead, class_rising = classes[0], classes[2], classes[4], classes[5]
    factors, last, n = shared[0], class_sizes.shape[0] - 1, np.float64(total)
    distant = _distant(size, class_sizes[first], n), _distant(size, class_sizes[last], n)
    variance, likeness, needed, sought = 0.0, (1.0, 1.0), 0, True
    for k in range(1, DEGREES + 1):
        factor = scale[k] * lead[k]
        if factor * class_lead[k, first] == 0.0:
            break
        for code in range(first, last + 1):
            out[k, at, code] = 0.0
        for j in range(N_TERMS):
            term = factor * factors[k, j] * rising[j]
            for code in range(first, last + 1):
                out[k, at, code] += term * class_rising[j, code]
            if j > 1 and term * class_rising[j, first] < NEGLIGIBLE * out[k, at, first]:
                break
        squares = 0.0
        for code in range(first, last + 1):
            out[k, at, code] *= class_lead[k, code]
            squares += out[k, at, code] ** 2
        variance += squares
        needed += sought
        if k > 1:
            more = max(1.0, k - 2.0)
            likeness = likeness[0] * more / distant[0], likeness[1] * more / distant[1]
            small = out[k, at, first] * scale[k] * class_scale[k, first] * min(1.0, likeness[0])
            large = out[k, at, last] * scale[k] * class_scale[k, last] * min(1.0, likeness[1])
            sought &= max(small, large) >= NEGLIGIBLE * variance / (last + 1 - first)
            if squares < NEGLIGIBLE * variance:
                break
    return variance, needed


@compiled_sums
def _products(ratios: Any, k: int, here: Any, i: int, there: Any, j: int) -> tuple[float, float]:
    """Sum products of two bins' rows over equal classes and, by the ratios, over unequal ones; the last is the largest.

    Only the ratio of the largest class may exceed one: its own square is never formed, so nothing cancels.
    """
    last = ratios.shape[1] - 1
    equal, squares, mine, yours = 0.0, 0.0, 0.0, 0.0
    for code in range(last):
        product, ratio = here[k, i, code] * there[k, j, code], ratios[k, code]
        equal += product
        squares += ratio * ratio * product
        mine += ratio * here[k, i, code]
        yours += ratio * there[k, j, code]
    equal += here[k, i, last] * there[k, j, last]
    unequal = mine * yours - squares + ratios[k, last] * (here[k, i, last] * yours + there[k, j, last] * mine)
    return equal, unequal


@compiled
def _bin(
    size: int, psi: float, total: int, classes: Any, shared: Any, rooms: Any, at: int, out: Any
) -> tuple[int, float, float]:
    """Write the coefficients of a bin for each degree and class, times its q_k, where zeros stand.

    Returns how many degrees matter, the variance of the bin's part, and the sum of the variances of its cells.
    """
    class_sizes, ratios = classes[0], classes[3]
    scale, ratio, lead, rising, weights = rooms
    n_classes = class_sizes.shape[0]
    describe(size, total, scale, ratio, lead, rising)
    needed, cells, code = 0, 0.0, 0
    while code < n_classes and size * (class_sizes[code] / total) < SERIES_FROM:
        own, degrees = _summed_class(size, code, total, psi, scale, classes, shared, weights, at, out)
        needed, cells, code = max(needed, degrees), cells + own, code + 1
    if code < n_classes:
        own, degrees = _series_classes(size, code, total, scale, lead, rising, classes, shared, at, out)
        needed, cells = max(needed, degrees), cells + own
    variance, sign = cells, 1.0
    for k in range(1, needed + 1):
        sign = -sign
        variance += sign * _products(ratios, k, out, at, out, at)[1]
        for c in range(n_classes):
            out[k, at, c] *= ratio[k]
    return needed, variance, cells


@compiled
def _rooms() -> tuple[Any, Any, Any, Any, Any]:
    """Make the places that `_bin` writes to on the way."""
    return np.empty(DEGREES + 1), np.empty(DEGREES + 1), np.empty(DEGREES + 1), np.empty(N_TERMS), np.empty(SPAN)


@compiled
def bin_laws(sizes: Any, psi: Any, total: int, classes: Any, shared: Any, memory: Any, first: int, stop: int) -> None:
    """Keep in `memory` what `_bin` gives for those of the sizes from `first` to `stop` that have a place there."""
    slot, kept, laws = memory
    rooms = _rooms()
    for i in range(first, stop):
        at = slot[i]
        if at >= 0:
            law = _bin(np.int64(sizes[i]), psi[i], total, classes, shared, rooms, at, kept)
            laws[at, 0], laws[at, 1], laws[at, 2] = law


@compiled_sums
def information_variance(
    genes: Any,
    sizes: Any,
    psi: Any,
    total: int,
    classes: Any,
    shared: Any,
    memory: Any,
    first: int,
    stop: int,
    out: Any,
) -> None:
    """Variance under permuted labels of the sum of n log n over bins and classes, for the genes from `first` to `stop`."""
    offsets, place = genes
    slot, kept, laws = memory
    ratios, n_classes = classes[3], kept.shape[2]
    rooms, rows, before = _rooms(), np.empty((DEGREES + 1, 1, n_classes)), np.empty((DEGREES + 1, 1, n_classes))
    for gene in range(first, stop):
        variance, cells, deepest = 0.0, 0.0, 0
        for column in range(offsets[gene], offsets[gene + 1]):
            i = place[column]
            size, at = np.int64(sizes[i]), slot[i]
            if size == 0 or size == total:
                continue
            if at >= 0:
                source, needed, own, own_cells = kept, np.int64(laws[at, 0]), laws[at, 1], laws[at, 2]
            else:
                source, at = rows, 0
                rows[:] = 0.0
                needed, own, own_cells = _bin(size, psi[i], total, classes, shared, rooms, 0, rows)
            variance += own
            cells += own_cells
            sign = 1.0
            for k in range(1, needed + 1):
                sign = -sign
                if k > deepest:
                    before[k] = 0.0
                    deepest = k
                else:
                    equal, unequal = _products(ratios, k, before, 0, source, at)
                    variance += 2.0 * (sign * equal + unequal)
                for code in range(n_classes):
                    before[k, 0, code] += source[k, at, code]
        out[gene] = variance if variance > ROUNDING * cells else 0.0
