"""Simulated windows of the genome whose chromatin opens where two motifs meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from cellclf.io._assemble import assemble

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from cellclf._types import Rng

CLOSED_TO_OPEN = 11
PAIRED = 0.8  # share of the open windows that a pair opened
OPENS = 0.9  # share of the windows with a pair that are open
MEAN_HITS, SPREAD = 0.04, 0.8  # hits of a motif per window: mean over the motifs, and spread of its logarithm


def chromatin(n_windows: int = 12_000, *, n_motifs: int = 1372, n_pairs: int = 5, rng: Rng = 0) -> AnnData:
    """Simulate windows of the genome: motifs that they hold, and whether their chromatin is open.

    Motifs hit windows independently of each other, most of them rarely. Some pairs are planted: nine of ten windows that
    hold both motifs of a pair are open. A window that holds one motif of a pair and not the other is no more often open
    than one that holds neither. Eleven windows are closed for each open one, a fifth of the open ones by chance.

    Parameters
    ----------
    n_windows
        Number of windows, 120 or more.
    n_motifs
        Number of motifs.
    n_pairs
        Number of planted pairs; no motif is in two of them.
    rng
        Seed or generator; the same seed gives the same windows.

    Returns
    -------
    AnnData of windows × motifs (`M00001` …): hits as whole numbers in a CSR matrix of float32. `obs["chromatin"]`:
    ``"closed"`` or ``"open"``; `var["planted"]`: number of the pair, from 1, that the motif belongs to (0 = none);
    `uns["planted_pairs"]`: the names of the motifs (n_pairs × 2).

    Raises
    ------
    ValueError
        A number is not whole or too small; more pairs than motifs for them.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.chromatin(1200)
    >>> adata.obs["chromatin"].value_counts().to_dict()
    {'closed': 1100, 'open': 100}
    """
    for name, value, least in (("n_windows", n_windows, 120), ("n_motifs", n_motifs, 2), ("n_pairs", n_pairs, 1)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            msg = f"{name}={value!r} is too few or not whole. Give a whole number of {least} or more."
            raise ValueError(msg)
    if 2 * n_pairs > n_motifs:
        msg = f"n_pairs={n_pairs} pairs need {2 * n_pairs} motifs, but n_motifs={n_motifs}. Give fewer pairs or more motifs."
        raise ValueError(msg)
    generator = np.random.default_rng(rng)
    pairs = generator.permutation(n_motifs)[: 2 * n_pairs].reshape(n_pairs, 2)
    hits = _hits(_rates(generator, n_motifs, pairs), n_windows, generator)
    is_open = _open(hits, pairs, generator)
    names = np.array([f"M{number:05d}" for number in range(1, n_motifs + 1)], dtype=object)
    planted = np.zeros(n_motifs, dtype=np.int64)
    planted[pairs] = np.arange(1, n_pairs + 1)[:, None]
    adata = assemble(
        hits,
        source="the simulation",
        samples=[f"window{number}" for number in range(n_windows)],
        genes=names,
        label="chromatin",
        classes=pd.Categorical.from_codes(is_open.astype(int), categories=pd.Index(["closed", "open"], dtype=object)),
        var=pd.DataFrame({"planted": planted}),
        function="datasets.chromatin",
        call={"n_windows": n_windows, "n_motifs": n_motifs, "n_pairs": n_pairs},
    )
    adata.uns["planted_pairs"] = names[pairs]
    return adata


def _rates(rng: np.random.Generator, n_motifs: int, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Choose how often each motif hits a window; the planted ones such that the pairs open as many as they should."""
    rates = MEAN_HITS * rng.lognormal(-(SPREAD**2) / 2, SPREAD, n_motifs)
    with_pair = PAIRED / OPENS / (1 + CLOSED_TO_OPEN)
    both = 1 - (1 - with_pair) ** (1 / len(pairs))
    rates[pairs] = -np.log1p(-np.sqrt(both))
    return rates


def _hits(rates: NDArray[np.float64], n_windows: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """Spread the hits of each motif over the windows: Poisson numbers, drawn without visiting the zeros."""
    totals = rng.poisson(rates * n_windows)
    motifs = np.repeat(np.arange(len(rates), dtype=np.int32), totals)
    windows = rng.integers(0, n_windows, len(motifs), dtype=np.int32)
    ones = np.ones(len(motifs), dtype=np.float32)
    return sparse.coo_matrix((ones, (windows, motifs)), shape=(n_windows, len(rates))).tocsr()


def _open(hits: sparse.csr_matrix, pairs: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Open most windows with a pair, and as many others by chance as the ratio asks for."""
    held = hits[:, pairs.ravel()].toarray().reshape(-1, *pairs.shape) > 0
    paired = held.all(axis=2).any(axis=1)
    n_open = round(hits.shape[0] / (1 + CLOSED_TO_OPEN))
    n_paired = min(round(OPENS * paired.sum()), n_open)
    is_open = np.zeros(hits.shape[0], bool)
    is_open[rng.choice(np.flatnonzero(paired), n_paired, replace=False)] = True
    is_open[rng.choice(np.flatnonzero(~paired), n_open - n_paired, replace=False)] = True
    return is_open
