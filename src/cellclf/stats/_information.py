"""What a gene tells about the class, from the table of bins and classes; all in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

from cellclf.stats import _kernels, _threads
from cellclf.stats._null import expected_information

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cellclf.stats._contingency import ContingencyTable

TABLE_SIZE = 2**22  # n log n is looked up for smaller n
LUCKY = 0.05  # share of genes that chance lets tell more about a class


def mutual_information(table: ContingencyTable, *, corrected: bool = False) -> NDArray[np.float64]:
    r"""Mutual information of each gene with the class.

    .. math:: I = \sum_{b,c} \frac{n_{bc}}{N} \log \frac{N n_{bc}}{n_b n_c}

    Parameters
    ----------
    table
        Counts of bins and classes.
    corrected
        Subtract what labels permuted at random give on average: the exact mean for these bin and class sizes
        :cite:p:`Vinh2010`, which the correction :math:`(R-1)(C-1)/2N` of :cite:t:`Miller1955` approximates for well
        filled tables. An uninformative gene then scores zero on average; the score may fall below zero.

    Returns
    -------
    Nats, float64 (n_genes): between 0 and the entropy of the classes, exactly 0 for a constant gene.

    Examples
    --------
    >>> table = ContingencyTable(np.array([[5, 0], [0, 5]]), np.array([0, 2]))
    >>> mutual_information(table)
    array([0.69314718])
    """
    total = _counted(table)
    n_log_n = n_log_n_table(total)
    class_term = float(
        sum(size * np.log(size) if size >= n_log_n.size else n_log_n[size] for size in table.class_sizes)
    )
    out = np.zeros(table.n_genes)
    _threads.over_ranges(
        lambda first, stop: _kernels.information(
            table.counts, table.offsets, n_log_n, class_term, total, first, stop, out
        ),
        table.n_genes,
    )
    return out - expected_information(table) if corrected else out


def normalised_information(table: ContingencyTable) -> NDArray[np.float64]:
    r"""What each gene tells about the class, and about each class against the rest, in units of what the two could share.

    .. math:: \frac{\max(0, I_k - \varepsilon_k)}{\sqrt{H(g)\, H(c_k)}}

    Here :math:`c_0` is the class, and :math:`c_k` whether it is class k. Plain information favours genes that mark large classes, or
    many at once; here a perfect marker of one class among many counts as much, against the rest, as a gene that parts all of them.
    What chance tells about the class, :math:`\varepsilon_0`, is the exact mean. Of K classes some will be lucky, most of all those of few
    cells: :math:`\varepsilon_k` is what the luckiest exceeds for one gene in twenty, by the law of the G-test.

    Parameters
    ----------
    table
        Counts of bins and classes.

    Returns
    -------
    Float64 (n_genes, 1 + n_classes), between 0 and 1; 0 for a constant gene, and for a class without rows.

    Examples
    --------
    >>> table = ContingencyTable(np.array([[500, 0], [0, 500], [0, 500]]), np.array([0, 2]))
    >>> normalised_information(table).round(2)
    array([[0.76, 1.  , 0.27, 0.27]])
    """
    of_class, of_each = mutual_information(table)[:, None], mutual_information_by_class(table)
    information = np.hstack([of_class - expected_information(table)[:, None], of_each - _luck(table)[:, None]])
    shares = table.class_sizes / table.total
    one_against_rest = _entropy_terms(shares) + _entropy_terms(1 - shares)
    of_gene = np.clip(_sums(table, _entropy_terms(table.bin_sizes / table.total)), 0, None)
    scale = np.sqrt(of_gene[:, None] * np.append(_entropy_terms(shares).sum(), one_against_rest))
    return np.divide(np.clip(information, 0, None), scale, where=scale > 0, out=np.zeros_like(information))


def _luck(table: ContingencyTable) -> NDArray[np.float64]:
    """Return what each gene tells by chance about the luckiest of the classes, exceeded by one gene in twenty."""
    n_classes = max(1, int(np.count_nonzero(table.class_sizes)))
    freedom = np.maximum(_sums(table, (table.bin_sizes > 0).astype(np.int64)) - 1, 1)
    kinds, which = np.unique(freedom, return_inverse=True)
    return chi2.isf(LUCKY / n_classes, kinds)[which] / (2 * table.total)


def _sums(table: ContingencyTable, of_bins: NDArray[Any]) -> NDArray[Any]:
    """Add up what the bins of each gene have."""
    return np.add.reduceat(of_bins, table.offsets[:-1]) if table.n_genes else np.zeros(0, of_bins.dtype)


def _entropy_terms(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each share adds to an entropy."""
    return -shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))


def mutual_information_by_class(table: ContingencyTable) -> NDArray[np.float64]:
    """Mutual information of each gene with each class against all others together.

    Parameters
    ----------
    table
        Counts of bins and classes.

    Returns
    -------
    Nats, float64 (n_genes × n_classes); 0 for a class without rows.
    """
    total = _counted(table)
    n_log_n = n_log_n_table(total)
    out = np.zeros((table.n_genes, table.n_classes))
    bin_sizes, class_sizes = table.bin_sizes, table.class_sizes
    _threads.over_ranges(
        lambda first, stop: _kernels.information_by_class(
            table.counts, table.offsets, bin_sizes, class_sizes, n_log_n, total, first, stop, out
        ),
        table.n_genes,
    )
    return out


def jensen_shannon(table: ContingencyTable) -> NDArray[np.float64]:
    r"""Jensen-Shannon divergence between the classes' distributions over the bins, every class with equal weight.

    .. math:: D = H\Big(\tfrac1K \sum_c p(\cdot \mid c)\Big) - \tfrac1K \sum_c H\big(p(\cdot \mid c)\big)

    With class sizes as weights it would be the mutual information :cite:p:`Lin1991`.

    Parameters
    ----------
    table
        Counts of bins and classes; classes without rows are left out.

    Returns
    -------
    Nats, float64 (n_genes): between 0 and log K, exactly 0 for a constant gene.
    """
    n_log_n = n_log_n_table(_counted(table))
    out = np.zeros(table.n_genes)
    class_sizes = table.class_sizes
    _threads.over_ranges(
        lambda first, stop: _kernels.divergence(table.counts, table.offsets, class_sizes, n_log_n, first, stop, out),
        table.n_genes,
    )
    return out


def n_log_n_table(total: int) -> NDArray[np.float64]:
    """Tabulate n log n for every count that may occur, up to a limit."""
    n = np.arange(min(total, TABLE_SIZE) + 1, dtype=np.float64)
    n[2:] *= np.log(n[2:])
    n[:2] = 0.0
    return n


def _counted(table: ContingencyTable) -> int:
    """Return the number of rows, of which there must be some."""
    if table.total == 0 and table.n_genes:
        msg = "The table is empty: no row was counted, so it tells nothing. Count rows that have a class."
        raise ValueError(msg)
    return table.total
