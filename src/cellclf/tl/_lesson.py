"""What a classifier learnt from, so that networks like it can be trained again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cellclf import _slots, stats
from cellclf._preprocessing import Preprocessing
from cellclf.fit import Rows, train
from cellclf.fit._several import train_several
from cellclf.fit._stacking import has_room, heard, linear_models, speak
from cellclf.tl._model import layer_to_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf.nn._network import Network


class Lesson(NamedTuple):
    """Training rows: `raw` values as stored and `values` normalised (n_rows, n_genes), and the class `y` of each."""

    raw: np.ndarray
    values: np.ndarray
    y: np.ndarray

    def part(self, rows: np.ndarray | slice = slice(None), genes: np.ndarray | slice = slice(None)) -> Lesson:
        """Keep some rows and genes."""
        return Lesson(self.raw[rows][:, genes], self.values[rows][:, genes], self.y[rows])


class Pupil(NamedTuple):
    """A network trained on a lesson, and the scaling it learnt there."""

    network: Network
    preprocessing: Preprocessing


class Class(NamedTuple):
    """Networks trained side by side; those of an `interrupted` training are as far as they came."""

    pupils: list[Pupil]
    interrupted: bool


def training_rows(adata: AnnData, model: Classifier, codes: np.ndarray, split: str) -> np.ndarray | None:
    """Find the rows (mask) that a classifier learnt from, by their number; None where `adata` does not hold them."""
    labelled, masks = codes >= 0, None
    if split in adata.obs:
        masks = _slots.split_rows(adata, split, to_learn=False)
    candidates = [labelled] if masks is None else [masks["train"] | masks["valid"], masks["train"], labelled]
    for mask in candidates:
        if int((mask & labelled).sum()) == model.facts["n_rows"]:
            return mask & labelled
    return None


def likely_rows(adata: AnnData, model: Classifier, codes: np.ndarray, split: str) -> np.ndarray:
    """Return the rows that a classifier learnt from, or all labelled ones where these are not known."""
    rows = training_rows(adata, model, codes, split)
    return codes >= 0 if rows is None else rows


def needed_rows(adata: AnnData, model: Classifier, codes: np.ndarray, split: str) -> np.ndarray:
    """Return the rows that a classifier learnt from, or say that they are not there."""
    rows = training_rows(adata, model, codes, split)
    if rows is None:
        msg = (
            f"The classifier learnt from {model.facts['n_rows']} rows; adata does not seem to hold them (by "
            f"adata.obs[{split!r}]). Give the AnnData that it was trained on."
        )
        raise ValueError(msg)
    return rows


def fetch(adata: AnnData, model: Classifier, columns: np.ndarray, rows: np.ndarray, *, layer: str | None) -> Any:
    """Read `columns` of some rows (mask): raw and normalised values, one array where they are the same."""
    x = _slots.matrix(adata, layer=layer_to_read(adata, model, layer))
    raw, totals = stats.dense(x, rows, columns)
    if not np.isfinite(raw).all():
        msg = "The matrix holds NaN or infinite values in genes of the classifier. Remove or replace them first."
        raise ValueError(msg)
    return raw, model.normalised(raw.copy(), totals) if model.preprocessing.counts else raw


def lesson(
    adata: AnnData,
    model: Classifier,
    codes: np.ndarray,
    rows: np.ndarray,
    *,
    layer: str | None,
    gene_symbols: str | None,
) -> Lesson:
    """Read what a classifier learnt from; all of its genes must be there."""
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=gene_symbols)
    check_all_there(model, columns)
    raw, values = fetch(adata, model, columns, rows, layer=layer)
    return Lesson(raw, values, codes[rows])


def check_all_there(model: Classifier, columns: np.ndarray) -> None:
    """Refuse an AnnData that lacks genes (columns of -1) of a classifier that is to be trained again."""
    if (columns < 0).any():
        absent = model.genes[columns < 0]
        msg = (
            f"{len(absent)} genes of the classifier are not in adata ({_slots.listing(absent, 3)}), so it cannot be "
            "trained again. Give the AnnData that it was trained on."
        )
        raise ValueError(msg)


def teach(model: Classifier, material: Lesson, *, seed: int, title: str, silent: np.ndarray | None = None) -> Pupil:
    """Train a network as the classifier's was, on this material; inputs that are `silent` (mask) stay at zero."""
    preprocessing, inputs = _prepared(model, material)
    if silent is not None:
        inputs[:, silent] = 0
    trained = train(
        model.description,
        Rows(inputs, material.y),
        None,
        model.options,
        n_classes=len(model.classes),
        seed=seed,
        epochs=model.facts["best_epoch"] or None,
        title=title,
    )
    if trained.interrupted:
        raise KeyboardInterrupt
    return _finished(model, trained.network, Rows(inputs, material.y), preprocessing)


def teach_several(
    model: Classifier, material: Lesson, chosen: Sequence[np.ndarray] | None, *, seeds: Sequence[int], title: str
) -> Class:
    """Train networks side by side as the classifier's was, each on the rows chosen for it, or on all."""
    if chosen is None:
        ready = [(*_prepared(model, material), material.y)] * len(seeds)
    else:
        ready = [(*_prepared(model, part), part.y) for part in map(material.part, chosen)]
    rows = [Rows(inputs, y) for _, inputs, y in ready]
    found = train_several(
        model.description,
        rows,
        model.options,
        n_classes=len(model.classes),
        seeds=seeds,
        epochs=model.facts["best_epoch"] or None,
        title=title,
    )
    trained = zip(found.networks, rows, [scaling for scaling, *_ in ready], strict=True)
    return Class([_finished(model, *one) for one in trained], found.interrupted)


def _finished(model: Classifier, network: Network, rows: Rows, preprocessing: Preprocessing) -> Pupil:
    """Let linear models speak through the network as loud as they do in the classifier."""
    loud = model.facts.get("stacked", {})
    if heard(loud) and has_room(network, model.options):
        speak(network, linear_models(rows, len(model.classes), heard(loud)), loud)
    return Pupil(network, preprocessing)


def _prepared(model: Classifier, material: Lesson) -> tuple[Preprocessing, np.ndarray]:
    """Learn the scaling and weighing of the inputs from this material, and apply them."""
    options = model.options
    preprocessing = Preprocessing.learn(material.values, counts=model.preprocessing.counts, scale=options.scale)
    if options.information_power > 0:
        every = np.ones(len(material.y), dtype=bool)
        table = stats.contingency(
            material.raw,
            material.y,
            bins=stats.bin_edges(material.raw, every, bins="auto"),
            n_classes=len(model.classes),
        )
        preprocessing = preprocessing.weighted(
            stats.normalised_information(table).max(axis=1), options.information_power
        )
    return preprocessing, preprocessing.apply(material.values)
