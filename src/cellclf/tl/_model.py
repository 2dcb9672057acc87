"""A classifier meets an AnnData: which classifier, which genes, which values, which truth."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import anndata
import numpy as np

from cellclf import _slots, stats
from cellclf._classifier import Classifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData

logger = logging.getLogger("cellclf")

LEAST_WEIGHT = 0.5  # share of the first layer's weight that the genes present must carry


class Values(NamedTuple):
    """Normalised values of the model's genes, (n, n_genes) float32 with NaN for missing genes, of `rows`."""

    rows: np.ndarray
    values: np.ndarray


def resolve(adata: AnnData, classifier: Any, key: str) -> Classifier:
    """Return the classifier meant: a Classifier, a file, an AnnData that carries one, or the one in `adata.uns[key]`."""
    _slots.load_tables(adata)
    if isinstance(classifier, Classifier):
        return classifier
    if isinstance(classifier, str | os.PathLike):
        return Classifier.load(classifier)
    if classifier is not None and not isinstance(classifier, anndata.AnnData):
        msg = f"classifier is a {type(classifier).__name__}. Give a Classifier, a file, an AnnData that carries one, or None."
        raise TypeError(msg)
    holder, name = (adata, "adata") if classifier is None else (classifier, "classifier")
    record = holder.uns.get(key)
    if record is None or "model" not in record:
        carriers = [k for k, v in holder.uns.items() if isinstance(v, dict) and "model" in v]
        msg = (
            f"{name}.uns[{key!r}] holds no classifier (those that do: {_slots.listing(carriers)}). "
            "Train one with `cc.tl.train`, or pass it as the second argument."
        )
        raise KeyError(msg)
    return Classifier.from_bytes(np.asarray(record["model"], dtype=np.uint8).tobytes(), source=f"{name}.uns[{key!r}]")


def read(
    adata: AnnData,
    classifier: Classifier,
    rows: np.ndarray,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
) -> Iterator[Values]:
    """Read the model's genes of the chosen rows (mask), block by block, as the network's scaling expects them."""
    if (rep := classifier.facts["use_rep"]) is not None:
        if gene_symbols is not None:
            msg = f"gene_symbols={gene_symbols!r} means nothing to a classifier of the embedding {rep!r}. Leave it out."
            raise ValueError(msg)
        x = _slots.matrix(adata, layer=layer, use_rep=rep)
        columns = _embedding_columns(x, classifier)
    else:
        x = _slots.matrix(adata, layer=layer_to_read(adata, classifier, layer))
        columns = find_genes(adata, classifier, gene_symbols)
    seen_before = False
    for block in stats.dense_blocks(x, rows, columns):
        _check(block.values, columns >= 0, classifier)
        if not seen_before:
            _warn_of_counts(block.values[:, columns >= 0], classifier)
        seen_before = True
        yield Values(block.rows, classifier.normalised(block.values, block.totals))


def layer_to_read(adata: AnnData, classifier: Classifier, layer: str | None) -> str | None:
    """Return the layer that is meant (None: X): the one given, where ``"X"`` is X itself, or that of the training."""
    if layer is not None:
        return None if layer == "X" else layer
    trained_on = classifier.facts["layer"]
    if trained_on is not None and trained_on not in adata.layers:
        msg = (
            f"The classifier was trained on the layer {trained_on!r}, and adata.layers holds: {_slots.listing(adata.layers)}. "
            "Name the layer with such values by `layer=`; layer='X' means X itself."
        )
        raise KeyError(msg)
    return trained_on


