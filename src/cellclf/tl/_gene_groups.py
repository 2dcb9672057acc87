"""Genes that are shuffled together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cellclf import _slots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cellclf._classifier import Classifier

MOST = 10_000  # genes: all pairs of distances take 8 · n² / 2 bytes


class Groups(NamedTuple):
    """Groups of the model's genes: their `names`, and the columns of the network's inputs in each.

    `lines` holds the same columns and, one by one, those in no group: each gene has a place in one of them.
    """

    names: list[str]
    members: list[np.ndarray]
    lines: list[np.ndarray]

    def each(self, values: np.ndarray, n_genes: int) -> np.ndarray:
        """Give every gene the value of its line."""
        out = np.empty((n_genes, *values.shape[1:]))
        for columns, value in zip(self.lines, values, strict=True):
            out[columns] = value
        return out

    def labels(self, n_genes: int) -> np.ndarray:
        """Name the group of every gene; None for a gene in none."""
        out = np.full(n_genes, None, dtype=object)
        for name, columns in zip(self.names, self.members, strict=True):
            out[columns] = name
        return out


def check_groups(groups: Any) -> None:
    """Refuse what describes no groups."""
    if isinstance(groups, Mapping):
        return
    number = not isinstance(groups, bool) and isinstance(groups, int | float | np.number)
    whole = number and isinstance(groups, int | np.integer)
    if not number or (whole and groups < 1) or (not whole and not 0 < groups < 1):
        msg = (
            f"groups={groups!r} describes no groups. Give a mapping of names to genes, a number of clusters (1 or more), "
            "or the correlation above which genes belong together (between 0 and 1)."
        )
        raise ValueError(msg)


def resolve_groups(
    groups: Mapping[str, Sequence[str]] | float, model: Classifier, names: np.ndarray, x: np.ndarray
) -> Groups:
    """Find the groups among the model's genes, which are called `names` in the AnnData; `x` are the network's inputs."""
    found = _named(groups, model, names) if isinstance(groups, Mapping) else _clusters(groups, x)
    taken = np.zeros(len(names), dtype=bool)
    for columns in found.values():
        taken[columns] = True
    lines = [*found.values(), *(np.array([column]) for column in np.flatnonzero(~taken))]
    return Groups(list(found), list(found.values()), lines)


def _named(groups: Mapping[str, Sequence[str]], model: Classifier, names: np.ndarray) -> dict[str, np.ndarray]:
    """Find the user's genes, each in one group."""
    found: dict[str, np.ndarray] = {}
    owner: dict[int, str] = {}
    for name, genes in groups.items():
        found[str(name)] = columns_of_set(f"groups[{name!r}]", genes, model, names)
        for column in found[str(name)].tolist():
            if column in owner:
                msg = (
                    f"{str(names[column])!r} is in the groups {owner[column]!r} and {str(name)!r}. A gene can be in one: "
                    "score overlapping groups in calls of their own, with another `key_added`."
                )
                raise ValueError(msg)
            owner[column] = str(name)
    return found


def columns_of_set(title: str, genes: Any, model: Classifier, names: np.ndarray) -> np.ndarray:
    """Find a user's genes among those of the model, called `names`; those that it does not read have no say in any case."""
    if isinstance(genes, str):
        msg = f"{title} is the string {genes!r}. Give a list of genes."
        raise TypeError(msg)
    columns = pd.Index(names).get_indexer(pd.Index([str(gene) for gene in genes], dtype=object))
    if not (columns >= 0).any():
        msg = (
            f"{title} holds no gene that the classifier reads ({_slots.listing(genes, 3)}; it reads, for example, "
            f"{_slots.listing(model.genes, 3)}). Leave it out, or check the names."
        )
        raise ValueError(msg)
    return np.unique(columns[columns >= 0])


def _clusters(groups: float, x: np.ndarray) -> dict[str, np.ndarray]:
    """Join genes whose absolute correlation over the rows is high on average."""
    varying = np.flatnonzero(np.ptp(x, axis=0) > 0)
    if len(varying) > MOST:
        msg = f"Clusters are made of up to {MOST} genes; there are {len(varying)}. Name the groups in a mapping."
        raise ValueError(msg)
    if len(varying) < 2:
        return {}
    distance = 1 - np.abs(np.corrcoef(x[:, varying].T.astype(np.float64)))
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(np.clip((distance + distance.T) / 2, 0, None), checks=False), method="average")
    whole = isinstance(groups, int | np.integer)
    flat = fcluster(tree, groups if whole else 1 - groups, criterion="maxclust" if whole else "distance")
    joined = [varying[flat == cluster] for cluster in np.unique(flat)]
    joined = sorted((columns for columns in joined if len(columns) > 1), key=lambda columns: columns[0])
    return {f"cluster{number}": columns for number, columns in enumerate(joined, start=1)}
