"""The methods of importance: a classifier and cells in, one number per gene of an AnnData out."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf import _slots
from cellclf.attribution import first_layer_norms, path_weights, permutation_importance
from cellclf.fit._hardware import device_of
from cellclf.tl._attributed import attributed
from cellclf.tl._found import Found, group_table, judged_rows, mean_and_error, placed
from cellclf.tl._gene_groups import resolve_groups
from cellclf.tl._inputs import inputs
from cellclf.tl._lesson import needed_rows, training_rows
from cellclf.tl._model import find_genes, truth
from cellclf.tl._references import references
from cellclf.tl._shadows import LEVEL, shadow_null

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf.tl._lesson import Pupil
    from cellclf.tl._shadows import Null

logger = logging.getLogger("cellclf")

FEW, NETWORKS = 500, 5  # so many rows or fewer are too few to judge shadows in one network; then in how many
SHUFFLED, MOST_REPEATS = 600, 20  # (row, repeat) pairs of the null, where the rows are few


def by_permutation(adata: AnnData, model: Classifier, call: dict[str, Any]) -> Found:
    """Shuffle each gene of the model, or each group, among the chosen rows."""
    codes, mask = judged_rows(adata, model, call, least=2)
    where = {"layer": call["layer"], "gene_symbols": call["gene_symbols"]}
    x = inputs(adata, model, mask, **where)
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=call["gene_symbols"])
    names = np.where(columns >= 0, adata.var_names.to_numpy(dtype=object)[columns], "")
    groups = None if call["groups"] is None else resolve_groups(call["groups"], model, names, x)
    seed, null_seed = np.random.default_rng(call["rng"]).integers(2**62, size=2).tolist()
    shuffle = partial(
        permutation_importance,
        y=codes[mask],
        n_repeats=int(call["n_repeats"]),
        seed=seed,
        temperature=model.temperature,
        measure=call["measure"],
        strata=_strata(adata, call["within"], mask),
    )
    device = device_of(model.options.device)
    found = shuffle(model.network.to(device), x, groups=None if groups is None else groups.lines)
    if found.interrupted:
        n_done = int(np.isfinite(found.by_repeat[:, 0]).sum())
        logger.warning(
            "Interrupted: %d of %d genes or groups are measured, without a null.", n_done, len(found.by_repeat)
        )
    (mean, error), by_class = mean_and_error(found.by_repeat), found.by_class
    facts = {"n_rows": int(mask.sum()), "n_repeats": int(call["n_repeats"]), "measure": call["measure"]}
    facts |= {"unshuffled": found.baseline, "interrupted": found.interrupted}
    label = None
    if groups is not None:
        facts |= group_table(groups, mean, error)
        label = groups.labels(len(columns))
        mean, error, by_class = (groups.each(values, len(columns)) for values in (mean, error, by_class))

    def score(pupil: Pupil, inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        strata = None if call["within"] is None else shuffle.keywords["strata"][rows]
        repeats = max(int(call["n_repeats"]), min(MOST_REPEATS, math.ceil(SHUFFLED / len(rows))))
        mine = {"y": codes[mask][rows], "strata": strata, "n_repeats": repeats}
        heard = shuffle(pupil.network.to(device), inputs, **mine)
        if heard.interrupted:
            raise KeyboardInterrupt
        return heard.by_repeat.mean(axis=1)

    null = None if found.interrupted else _null(adata, model, codes, mask, null_seed, call, score)
    absent = np.bincount(codes[mask], minlength=len(model.classes)) == 0
    return placed(adata, columns, mean, error, by_class, null, absent, facts, label)


def by_weights(adata: AnnData, model: Classifier, call: dict[str, Any]) -> Found:
    """Add up the weights of each gene, in units of the gene as it was scaled."""
    columns = find_genes(adata, model, call["gene_symbols"])

    def weigh(network: Any, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        scale = scale.astype(np.float64)
        if call["norm"] != "path":
            return first_layer_norms(network, call["norm"]) * scale, None
        paths = path_weights(network) * scale[:, None]
        return np.abs(paths).sum(axis=1), paths

    def score(pupil: Pupil, inputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return weigh(pupil.network, pupil.preprocessing.weight)[0]

    sums, paths = weigh(model.network, model.preprocessing.weight)
    seed = int(np.random.default_rng(call["rng"]).integers(2**62))
    null = None
    if call["null"] is not None:
        codes = truth(adata, model, call["label"])[1] if call["null"] == "shadow" else _codes(adata, model, call)
        null = None if codes is None else _null(adata, model, codes, np.zeros(adata.n_obs, bool), seed, call, score)
    nothing = np.full(len(columns), np.nan)
    return placed(adata, columns, sums, nothing, paths, null, None, {"norm": call["norm"]}, None)


def by_gradients(adata: AnnData, model: Classifier, call: dict[str, Any]) -> Found:
    """Average what each gene contributes to the score of a cell's own class, a block of cells at a time."""
    codes, mask = judged_rows(adata, model, call, least=1)
    where = {"layer": call["layer"], "gene_symbols": call["gene_symbols"]}
    compared = references(adata, model, call["baseline"], codes, call["split"], **where)
    sums, squares = np.zeros((len(model.classes), len(model.genes))), np.zeros(len(model.genes))
    sizes = np.zeros(len(model.classes), dtype=np.int64)
    gap = change = 0.0
    options = {name: call[name] for name in ("method", "n_steps", "rng")}
    for part in attributed(adata, model, mask, lambda rows, _: codes[rows], compared, **options, **where):
        found, size, classes = part.found, np.abs(part.found.values), codes[part.rows]
        sizes += np.bincount(classes, minlength=len(sizes))
        for k in np.unique(classes):
            sums[k] += size[classes == k].sum(axis=0)
        squares += np.einsum("ij,ij->j", size, size)
        gap += float(np.abs(found.values.sum(axis=1) - found.change).sum())
        change += float(np.abs(found.change).sum())
    n_rows = int(sizes.sum())
    mean = sums.sum(axis=0) / n_rows
    error = np.full(len(mean), np.nan)
    if n_rows > 1:
        error = np.sqrt(np.maximum(squares / n_rows - mean**2, 0) / (n_rows - 1))
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=call["gene_symbols"])
    facts = {"n_rows": n_rows, "interrupted": n_rows < int(mask.sum()), "baseline": call["baseline"]}
    facts |= {"completeness_gap": gap / change if change > 0 else 0.0}
    by_class = (sums / np.maximum(sizes, 1)[:, None]).T
    return placed(adata, columns, mean, error, by_class, None, sizes == 0, facts, None)


