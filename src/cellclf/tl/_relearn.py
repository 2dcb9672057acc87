"""Importance by ablation: what is lost for good, when a network learns again without some genes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from cellclf import _slots
from cellclf.attribution import rise_between
from cellclf.tl._found import Found, group_table, judged_rows, mean_and_error, placed
from cellclf.tl._gene_groups import resolve_groups
from cellclf.tl._lesson import fetch, lesson, needed_rows
from cellclf.tl._trials import scores_with

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf.attribution import Rises
    from cellclf.tl._gene_groups import Groups

logger = logging.getLogger("cellclf")


def by_ablation(adata: AnnData, model: Classifier, call: dict[str, Any]) -> Found:
    """Train without each group of genes, and compare with trainings on all genes that had the same seed."""
    codes, mask = judged_rows(adata, model, call, least=1)
    learnt = needed_rows(adata, model, codes, call["split"])
    where = {"layer": call["layer"], "gene_symbols": call["gene_symbols"]}
    material = lesson(adata, model, codes, learnt, **where)
    columns, _ = _slots.match_genes(adata, model.genes, gene_symbols=call["gene_symbols"])
    _, values = fetch(adata, model, columns, mask, layer=call["layer"])
    names = adata.var_names.to_numpy(dtype=object)[columns]
    groups = _groups(call["groups"], model, names, values)
    seeds = np.random.default_rng(call["rng"]).integers(2**62, size=int(call["n_repeats"])).tolist()
    every, found = np.arange(len(names)), []
    try:
        with tqdm(total=len(seeds) * (1 + len(groups.members)), desc="ablation", unit="training", leave=False) as bar:
            for seed in seeds:

                def scores(kept: np.ndarray, title: str, seed: int = seed) -> np.ndarray:
                    result = scores_with(model, material, values, kept, seed=seed, title=title)
                    bar.update(1)
                    return result

                before = scores(every, "all genes")
                after = (
                    scores(np.setdiff1d(every, members), f"without {name}")
                    for name, members in zip(groups.names, groups.members, strict=True)
                )
                found.append([rise_between(before, one, codes[mask], call["measure"]) for one in after])
    except KeyboardInterrupt:
        if not found:
            raise
        logger.warning("Interrupted: %d of %d repeats are finished, and are what is recorded.", len(found), len(seeds))
    return _gathered(adata, model, codes, mask, columns, groups, found, call)


def _groups(given: Any, model: Classifier, names: np.ndarray, values: np.ndarray) -> Groups:
    """Find the groups; each must leave some genes to learn from."""
    groups = resolve_groups(given, model, names, model.inputs(values))
    if not groups.members:
        msg = f"groups={given!r} joins no genes, so there is nothing to train without. Lower the correlation, or name the groups."
        raise ValueError(msg)
    for name, members in zip(groups.names, groups.members, strict=True):
        if len(members) == len(names):
            msg = f"The group {name!r} holds all {len(names)} genes of the classifier. Leave some to learn from."
            raise ValueError(msg)
    return groups


def _gathered(
    adata: AnnData,
    model: Classifier,
    codes: np.ndarray,
    mask: np.ndarray,
    columns: np.ndarray,
    groups: Groups,
    found: list[list[Rises]],
    call: dict[str, Any],
) -> Found:
    """Average over the repeats, and give every gene of a group what the group is worth; NaN for a gene in none."""
    by_repeat = np.array([[rises.total for rises in repeat] for repeat in found]).T
    by_class = np.mean([[rises.by_class for rises in repeat] for repeat in found], axis=0)
    mean, error = mean_and_error(by_repeat)
    facts = {"n_rows": int(mask.sum()), "n_repeats": len(found), "measure": call["measure"]}
    facts |= {"interrupted": len(found) < call["n_repeats"], "unablated": np.mean([r[0].baseline for r in found])}
    facts |= group_table(groups, mean, error)
    each = [np.full((len(columns), *values.shape[1:]), np.nan) for values in (mean, error, by_class)]
    for number, members in enumerate(groups.members):
        for out, values in zip(each, (mean, error, by_class), strict=True):
            out[members] = values[number]
    absent = np.bincount(codes[mask], minlength=len(model.classes)) == 0
    return placed(adata, columns, each[0], each[1], each[2], None, absent, facts, groups.labels(len(columns)))
