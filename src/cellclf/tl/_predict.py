"""Predict the class of every cell."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from colorsys import hls_to_rgb
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.tl._model import read, resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from anndata import AnnData

    from cellclf._classifier import Classifier


logger = logging.getLogger("cellclf")

UNKNOWN, GREY = "Unknown", "#d3d3d3"
MEASURED = ("proba", "embedding", "novelty", "spread")


class ConformalCall(NamedTuple):
    """Which classes are in the set of each cell, the p-value of belonging to any, and whether the cell is unknown."""

    sets: np.ndarray
    pvalues: np.ndarray
    unknown: np.ndarray


def predict(
    adata: AnnData,
    classifier: Classifier | AnnData | str | os.PathLike[str] | None = None,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    unknown: float | None = None,
    key_added: str = "cellclf",
    copy: bool = False,
) -> AnnData | None:
    """Predict the class of every cell, with its probability and an embedding.

    Genes are matched by name, in any order, and put into the order of the model. A gene that `adata` lacks takes its
    mean over the training cells, and a warning counts them; when the genes present carry less than half of the model's
    first-layer weight (of the genes' own weights where it has no such layer), nothing is predicted. Version suffixes of
    Ensembl identifiers are ignored where that stays unique.

    With `unknown`, calibration cells, judged by networks that had not trained on them, give each cell two things by
    conformal prediction :cite:p:`Vovk2005`. It is called ``"Unknown"`` if no more than that share of them are as unlike any
    training cell as it is: so many cells like the training cells are called so wrongly. And it gets a set of classes,
    those to which it fits no worse than all but that share of their own cells: so many sets miss the true class. Where a
    class has few calibration cells, its rank among them is too coarse for the share, and a number drawn from the cell's name
    in `adata.obs_names` decides. This needs a classifier trained with ``cc.Fit(conformal_folds=5)``.

    A network that was trained without a label (:class:`cellclf.nn.Autoencoder` with `head=False`) gives the embedding
    and nothing else.

    Parameters
    ----------
    adata
        Annotated data, cells in rows, with values of the kind that the classifier was trained on. X is not changed.
    classifier
        A :class:`cellclf.Classifier`, the path of a saved one, or an AnnData that carries one. `None`: the one in
        `adata.uns[key_added]`.
    layer
        Layer to use. `None`: the one that the classifier was trained on; ``"X"``: X itself.
    gene_symbols
        Column of `adata.var` with the gene names to match on, instead of `adata.var_names`.
    unknown
        Share of cells like the training cells that may be called unknown, and whose set may lack the true class, such as
        0.05. `None`: no cell is called unknown, and there are no sets.
    key_added
        Name of the written fields; it stands for `cellclf` in each of them.
    copy
        Return a changed copy instead.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields, of which a network without classes sets only
    the embedding and the record:

    `adata.obs['cellclf']` : :class:`pandas.Series` (n_obs, category)
        The most probable class; the categories are all classes of the classifier. With `unknown`, one more,
        ``"Unknown"``, for cells whose p-value is no larger than that share.
    `adata.obs['cellclf_confidence']` : :class:`pandas.Series` (n_obs, float32)
        The calibrated probability of that class.
    `adata.obs['cellclf_unknown_score']` : :class:`pandas.Series` (n_obs, float64)
        How unlike the training cells of the most similar class: the mean of four measures, in standard deviations of
        known cells, so about 0 for most cells and higher for cells less like any. The measures are relative
        Mahalanobis distances :cite:p:`Ren2021` in the embedding and on 20 principal axes of the inputs, the local
        outlier factor :cite:p:`Breunig2000` there, and the energy of the logits :cite:p:`Liu2020`; none counts for less
        than -0.5.
    `adata.obs['cellclf_spread']` : :class:`pandas.Series` (n_obs, float32)
        Standard deviation between members of the probability of the predicted class, where there are several members.
    `adata.obs['cellclf_set_size']` : :class:`pandas.Series` (n_obs, int64)
        With `unknown`: number of classes in the cell's set.
    `adata.obs['cellclf_pvalue']` : :class:`pandas.Series` (n_obs, float64)
        With `unknown`: p-value of belonging to any class at all, by the unknown score.
    `adata.obsm['cellclf_set']` : :class:`numpy.ndarray` (n_obs × n_classes, bool)
        With `unknown`: which classes are in the cell's set.
    `adata.obsm['cellclf_proba']` : :class:`numpy.ndarray` (n_obs × n_classes, float32)
        Probability of each class, in the order of `classes` in the record; rows sum to 1.
    `adata.obsm['X_cellclf']` : :class:`numpy.ndarray` (n_obs × n_embedding, float32)
        What the network's last layer sees; of an autoencoder the latent layer.
    `adata.uns['cellclf_predict']` : dict
        Record of the call, with `classes`; with `unknown` also `pooled`, the classes that have fewer calibration cells than
        one over that share, less one, so that their sets rest on the calibration cells of all classes together.
    `adata.uns['cellclf_colors']` : :class:`numpy.ndarray` (n_classes, str)
        The label's colours, where the classifier knows them; with `unknown` always, and grey for unknown cells.

    What an earlier call wrote and this one does not have is taken away.

    Raises
    ------
    KeyError
        There is no classifier, or `layer` or `gene_symbols` is not in `adata`.
    ValueError
        Too few of the classifier's genes are in `adata`, gene names occur twice, or values are not finite or not of
        the kind that the classifier was trained on. Or `unknown` is no share, the classifier holds no calibration scores or
        too few of them, or has a class named ``"Unknown"``. Or `key_added` is the column of the label.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> clf = cc.tl.train(adata, "bulk_labels")
    >>> cc.tl.predict(adata)
    >>> adata.obsm["cellclf_proba"].shape
    (700, 10)
    """
    _slots.check_key(key_added)
    model = resolve(adata, classifier, key_added)
    _slots.spare_label(adata, key_added, model.facts["label"])
    known = None if unknown is None else calibration(model, unknown)
    adata = adata.copy() if copy else adata
    measured = (*MEASURED, "nonconformity") if known is not None else MEASURED
    arrays = _predictions(adata, model, measured, layer=layer, gene_symbols=gene_symbols)
    judged = None if known is None or unknown is None else _conformal(known, arrays, unknown, adata.obs_names)
    columns = _columns(arrays, model, key_added, judged) if len(model.classes) else {}
    record = _slots.record(
        "tl.predict",
        {"layer": layer, "gene_symbols": gene_symbols, "unknown": unknown, "key_added": key_added},
        classes=model.classes,
        written_obs=columns,
        **({} if known is None or unknown is None else {"pooled": model.classes[~known.judged_alone(unknown)]}),
    )
    uns: dict[str, Any] = {f"{key_added}_predict": record}
    if colors := _colors(model, judged is not None):
        uns[f"{key_added}_colors"] = np.array(colors, dtype=object)
    obsm = {f"X_{key_added}": arrays["embedding"]}
    if len(model.classes):
        obsm[f"{key_added}_proba"] = arrays["proba"]
    if judged is not None:
        obsm[f"{key_added}_set"] = judged.sets
    old = adata.uns.get(f"{key_added}_predict")
    _slots.write(adata, {"obs": columns, "obsm": obsm, "uns": uns})
    if isinstance(old, Mapping) and str(old.get("function")) == "cellclf.tl.predict":
        _take_away(adata, set(_slots.strings(old.get("written_obs", []))) - set(columns), key_added, obsm)
    return adata if copy else None


def _take_away(adata: AnnData, columns: Iterable[str], key: str, obsm: Mapping[str, Any]) -> None:
    """Remove what an earlier call left and this one does not have: it would not belong to these predictions."""
    for name in columns:
        if name in adata.obs:
            del adata.obs[name]
    for name in {f"{key}_proba", f"{key}_set"} - set(obsm):
        adata.obsm.pop(name, None)


def calibration(model: Classifier, error_rate: float) -> stats.Conformal:
    """Return the calibration scores of a classifier, which must have some, and name the classes with too few of them."""
    stats.check_error_rate(error_rate)
    model.check_classes()
    if model.conformal is None:
        label = model.facts["label"]
        msg = (
            f"unknown={error_rate} needs calibration scores, and the classifier has none. Train it with them: "
            f"cc.tl.train(adata, {label!r}, fit=cc.Fit(conformal_folds=5))."
        )
        raise ValueError(msg)
    if UNKNOWN in model.classes:
        msg = f"The classifier has a class named {UNKNOWN!r}, which unknown={error_rate} would write too. Rename the class."
        raise ValueError(msg)
    pooled = model.classes[~model.conformal.judged_alone(error_rate)]
    if len(pooled):
        logger.info("Too few calibration cells for sets of their own, so pooled: %s.", _slots.listing(pooled))
    return model.conformal


def _conformal(
    known: stats.Conformal, arrays: dict[str, np.ndarray], error_rate: float, names: pd.Index
) -> ConformalCall:
    """Compare all cells with the calibration cells."""
    sets = known.of_classes(arrays["nonconformity"], error_rate, _chance(names)) > error_rate
    pvalues = known.of_any(arrays["novelty"].astype(known.novelty.dtype), error_rate)
    return ConformalCall(sets, pvalues, pvalues <= error_rate)


def _chance(names: pd.Index) -> np.ndarray:
    """Draw a number from 0 to 1 for each cell from its name: the same wherever it stands, whatever stands beside it."""
    return pd.util.hash_array(names.astype(str).to_numpy(dtype=object), categorize=False) / 2**64


def _columns(
    arrays: dict[str, np.ndarray], model: Classifier, key: str, judged: ConformalCall | None
) -> dict[str, Any]:
    """Make the columns of `obs`: class, confidence and strangeness of each cell, and size of its set."""
    proba = arrays["proba"]
    best = proba.argmax(axis=1)
    columns: dict[str, Any] = {
        key: pd.Categorical.from_codes(best, categories=pd.Index(model.classes)),
        f"{key}_confidence": proba[np.arange(len(proba)), best],
        f"{key}_unknown_score": arrays["novelty"],
    }
    if model.options.members > 1:
        columns[f"{key}_spread"] = arrays["spread"]
    if judged is not None:
        codes = np.where(judged.unknown, len(model.classes), best)
        columns[key] = pd.Categorical.from_codes(codes, categories=pd.Index([*model.classes, UNKNOWN]))
        columns |= {f"{key}_set_size": judged.sets.sum(axis=1), f"{key}_pvalue": judged.pvalues}
    return columns


def _colors(model: Classifier, with_unknown: bool) -> list[str] | None:
    """Return a colour for each class: those of the label; or hues, where grey must stand beside colours nobody chose."""
    colors = model.facts.get("colors")
    if not with_unknown:
        return colors
    n = len(model.classes)
    hues = [hls_to_rgb(k / n, 0.42 + 0.2 * (k % 2), 0.6) for k in range(n)]
    return [*(colors or ["#" + "".join(f"{round(255 * part):02x}" for part in hue) for hue in hues]), GREY]


def _predictions(
    adata: AnnData, model: Classifier, names: Iterable[str], *, layer: str | None, gene_symbols: str | None
) -> dict[str, np.ndarray]:
    """Run the classifier over all cells, a block at a time, and keep what is named of its impressions."""
    every = np.ones(adata.n_obs, dtype=bool)
    parts = [
        block.network
        for values in read(adata, model, every, layer=layer, gene_symbols=gene_symbols)
        for block in model.blocks(values.values)
    ]
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
