"""Five kinds of tumours of The Cancer Genome Atlas."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cellclf.datasets import _fetch
from cellclf.io import read_csv_pair

if TYPE_CHECKING:
    import os

    from anndata import AnnData

ARCHIVE = _fetch.Remote(
    name="gene+expression+cancer+rna+seq.zip",
    url="https://archive.ics.uci.edu/static/public/401/gene+expression+cancer+rna+seq.zip",
    known_hash=None,
    page="the UCI Machine Learning Repository, data set 401 (Gene expression cancer RNA-Seq)",
)


def tcga_pancan(path: str | os.PathLike[str] | None = None) -> AnnData:
    """Gene expression of five kinds of tumours, from the UCI Machine Learning Repository (data set 401).

    The archive (about 70 MB) is downloaded into the user's cache once; UCI publishes no checksum for it, so that none is
    compared.

    Parameters
    ----------
    path
        Your own copy, which is then read instead: the archive (`.zip` or `TCGA-PANCAN-HiSeq-801x20531.tar.gz`), or the
        folder with `data.csv` and `labels.csv`.

    Returns
    -------
    AnnData of 801 tumours × 20 531 genes, which the source names by number (`gene_0` …), in log2 of normalised RNA-Seq
    counts. `obs["Class"]`: BRCA, COAD, KIRC, LUAD or PRAD.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    ConnectionError
        The download failed; the message says what to get, where, and where to put it.
    ValueError
        The archive is damaged, or does not hold the two tables.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.tcga_pancan()  # doctest: +SKIP
    >>> adata.shape  # doctest: +SKIP
    (801, 20531)
    """
    source = _fetch.fetch(ARCHIVE, verb="tcga_pancan") if path is None else _fetch.given(path)
    with TemporaryDirectory() as folder:
        data, labels = _fetch.members(source, ("data.csv", "labels.csv"), Path(folder))
        return read_csv_pair(data, labels)
