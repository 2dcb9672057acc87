"""Score genes by what they tell about the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from cellclf import _slots, stats
from cellclf.pp._spread import naming_genes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData
    from distributed import Client
    from numpy.typing import NDArray

    from cellclf._types import Matrix

SCORES = ("mi", "mi_corrected", "mi_pvalue", "mi_qvalue", "jsd")


def gene_scores(
    adata: AnnData,
    label: str | None = None,
    *,
    bins: Literal["auto", "counts", "quantile", "uniform"] = "auto",
    n_bins: int | None = None,
    layer: str | None = None,
    split: str | None = "split",
    batch: str | None = None,
    key_added: str | None = None,
    copy: bool = False,
    client: Client | None = None,
    device: str | None = None,
) -> AnnData | None:
    r"""Score each gene by what its expression tells about the class of a cell.

    Expression of a gene is cut into bins :math:`b`; with the class :math:`c` of each training cell this gives a table of
    counts :math:`n_{bc}`, from which

    .. math::

        \mathrm{MI}  &= \sum_{b,c} p(b,c)\,\log \frac{p(b,c)}{p(b)\,p(c)}, \qquad
        \mathrm{JSD} = H\Big(\tfrac1K \sum_c p(\cdot \mid c)\Big)
                        - \tfrac1K \sum_c H\big(p(\cdot \mid c)\big)

    where :math:`K` is the number of classes and :math:`H` the entropy, in nats. MI :cite:p:`Shannon1948` is the same
    divergence with classes weighted by their size :cite:p:`Lin1991`: it favours genes that mark large classes; JSD is
    blind to size.

    Parameters
    ----------
    adata
        Annotated data, cells in rows. The matrix (n_obs × n_vars) may be a NumPy array, a SciPy CSR or CSC matrix, backed,
        or a dask array of these; it is never made dense, copied or changed as a whole, and the memory used does not grow
        with its rows.
    label
        Column of `adata.obs` with the class of each cell. `None`: the recorded label, else the only column that can be
        one. Cells without a class are left out.
    bins
        ``"auto"``: for counts the edges 0, 1, 2, 3, 4, 5, 7, 9, 12, 16, 21, … in every gene (unless most counts above
        zero exceed 16), for anything else ``"quantile"``. ``"counts"``: one bin for each whole number. ``"quantile"``:
        zero is a bin of its own, other values are cut at their quantiles, learnt on at most 8192 evenly spaced cells.
        ``"uniform"``: bins of equal width. From disk, counts are read once (``"counts"``, and ``"auto"`` where it finds
        counts, after a look at 512 cells), anything else twice; a CSC matrix is read once with any bins.
    n_bins
        Largest number of bins of a gene. `None`: 16. Not with ``bins="counts"``.
    layer
        Layer to use instead of X.
    split
        Column of `adata.obs` with train / valid / test: only the training cells count. The default is passed over where
        there is no such column; with `None`, all cells that have a class count.
    batch
        Column of `adata.obs` with batches. The scores are then conditional on the batch, :math:`I(g; c \mid \text{batch})`
        and the like, the mean over the batches weighted by their number of cells: a gene that only tells batches apart
        scores nothing.
    key_added
        Prefix of the written fields, e.g. ``"x"`` for `adata.var['x_mi']` and the record `adata.uns['x']`.
    copy
        Return a changed copy instead.
    client
        A :class:`distributed.Client` whose workers read and count pieces of the matrix; only tables travel. `None`: this
        process does, reading one piece while it counts another.
    device
        Device of torch that counts, such as ``"cuda"``; the same whole numbers. `None`: the processor.

    Returns
    -------
    `None`, or the changed copy if `copy=True`. Sets the following fields:

    `adata.var['mi']` : :class:`pandas.Series` (n_vars, float64)
        Mutual information with the class in nats, 0 ≤ mi ≤ log K; 0 for a constant gene.
    `adata.var['mi_corrected']` : :class:`pandas.Series` (n_vars, float64)
        The same less what permuted labels give on average :cite:p:`Vinh2010`; an uninformative gene scores 0 on average
        and may fall below.
    `adata.var['mi_pvalue']` : :class:`pandas.Series` (n_vars, float64)
        P-value of independence: chi-squared law of the G-test where at least 80 % of the expected counts are five or more,
        else a gamma law with the mean and variance under permuted labels.
    `adata.var['mi_qvalue']` : :class:`pandas.Series` (n_vars, float64)
        The same adjusted for the number of genes :cite:p:`Benjamini1995`.
    `adata.var['jsd']` : :class:`pandas.Series` (n_vars, float64)
        Jensen–Shannon divergence between the classes with equal weights, in nats.
    `adata.varm['mi_by_class']` : :class:`numpy.ndarray` (n_vars × n_classes, float64)
        Mutual information with each class against the rest, in nats; columns as `adata.uns['gene_scores']['classes']`.
    `adata.uns['gene_scores']` : dict
        Record of the call, with `classes` and the number of cells that counted, `n_cells`.

    Raises
    ------
    KeyError
        `label`, `layer`, `split` or `batch` is not in `adata` (the message lists what is).
    ValueError
        Fewer than two classes among the counted cells; values that are NaN or infinite, or that are no counts although
        ``bins="counts"`` asks for them; a counted cell without a batch; options without meaning.

    Examples
    --------
    >>> import cellclf as cc
    >>> import scanpy as sc
    >>> adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    >>> cc.pp.gene_scores(adata, "bulk_labels")
    >>> list(adata.var.nlargest(3, "mi_corrected").index)
    ['CST3', 'LYZ', 'HLA-DRA']
    """
    x = _slots.matrix(adata, layer=layer)
    found = _slots.labels(adata, label)
    masks = _slots.split_rows(adata, split)
    rows = np.ones(adata.n_obs, bool) if masks is None else masks["train"]
    found = _slots.restrict(found, rows, what="labelled cells" if masks is None else "training cells")
    batches = None if batch is None else batch_codes(adata, batch, found.codes >= 0)
    with naming_genes(adata):
        x = stats.on_workers(x, client)
        scores = compute(x, found.codes, len(found.classes), bins=bins, n_bins=n_bins, batch=batches, device=device)
    call = {"label": found.name, "bins": bins, "n_bins": n_bins, "layer": layer, "split": split, "batch": batch}
    _slots.warn_if_scaled(adata, layer)
    adata = adata.copy() if copy else adata
    _slots.write(adata, slots(scores, call, found.classes, key_added, n_cells=int((found.codes >= 0).sum())))
    return adata if copy else None


def compute(
    x: Matrix,
    codes: NDArray[np.integer[Any]],
    n_classes: int,
    *,
    bins: Literal["auto", "counts", "quantile", "uniform"] = "auto",
    n_bins: int | None = None,
    batch: NDArray[np.integer[Any]] | None = None,
    device: str | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Compute all scores from the rows with a class (code ≥ 0), within each batch if there are several."""
    options: dict[str, Any] = {"bins": bins, "n_bins": n_bins, "device": device}
    if batch is None:
        tables = iter([stats.cut_and_count(x, codes, n_classes=n_classes, **options)])
    else:
        tables = stats.cut_and_count_within(x, codes, batch, n_classes=n_classes, **options)
    sums: dict[str, Any] = {}
    for table in tables:
        for name, value in _of_table(table, table.total / (codes >= 0).sum()).items():
            sums[name] = sums[name] + value if name in sums else value
    independence = sums.pop("independence")
    p = independence.pvalue()
    return sums | {"mi_pvalue": p, "mi_qvalue": stats.benjamini_hochberg(p)}