def find_genes(adata: AnnData, classifier: Classifier, gene_symbols: str | None) -> np.ndarray:
    """Return the column of each gene of the model (-1 = missing); too few to rely on is an error."""
    columns, without_version = _slots.match_genes(adata, classifier.genes, gene_symbols=gene_symbols)
    if without_version:
        logger.info("Ensembl version suffixes were ignored to match the genes of the classifier.")
    missing = columns < 0
    if not missing.any():
        return columns
    norms = classifier.gene_norms.astype(np.float64)
    share = norms[~missing].sum() / norms.sum() if norms.sum() > 0 else (~missing).mean()
    n, total = int(missing.sum()), len(columns)
    absent = _slots.listing(classifier.genes[missing], 3)
    weight = "input weight" if classifier.network.first_linear is None else "first-layer weight"
    if share < LEAST_WEIGHT:
        msg = (
            f"Only {total - n} of the classifier's {total} genes are in adata; they carry {share:.0%} of its {weight}"
            f", too little to predict from (missing: {absent}; adata has, for example: "
            f"{_slots.listing(adata.var_names[:3])}). Name the column of adata.var with matching names by `gene_symbols=`."
        )
        raise ValueError(msg)
    msg = f"{n} of the classifier's {total} genes are not in adata ({absent}); the training mean stands in for each."
    _slots.warn(f"{msg} Those present carry {share:.0%} of the {weight}.")
    return columns


def _embedding_columns(x: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Return the columns of an embedding, which are matched by position."""
    if x.shape[1] != len(classifier.genes):
        rep = classifier.facts["use_rep"]
        msg = f"adata.obsm[{rep!r}] has {x.shape[1]} columns; the classifier was trained on {len(classifier.genes)}."
        raise ValueError(msg)
    return np.arange(x.shape[1])


def _check(values: np.ndarray, present: np.ndarray, classifier: Classifier) -> None:
    """Refuse values that cannot mean what the training values meant."""
    seen = values[:, present]
    if not np.isfinite(seen).all():
        bad = ~np.isfinite(seen)
        msg = (
            f"{int(bad.any(axis=1).sum())} cells have NaN or infinite values in genes of the classifier "
            f"({_slots.listing(classifier.genes[present][bad.any(axis=0)], 3)}). Remove or replace them first."
        )
        raise ValueError(msg)
    if not classifier.preprocessing.counts:
        return
    decimals = classifier.options.preprocess == "auto"  # which has seen whole numbers; "counts" may be decimal
    if (seen < 0).any() or (decimals and (seen != np.rint(seen)).any()):
        msg = (
            f"The classifier was trained on counts, but adata holds {'decimal or ' if decimals else ''}negative numbers. "
            "Name the layer that holds the counts with `layer=`."
        )
        raise ValueError(msg)


def _warn_of_counts(seen: np.ndarray, classifier: Classifier) -> None:
    """Say so where values seem to be counts, but those of the training were none (or ``"auto"`` had taken them for counts)."""
    if (
        classifier.preprocessing.counts
        or classifier.options.preprocess != "auto"
        or classifier.facts["use_rep"] is not None
    ):
        return
    if seen.size and seen.max() > 1 and seen.min() >= 0 and (seen == np.rint(seen)).all():
        _slots.warn(
            "adata seems to hold counts, but the classifier was trained on other values, such as logarithms. Bring adata to the "
            "same form (e.g. `sc.pp.normalize_total`, `sc.pp.log1p`), or name the layer that has it with `layer=`."
        )


def truth(adata: AnnData, classifier: Classifier, label: str | None) -> tuple[str, np.ndarray]:
    """Return the label's name and each cell's class as the classifier counts them (-1: none, or one it never saw)."""
    classifier.check_classes()
    trained_on = classifier.facts["label"]
    if label is None and trained_on in adata.obs:
        label = trained_on
    found = _slots.labels(adata, label)
    position = {name: k for k, name in enumerate(classifier.classes)}
    to_model = np.array([position.get(name, -1) for name in found.classes] + [-1])
    unknown = [name for name in found.classes if name not in position]
    if unknown:
        n = int(np.isin(found.codes, [k for k, name in enumerate(found.classes) if name in unknown]).sum())
        msg = f"{n} cells have classes that the classifier never saw ({_slots.listing(unknown, 3)}); they are left out."
        _slots.warn(msg)
    return found.name, to_model[found.codes]
