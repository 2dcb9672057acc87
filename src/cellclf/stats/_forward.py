"""Choose genes one after another, each for what it adds to those already chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm.auto import tqdm

from cellclf.stats._pairs import pack

if TYPE_CHECKING:
    from numpy.typing import NDArray


def forward_selection(
    x: Any,
    codes: NDArray[np.integer[Any]],
    order: NDArray[np.integer[Any]],
    *,
    n_genes: int,
    criterion: Literal["mrmr", "jmi"],
    n_given: int = 0,
    strata: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.int64]:
    r"""Choose genes greedily by what they tell about the class beyond those chosen before.

    With :math:`S` the genes chosen so far, the next one has the largest

    .. math::

        I(g; c) - \frac{1}{|S|} \sum_{s \in S} I(g; s) \quad \text{(mrmr)} \qquad \text{or} \qquad
        \sum_{s \in S} I(g, s; c) \quad \text{(jmi)},

    and the first one the largest :math:`I(g; c)`: minimal redundancy and maximal relevance, in the form of a difference
    :cite:p:`Peng2005`, and joint mutual information :cite:p:`Yang1999`. All terms come from genes cut into at most four
    bins; with `strata` each of them is conditional on the stratum.

    Parameters
    ----------
    x
        Matrix (n_obs × n_vars): NumPy, CSR, CSC, backed or dask.
    codes
        Class of each row (n_obs), -1 for rows that may not be seen; of the others at most 32768, evenly spaced, are used.
    order
        The genes to choose from; of equal ones the first is taken.
    n_genes
        How many to choose.
    criterion
        "mrmr" or "jmi".
    n_given
        So many genes at the head of `order` are taken first, in any case.
    strata
        Stratum of each row (n_obs), such as its batch; `None`: all rows are one.

    Returns
    -------
    The genes chosen, in order.
    """
    genes = np.asarray(order, dtype=np.int64)
    packed = pack(x, codes, genes, strata=strata)
    relevance = packed.relevance()
    add = packed.add_shared if criterion == "mrmr" else packed.add_joint
    left, sums = np.ones(genes.size, bool), np.zeros(genes.size)
    chosen: list[int] = []
    for step in tqdm(range(min(n_genes, genes.size)), desc=criterion, unit="gene", leave=False, delay=1):
        value = relevance if step == 0 else (relevance - sums / step if criterion == "mrmr" else sums)
        best = step if step < n_given else int(np.argmax(np.where(left, value, -np.inf)))
        chosen.append(best)
        left[best] = False
        if step + 1 < min(n_genes, genes.size):
            add(best, np.flatnonzero(left), sums)
    return genes[chosen]