def _of_table(table: stats.ContingencyTable, share: float) -> dict[str, Any]:
    """Score one batch, weighted by its share of the cells."""
    independence = stats.independence(table)
    information = independence.statistic / (2 * table.total)
    return {
        "mi": share * information,
        "mi_corrected": share * (information - independence.mean / (2 * table.total)),
        "jsd": share * stats.jensen_shannon(table),
        "mi_by_class": share * stats.mutual_information_by_class(table),
        "independence": independence,
    }


def slots(
    scores: Mapping[str, NDArray[np.float64]],
    call: Mapping[str, Any],
    classes: Iterable[str],
    key: str | None = None,
    **extra: Any,
) -> dict[str, dict[str, Any]]:
    """Lay out what gene scores write."""
    prefix = "" if key is None else f"{key}_"
    return {
        "var": {prefix + name: scores[name] for name in SCORES},
        "varm": {prefix + "mi_by_class": scores["mi_by_class"]},
        "uns": {key or "gene_scores": _slots.record("pp.gene_scores", call, classes=classes, **extra)},
    }


def batch_codes(adata: AnnData, batch: str, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the batches; every counted cell must have one."""
    numbers, _ = pd.factorize(_slots.member(adata.obs, batch, "batch", "adata.obs"))
    without = int(((numbers < 0) & counted).sum())
    if without:
        msg = f"batch={batch!r} is missing in {without} cells that count. Fill it, or leave those cells out."
        raise ValueError(msg)
    return np.asarray(numbers, dtype=np.int64)
