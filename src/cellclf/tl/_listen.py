"""The methods of importance: a classifier and cells in, one number per gene of an AnnData out."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf import _slots
from cellclf.attribution import attributions, first_layer_norms, path_weights, permutation_importance
from cellclf.fit._hardware import device_of
from cellclf.tl._gene_groups import resolve_groups
from cellclf.tl._inputs import inputs, spread
from cellclf.tl._lesson import needed_rows, training_rows
from cellclf.tl._model import find_genes, read, truth
from cellclf.tl._references import class_means, references
from cellclf.tl._shadows import LEVEL, shadow_null

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf.tl._lesson import Pupil
    from cellclf.tl._shadows import Null

logger = logging.getLogger("cellclf")


@dataclass
class Found:
    """Importance of all genes of an AnnData (n_vars), and what else was found; `facts` are recorded."""

    mean: np.ndarray
    error: np.ndarray
    by_class: np.ndarray | None = None
    qvalue: np.ndarray | None = None
    group: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def by_permutation(adata: AnnData, model: Classifier, call: dict[str, Any]) -> Found:
    """Shuffle each gene of the model, or each group, among the chosen rows."""
    codes, mask = _judged(adata, model, call, least=2)
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
    mean, by_class = found.by_repeat.mean(axis=1), found.by_class
    error = np.full(len(mean), np.nan)
    if call["n_repeats"] > 1:
        error = found.by_repeat.std(axis=1, ddof=1) / np.sqrt(call["n_repeats"])
    facts = {"n_rows": int(mask.sum()), "n_repeats": int(call["n_repeats"]), "measure": call["measure"]}
    facts |= {"unshuffled": found.baseline}
    label = None
    if groups is not None:
        facts |= _group_table(groups, mean, error)
        label = np.full(len(columns), None, dtype=object)
        for name, members in zip(groups.names, groups.members, strict=True):
            label[members] = name
        mean, error, by_class = (groups.each(values, len(columns)) for values in (mean, error, by_class))

    def score(pupil: Pupil, rows: np.ndarray) -> np.ndarray:
        return shuffle(pupil.network.to(device), rows).by_repeat.mean(axis=1)

    null = _null(adata, model, codes, mask, null_seed, call, score)
    absent = np.bincount(codes[mask], minlength=len(model.classes)) == 0
    return _placed(adata, columns, mean, error, by_class, null, absent, facts, label)


def by_weights(adata: AnnData, model: Classifier, call: dict[str, Any]) -> Found:
    """Add up the weights of each gene, in units of the gene as it was scaled."""
    columns = find_genes(adata, model, call["gene_symbols"])

    def weigh(network: Any, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        scale = scale.astype(np.float64)
        if call["norm"] != "path":
            return first_layer_norms(network, call["norm"]) * scale, None
        paths = path_weights(network) * scale[:, None]
        return np.abs(paths).sum(axis=1), paths

    def score(pupil: Pupil, rows: np.ndarray) -> np.ndarray:
        return weigh(pupil.network, pupil.preprocessing.weight)[0]

    sums, paths = weigh(model.network, model.preprocessing.weight)
    seed = int(np.random.default_rng(call["rng"]).integers(2**62))
    null = None
    if call["null"] is not None:
        codes = truth(adata, model, call["label"])[1] if call["null"] == "shadow" else _codes(adata, model, call)
        null = None if codes is None else _null(adata, model, codes, np.zeros(adata.n_obs, bool), seed, call, score)
    nothing = np.full(len(columns), np.nan)
    return _placed(adata, columns, sums, nothing, paths, null, None, {"norm": call["norm"]}, None)


def by_gradients(adata: AnnData, model: Classifier, call: dict[str, Any]) -> Found:
    """Average what each gene contributes to the score of a cell's own class, a block of cells at a time."""
    codes, mask = _judged(adata, model, call, least=1)
    where = {"layer": call["layer"], "gene_symbols": call["gene_symbols"]}
    means = None
    if call["baseline"] == "class":
        learnt = training_rows(adata, model, codes, call["split"])
        means = class_means(adata, model, codes, codes >= 0 if learnt is None else learnt, **where)
    network = model.network.to(device_of(model.options.device))
    seed = int(np.random.default_rng(call["rng"]).integers(2**62))
    sums, squares = np.zeros((len(model.classes), len(model.genes))), np.zeros(len(model.genes))
    gap = change = 0.0
    for number, block in enumerate(read(adata, model, mask, **where)):
        found = attributions(
            network,
            model.inputs(block.values),
            codes[block.rows],
            references(model, call["baseline"], means),
            method=call["method"],
            n_steps=call["n_steps"],
            seed=(seed + number) % 2**62,
            temperature=model.temperature,
        )
        size = np.abs(found.values)
        for k in np.unique(codes[block.rows]):
            sums[k] += size[codes[block.rows] == k].sum(axis=0)
        squares += (size**2).sum(axis=0)
        gap += float(np.abs(found.values.sum(axis=1) - found.change).sum())
        change += float(np.abs(found.change).sum())
    sizes = np.bincount(codes[mask], minlength=len(model.classes))
    n_rows = int(mask.sum())
    mean = sums.sum(axis=0) / n_rows
    error = np.full(len(mean), np.nan)
    if n_rows > 1:
        error = np.sqrt(np.maximum(squares / n_rows - mean**2, 0) / (n_rows - 1))
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=call["gene_symbols"])
    facts = {"n_rows": n_rows, "baseline": call["baseline"], "completeness_gap": gap / change if change > 0 else 0.0}
    by_class = (sums / np.maximum(sizes, 1)[:, None]).T
    return _placed(adata, columns, mean, error, by_class, None, sizes == 0, facts, None)