def _codes(adata: AnnData, model: Classifier, call: dict[str, Any]) -> np.ndarray | None:
    """Return the class of each cell where `adata` knows the label that the classifier was trained on."""
    if call["label"] is None and model.facts["label"] not in adata.obs:
        return None
    return truth(adata, model, call["label"])[1]


def _null(
    adata: AnnData, model: Classifier, codes: np.ndarray, mask: np.ndarray, seed: int, call: dict[str, Any], score: Any
) -> Null | None:
    """Measure shadow genes, where that is asked for, or possible and not ruled out."""
    auto = call["null"] == "auto"
    if call["null"] is None or (auto and (call["groups"] is not None or model.network.first_linear is None)):
        return None
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=call["gene_symbols"])
    learnt = training_rows(adata, model, codes, call["split"])
    if auto and (learnt is None or (columns < 0).any()):
        return None
    learnt = needed_rows(adata, model, codes, call["split"])
    where = {"layer": call["layer"], "gene_symbols": call["gene_symbols"]}
    several = bool(mask.any()) and (mask.sum() < FEW or (mask & learnt).any())
    try:
        n_networks = NETWORKS if several else 1
        null = shadow_null(adata, model, codes, learnt, mask, n_networks=n_networks, seed=seed, score=score, **where)
    except KeyboardInterrupt:
        logger.warning("Interrupted: the importances are kept, without a null.")
        return None
    logger.info("%d of %d genes pass a q-value of %g.", null.n_passing, len(null.qvalues), LEVEL)
    return null


def _strata(adata: AnnData, within: str | None, mask: np.ndarray) -> np.ndarray | None:
    """Number the rows by the column within which values are shuffled; missing ones make a stratum of their own."""
    if within is None:
        return None
    column = _slots.member(adata.obs, within, "within", "adata.obs")
    values = column.astype(object).where(column.notna(), None).to_numpy()[mask]
    return np.unique([repr(value) for value in values], return_inverse=True)[1]
