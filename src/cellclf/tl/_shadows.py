"""The null of importance: shadow genes, whose cells are shuffled, compete for places, are trained on and measured."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellclf import _slots, stats
from cellclf.attribution import shadow_qvalues
from cellclf.tl._lesson import Lesson, Pupil, check_all_there, fetch, teach
from cellclf.tl._model import layer_to_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from cellclf._classifier import Classifier

logger = logging.getLogger("cellclf")

LEVEL = 0.05
MOST_CELLS = 2**15  # that learn beside shadows, or judge them: all values lie in memory, several times
FEWEST_OF_CLASS = 50  # that stay of each class where cells are left out


class Null(NamedTuple):
    """The q-value of each gene of the model, and the number of shadows that won a place, in all networks together."""

    qvalues: np.ndarray
    n_shadows: int
    n_networks: int

    @property
    def n_passing(self) -> int:
        """Number of genes whose q-value is at most 0.05."""
        return int((self.qvalues <= LEVEL).sum())


def shadow_null(
    adata: AnnData,
    model: Classifier,
    codes: np.ndarray,
    learnt: np.ndarray,
    judged: np.ndarray,
    *,
    n_networks: int,
    seed: int,
    layer: str | None,
    gene_symbols: str | None,
    score: Callable[[Pupil, np.ndarray, np.ndarray], np.ndarray],
) -> Null:
    """Train the network again beside shadow genes, on the rows it learnt from, and measure both on the `judged` rows.

    Each of several networks has shadows of its own; where it would be judged on rows it learnt from, each leaves out its
    part of them. `score` takes a network, the inputs of some judged rows and which of them they are, and gives the
    importance of each input. Ctrl-C keeps the networks that are finished.
    """
    generator = np.random.default_rng(seed)
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    check_all_there(model, columns)
    number = np.cumsum(judged) - 1
    learnt, judged = (_at_most(MOST_CELLS, rows, codes, generator) for rows in (learnt, judged))
    both = learnt | judged
    raw, values = fetch(adata, model, columns, both, layer=layer)
    place = np.cumsum(both) - 1
    genes: list[np.ndarray] = []
    shadows: list[np.ndarray] = []
    try:
        for taught, heard in _parts(codes, learnt, judged, n_networks, generator):
            source = _sources(learnt, judged, generator)
            winners = _winners(adata, codes, columns, learnt, source, layer=layer_to_read(adata, model, layer))
            shadow_raw, shadow_values = fetch(adata, model, winners, both, layer=layer)
            rows, sources = place[taught], place[source[taught]]
            material = Lesson(
                np.hstack([raw[rows], shadow_raw[sources]]),
                np.hstack([values[rows], shadow_values[sources]]),
                codes[taught],
            )
            pupil = teach(model, material, seed=int(generator.integers(2**62)), title="train with shadow genes")
            inputs = np.hstack([values[place[heard]], shadow_values[place[source[heard]]]])
            found = score(pupil, pupil.preprocessing.apply(inputs), number[heard])
            genes.append(found[: len(columns)])
            shadows.append(found[len(columns) :])
    except KeyboardInterrupt:
        if not genes:
            raise
        logger.warning("Interrupted: the null rests on %d of %d networks.", len(genes), n_networks)
    pooled = np.concatenate(shadows)
    return Null(shadow_qvalues(np.array(genes), pooled), len(pooled), len(genes))


def _at_most(n: int, rows: np.ndarray, codes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw about so many of some rows (mask): of each class its share, and all where it is rare."""
    if rows.sum() <= n:
        return rows
    kept, share = np.zeros_like(rows), n / rows.sum()
    for k in np.unique(codes[rows]):
        own = generator.permutation(np.flatnonzero(rows & (codes == k)))
        kept[own[: max(FEWEST_OF_CLASS, round(share * len(own)))]] = True
    return kept


def _parts(
    codes: np.ndarray, learnt: np.ndarray, judged: np.ndarray, n: int, generator: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each network the rows (masks) that it learns from, and those on which it is judged: never the same."""
    if not (learnt & judged).any():
        return [(learnt, judged)] * n
    fold = np.full(len(codes), -1)
    for k in np.unique(codes[judged]):
        rows = generator.permutation(np.flatnonzero(judged & (codes == k)))
        fold[rows] = (np.arange(len(rows)) + generator.integers(n)) % n
    return [(learnt & (fold != part), fold == part) for part in range(n) if (fold == part).any()]


def _sources(learnt: np.ndarray, judged: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw for each row the row whose values its shadows take: one it learnt from for such a row, else another judged one."""
    source = np.arange(len(learnt))
    for rows in (learnt, judged & ~learnt):
        positions = np.flatnonzero(rows)
        source[positions] = generator.permutation(positions)
    return source


def _winners(
    adata: AnnData, codes: np.ndarray, columns: np.ndarray, learnt: np.ndarray, source: np.ndarray, *, layer: str | None
) -> np.ndarray:
    """Choose the columns whose shadows are trained on: those that had got a place among the genes of the classifier.

    Genes that were chosen by what they tell of the label tell some of it by chance; so must their shadows. A shadow gets a
    place if it tells at least as much as the least telling gene of the classifier, the best ones first.
    """
    if len(columns) == adata.n_vars:
        return columns
    x = _slots.matrix(adata, layer=layer)
    bins = stats.bin_edges(x, learnt, bins="auto")
    rows, information = np.flatnonzero(learnt), []
    for order in (rows, source[rows]):  # a shadow row holds the values of another: it gives its class to that one
        labels = np.full(adata.n_obs, -1)
        labels[order] = codes[rows]
        table = stats.contingency(x, labels, bins=bins, n_classes=int(codes.max()) + 1)
        information.append(stats.mutual_information(table, corrected=True))
    own, shadow = information
    ranked = np.argsort(-shadow, kind="stable")[: len(columns)]
    return ranked[shadow[ranked] >= own[columns].min()]