def _judged(adata: AnnData, model: Classifier, call: dict[str, Any], *, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each cell and the mask of the chosen rows."""
    _, codes = truth(adata, model, call["label"])
    mask = _slots.chosen_rows(adata, call["rows"], call["split"], codes >= 0)
    if mask.sum() < least:
        msg = f"Only {int(mask.sum())} of the chosen rows has a class of the classifier; shuffling needs {least}. Choose other `rows`."
        raise ValueError(msg)
    return codes, mask


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
    null = shadow_null(adata, model, codes, learnt, mask, seed=seed, score=score, **where)
    logger.info("%d of %d genes pass a q-value of %g.", null.n_passing, len(null.qvalues), LEVEL)
    return null


def _strata(adata: AnnData, within: str | None, mask: np.ndarray) -> np.ndarray | None:
    """Number the rows by the column within which values are shuffled; missing ones make a stratum of their own."""
    if within is None:
        return None
    column = _slots.member(adata.obs, within, "within", "adata.obs")
    values = column.astype(object).where(column.notna(), None).to_numpy()[mask]
    return np.unique([repr(value) for value in values], return_inverse=True)[1]


def _group_table(groups: Any, mean: np.ndarray, error: np.ndarray) -> dict[str, Any]:
    """Record each group: its name, number of genes, importance and error."""
    n = len(groups.names)
    return {
        "group_names": np.array(groups.names, dtype=object),
        "group_sizes": np.array([len(members) for members in groups.members], dtype=np.int64),
        "group_importance": mean[:n],
        "group_importance_se": error[:n],
    }


def _placed(
    adata: AnnData,
    columns: np.ndarray,
    mean: np.ndarray,
    error: np.ndarray,
    by_class: np.ndarray | None,
    null: Null | None,
    absent: np.ndarray | None,
    facts: dict[str, Any],
    label: np.ndarray | None,
) -> Found:
    """Put what was found of the model's genes at their places among the genes of `adata`."""
    unknown = bool(np.isnan(error).all())
    found = Found(spread(adata, columns, mean), spread(adata, columns, error, np.nan if unknown else 0.0), facts=facts)
    if by_class is not None:
        found.by_class = spread(adata, columns, by_class)
        if absent is not None:
            found.by_class[:, absent] = np.nan
    if null is not None:
        found.qvalue = spread(adata, columns, null.qvalues, 1.0)
        facts |= {"n_shadows": null.n_shadows, "n_passing": null.n_passing, "level": LEVEL}
    if label is not None:
        found.group = np.full(adata.n_vars, None, dtype=object)
        found.group[columns[columns >= 0]] = label[columns >= 0]
    return found
