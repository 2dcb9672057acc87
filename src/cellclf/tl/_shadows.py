"""The null of importance: shadow genes, whose cells are shuffled, compete for places, are trained on and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellclf import _slots, stats
from cellclf.attribution import shadow_qvalues
from cellclf.tl._lesson import Lesson, Pupil, fetch, lesson, teach

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from cellclf._classifier import Classifier

LEVEL = 0.05


class Null(NamedTuple):
    """The q-value of each gene of the model, and the number of shadows that won a place."""

    qvalues: np.ndarray
    n_shadows: int

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
    seed: int,
    layer: str | None,
    gene_symbols: str | None,
    score: Callable[[Pupil, np.ndarray], np.ndarray],
) -> Null:
    """Train the network again beside shadow genes, on the rows it learnt from, and measure both on the `judged` rows.

    `score` takes the network and the inputs of the judged rows and gives the importance of each input.
    """
    generator = np.random.default_rng(seed)
    source = _sources(learnt, judged, generator)
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    shadows = _winners(adata, codes, columns, learnt, source, layer=model.facts["layer"] if layer is None else layer)
    material = lesson(adata, model, codes, learnt, layer=layer, gene_symbols=gene_symbols)
    both = learnt | judged
    raw, values = fetch(adata, model, shadows, both, layer=layer)
    place = np.cumsum(both) - 1
    of_learnt, of_judged = (place[source[rows]] for rows in (learnt, judged))
    pupil = teach(
        model,
        Lesson(np.hstack([material.raw, raw[of_learnt]]), np.hstack([material.values, values[of_learnt]]), material.y),
        seed=int(generator.integers(2**62)),
        title="train with shadow genes",
    )
    _, own = fetch(adata, model, columns, judged, layer=layer)
    found = score(pupil, pupil.preprocessing.apply(np.hstack([own, values[of_judged]])))
    return Null(shadow_qvalues(found[: len(columns)], found[len(columns) :]), len(shadows))


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
    x = _slots.matrix(adata, layer=None if layer == "X" else layer)
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
