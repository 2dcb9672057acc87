"""Attributions of an AnnData's cells, a few at a time, so that memory does not grow with their number."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellclf.attribution import attributions
from cellclf.fit._hardware import device_of
from cellclf.tl._model import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf._types import Rng
    from cellclf.attribution import Attributions
    from cellclf.attribution._gradients import GradientMethod

logger = logging.getLogger("cellclf")

AT_ONCE = 1024  # cells: what is computed of them is held in float64, several times over


class Part(NamedTuple):
    """Some cells: their positions `rows`, normalised `values` (n, n_genes), and what was `found` of them."""

    rows: np.ndarray
    values: np.ndarray
    found: Attributions


def attributed(
    adata: AnnData,
    model: Classifier,
    mask: np.ndarray,
    target: Callable[[np.ndarray, np.ndarray], np.ndarray],
    compared: list[np.ndarray],
    *,
    method: GradientMethod,
    n_steps: int | None,
    rng: Rng,
    layer: str | None,
    gene_symbols: str | None,
) -> Iterator[Part]:
    """Attribute the score of a class to the genes of each chosen cell; `target` names it, from position and inputs.

    Ctrl-C ends with the cells that are done, which are the first ones, if there are any.
    """
    network = model.network.to(device_of(model.options.device))
    seed, n_done = int(np.random.default_rng(rng).integers(2**61)), 0
    options: dict[str, Any] = {"method": method, "n_steps": n_steps, "temperature": model.temperature}
    try:
        for block in read(adata, model, mask, layer=layer, gene_symbols=gene_symbols):
            for start in range(0, len(block.rows), AT_ONCE):
                rows, values = block.rows[start : start + AT_ONCE], block.values[start : start + AT_ONCE]
                x = model.inputs(values)
                found = attributions(network, x, target(rows, x), compared, seed=seed, **options)
                yield Part(rows, values, found)
                seed, n_done = seed + 1, n_done + len(rows)
    except KeyboardInterrupt:
        if n_done == 0:
            raise
        logger.warning("Interrupted: %d of %d cells are done, and are what is recorded.", n_done, mask.sum())
