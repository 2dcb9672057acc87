"""Cancer cell lines of the Dependency Map."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cellclf.datasets import _fetch
from cellclf.io import read_depmap

if TYPE_CHECKING:
    import os

    from anndata import AnnData

PAGE = "the DepMap portal, release 22Q2 (or figshare, DepMap 22Q2 Public)"
EXPRESSION = _fetch.Remote(
    "CCLE_expression.csv", "https://ndownloader.figshare.com/files/34989919", known_hash=None, page=PAGE
)
SAMPLES = _fetch.Remote(
    "sample_info.csv", "https://ndownloader.figshare.com/files/35020903", known_hash=None, page=PAGE
)


def depmap(path: str | os.PathLike[str] | None = None, *, label: str = "sample_collection_site") -> AnnData:
    """Gene expression of cancer cell lines, from the Dependency Map, release 22Q2.

    Two tables (together about 500 MB) are downloaded into the user's cache once. No checksum of them is known here, so
    that none is compared.

    Parameters
    ----------
    path
        Your own copy, which is then read instead: the folder with `CCLE_expression.csv` and `sample_info.csv`, or an
        archive of it. Tables of other releases serve if they are named and laid out like these.
    label
        Column of `sample_info.csv` with the class, e.g. ``"lineage"`` or ``"primary_disease"``.

    Returns
    -------
    AnnData of cell lines × protein-coding genes, in log2(TPM + 1), with `symbol` and `entrez_id` of each gene in `var`
    and what is known about each cell line (age, sex, disease, …) in `obs`. Cell lines without a class stay, with their
    class missing.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    KeyError
        `label` is no column of `sample_info.csv`.
    ConnectionError
        The download failed; the message says what to get, where, and where to put it.
    ValueError
        The archive is damaged, or does not hold the two tables.

    Examples
    --------
    >>> import cellclf as cc
    >>> adata = cc.datasets.depmap(label="lineage")  # doctest: +SKIP
    """
    if path is None:
        expression, samples = (_fetch.fetch(remote, verb="depmap") for remote in (EXPRESSION, SAMPLES))
        return read_depmap(expression, samples, label=label)
    with TemporaryDirectory() as folder:
        expression, samples = _fetch.members(_fetch.given(path), (EXPRESSION.name, SAMPLES.name), Path(folder))
        return read_depmap(expression, samples, label=label)
