"""Train under a stronger and stronger penalty, and see what becomes of weights, genes and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.fit import Fit
from cellclf.nn import MLP
from cellclf.pp._spread import naming_genes
from cellclf.tl._attempt import Problem
from cellclf.tl._genes import check_order, given_columns, select, values_and_names
from cellclf.tl._rows import plan, test_rows
from cellclf.tl._start import settings
from cellclf.tl._strengths import Examiner, train_strengths
from cellclf.tl._tables import columns as columns_of

if TYPE_CHECKING:
    from anndata import AnnData

    from cellclf._types import Rng
    from cellclf.nn._registry import Description

L1 = (1e-5, 1e-3, 0.01, 1.0, 10.0, 100.0)
GROUP_L1 = (1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03)


@dataclass(frozen=True, eq=False)
class L1Path:
    """What becomes of a network under stronger and stronger penalties on its weights.

    Parameters
    ----------
    trainings
        One row per training: `penalty` (``"none"``, ``"linear"`` for a linear network without any, ``"l1"``,
        ``"group_l1"``), its `strength`, `n_weights`, how many are nearer to zero than 1e-5 (`n_near_zero`), their
        `mean`, `sd`, `min` and `max`, `genes_left` in the network (those with a weight that is not near zero; all, where no
        weight belongs to one gene), and `accuracy`, `macro_f1` and `log_loss` on the rows in front
        (`train_`, `valid_`, `test_`), NaN where there are none. Biases and batch normalisation are no weights here.
    histograms
        One row per training and bin: `penalty`, `strength`, `left` and `right` edge, and `count` of weights; what lies
        beyond the outermost edges is counted in the outermost bins.
    genes
        One row per gene, those that stay longest first: the greatest strength of `group_l1` and of `l1` under which it is
        in the network; 0 where it is there only without a penalty, NaN where it is not read at all.
    interrupted
        Whether the user stopped the work; the trainings that were finished are there.
    """

    trainings: pd.DataFrame
    histograms: pd.DataFrame
    genes: pd.DataFrame
    interrupted: bool = False

    def __str__(self) -> str:
        """Show the trainings."""
        shown = ["penalty", "strength", "n_near_zero", "sd", "genes_left", "valid_accuracy", "test_accuracy"]
        return self.trainings[shown].to_string(index=False, float_format="{:.4g}".format)


def l1_path(
    adata: AnnData,
    label: str | None = None,
    *,
    l1: Sequence[float] = L1,
    group_l1: Sequence[float] = GROUP_L1,
    network: Description | None = None,
    fit: Fit | None = None,
    genes: str | Sequence[str] = "auto",
    layer: str | None = None,
    split: str | None = "split",
    rng: Rng = 0,
    key_added: str = "l1_path",
) -> L1Path:
    r"""Train under a stronger and stronger penalty on the weights.

    With :math:`n` weights :math:`w`, of which gene :math:`g` has :math:`h` in the first layer, the loss gains

    .. math::

        \lambda\,\frac{1}{n}\sum |w| \quad\text{(l1)} \qquad\text{or}\qquad
        \lambda \sum_g \sqrt{h}\,\lVert w_g \rVert_2 \quad\text{(group\_l1)}.

    The first makes weights small and never exactly zero, so that genes hardly leave; the second, the group lasso
    :cite:p:`Yuan2006`, is minimised by proximal steps and takes genes out of the network one by one. Each network starts
    from the same fresh weights and is trained on the training rows for all its epochs; the validation and the test rows
    have no part in it and only judge. A network and a linear network without penalty stand beside.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. X is not changed.
    label
        Column of `adata.obs` with the class of each cell; cells without one are left out. `None`: the one recorded on this
        AnnData, else the only column that can be a label.
    l1
        Strengths :math:`\lambda` of the absolute penalty, as in :class:`cellclf.Fit`. Empty: none is tried.
    group_l1
        Strengths of the group lasso on the first layer. Empty: none is tried.
    network
        What to train, such as :class:`cellclf.nn.MLP` (default) or :class:`cellclf.nn.Linear`.
    fit
        How to train it; `None` for the defaults of :class:`cellclf.Fit`. All epochs are run, so that `refit` and `stacking` have no effect.
    genes
        As for :func:`cellclf.tl.train`, but a selection that is made here is not written.
    layer
        Layer to use instead of X.
    split
        Column of `adata.obs` with train / valid / test. If ``"split"`` is not there, it is made (80 / 10 / 10 %). Where no
        row is marked valid, a tenth of each class is taken out of the training rows. `None`: all labelled rows are training
        rows.
    rng
        Seed or generator; every network is trained with the same.
    key_added
        Key of `adata.uns` for the record.

    Returns
    -------
    A :class:`cellclf.tl.L1Path`. Sets the following fields:

    `adata.uns['l1_path']` : dict
        Record of the call, with the columns of `trainings`, `histograms` and `genes`.
    `adata.obs['split']`, `adata.uns['split']`
        As :func:`cellclf.pp.split` writes them, where they were missing and `split="split"`.

    Raises
    ------
    KeyError
        `label`, `layer`, `split` or a gene is not in `adata`.
    TypeError
        `group_l1` and a network without a first linear layer.
    ValueError
        Strengths that are no positive numbers, or none at all; a `fit` that sets `l1`, `group_l1` or `patience`; or as for
        :func:`cellclf.tl.train`.
    KeyboardInterrupt
        The work was stopped before the networks without penalty were finished; later, the finished trainings are returned.

    See Also
    --------
    cellclf.pl.l1_path : draw it.
    cellclf.Fit : `l1` and `group_l1` for one training.

    Examples
    --------
    >>> import cellclf as cc, scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> fit = cc.Fit(epochs=5)
    >>> path = cc.tl.l1_path(adata, "bulk_labels", l1=[100], group_l1=[0.001, 0.1], fit=fit)
    >>> path.trainings["penalty"].tolist()
    ['none', 'linear', 'l1', 'group_l1', 'group_l1']
    """
    _slots.check_key(key_added)
    strengths = [("l1", value) for value in _strengths("l1", l1)]
    strengths += [("group_l1", value) for value in _strengths("group_l1", group_l1)]
    fit, network = replace(settings(fit), refit=False), network or MLP()
    _check(strengths, fit, network)
    x, names = values_and_names(adata, layer)
    seed = int(np.random.default_rng(rng).integers(2**62))
    rows, slots = plan(adata, _slots.labels(adata, label), split, fit, seed)
    columns = given_columns(adata, names, genes, None, None)
    if columns is None:
        check_order(network, genes)
        with naming_genes(adata):
            columns = select(x, rows)[0]
    examined = Examiner(rows, test_rows(adata, split, slots, rows))
    blind = rows._replace(valid=np.zeros(adata.n_obs, dtype=bool))  # no validation row chooses an epoch
    problem = Problem(x, names, blind, lambda _: columns, network, fit, seed)
    interrupted = train_strengths(problem, strengths, examined)
    result = L1Path(*examined.tables(names[columns]), interrupted)
    call: dict[str, Any] = {"label": label, "l1": l1, "group_l1": group_l1, "network": network, "fit": fit}
    call |= {"genes": genes, "layer": layer, "split": split, "rng": rng, "key_added": key_added}
    record = _slots.record(
        "tl.l1_path",
        call,
        classes=rows.found.classes,
        label=rows.found.name,
        interrupted=interrupted,
        trainings=columns_of(result.trainings),
        histograms=columns_of(result.histograms),
        genes=columns_of(result.genes.reset_index()),
    )
    _slots.write(adata, _slots.merge(slots, {"uns": {key_added: record}}))
    return result


def _strengths(name: Literal["l1", "group_l1"], given: Sequence[float]) -> list[float]:
    """Order the strengths of a penalty, each once; refuse what is no strength."""
    values = list(given) if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str) else [given]
    if not all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool) and 0 < value < np.inf
        for value in values
    ):
        msg = f"{name}={given!r} holds what is no strength of a penalty. Give positive numbers, such as (0.01, 1)."
        raise ValueError(msg)
    return sorted({float(value) for value in values})


def _check(strengths: list[tuple[str, float]], fit: Fit, network: Description) -> None:
    """Refuse what has no meaning, before any work."""
    if not strengths:
        msg = "l1 and group_l1 are both empty. Give the strengths of one, such as l1=(0.01, 1)."
        raise ValueError(msg)
    idle = [name for name in ("l1", "group_l1", "patience") if getattr(fit, name)]
    if idle:
        msg = f"Fit({idle[0]}=…) has no place in a path, which sets the penalties itself and runs all epochs. Leave it out."
        raise ValueError(msg)
    if not getattr(network, "needs_label", True):
        msg = f"{network} learns without a label, so it has no accuracy. Give it a head, or train cc.nn.MLP()."
        raise ValueError(msg)
