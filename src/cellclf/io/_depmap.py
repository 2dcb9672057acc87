"""Cell lines of the Dependency Map: expression and what is known about each line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from cellclf import _slots
from cellclf.io import _assemble, _files, _tables, _wide

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

_GENE = re.compile(r"(?P<symbol>.+?) \((?P<identifier>[^()]+)\)")


def read_depmap(
    expression: str | os.PathLike[str],
    sample_info: str | os.PathLike[str],
    *,
    label: str,
    samples: str | None = None,
    gene_names: Literal["symbol", "identifier"] = "symbol",
    keep_unlabelled: bool = True,
    sep: str | None = None,
    fill_missing: float | None = None,
) -> AnnData:
    r"""Read expression of cell lines as DepMap publishes it, together with the table of samples.

    Columns such as ``TSPAN6 (7105)`` are taken apart into symbol and identifier. Each cell line gets its line of
    `sample_info`, joined by name; lines of `sample_info` without expression are passed over.

    Parameters
    ----------
    expression
        Table of cell lines × genes, the first column holding the names of the cell lines; may be gzipped.
    sample_info
        Table with one line for each cell line; may be gzipped.
    label
        Column of `sample_info` with the class, e.g. ``"lineage"``.
    samples
        Column of `sample_info` with the names of the cell lines. `None`: the first one.
    gene_names
        What genes are called: by symbol, or by what stands in parentheses.
    keep_unlabelled
        Whether cell lines without a class stay, with their class missing (they can be predicted, and do not teach);
        otherwise they are dropped.
    sep
        Separator of both files. `None`: found in the first line of each.
    fill_missing
        Number to put in place of missing values. `None` refuses them.

    Returns
    -------
    AnnData of cell lines × genes: X in float32, sparse if more than half of it is zero; all columns of `sample_info` in
    `obs`, the class as category; `symbol` and `entrez_id`, `ensembl_id` or `identifier` in `var`, as far as the file
    gives them (empty for a gene that has none); the name of the label in `uns["cellclf_label"]`.

    Raises
    ------
    FileNotFoundError
        A file does not exist.
    KeyError
        `label` or `samples` is no column of `sample_info` (the message lists them).
    ValueError
        A file is empty, damaged, ragged, or holds text where a number is due; names are repeated; values are missing;
        the files share no cell line. The message names the place.

    Examples
    --------
    >>> import cellclf as cc
    >>> from pathlib import Path
    >>> _ = Path("expression.csv").write_text(
    ...     ",TSPAN6 (7105),TP53 (7157)\nACH-2,3.1,4.2\nACH-1,2.5,0.4\nACH-9,1.5,0.1\n"
    ... )
    >>> _ = Path("sample_info.csv").write_text("DepMap_ID,lineage,age\nACH-1,lung,61\nACH-2,skin,45\nACH-3,skin,50\n")
    >>> adata = cc.io.read_depmap("expression.csv", "sample_info.csv", label="lineage")
    >>> adata.obs["lineage"].isna().to_list(), adata.var["entrez_id"].to_list()
    ([False, False, True], ['7105', '7157'])
    """
    if gene_names not in ("symbol", "identifier"):
        msg = f"gene_names={gene_names!r} is no choice. Give 'symbol' or 'identifier'."
        raise ValueError(msg)
    data_path, info_path = _files.existing(expression), _files.existing(sample_info)
    table = _tables.read(info_path, sep, samples)
    _tables.label_column(table, label, info_path)
    genes, var = _identified(_wide.header(data_path, sep)[1], gene_names, data_path)
    wide = _wide.read(data_path, sep)
    names = _assemble.unique_names(wide.rows, "samples", data_path)
    matched = _tables.match(names.to_list(), table, data_path, info_path)
    kept = np.ones(len(names), bool) if keep_unlabelled else matched[label].notna().to_numpy()
    x = _assemble.settle(wide.values)
    x, names, matched = (x, names, matched) if kept.all() else (x[kept], names[kept], matched[kept])
    return _assemble.assemble(
        x,
        source=data_path,
        samples=names,
        genes=genes,
        label=label,
        classes=_assemble.categories(matched[label]),
        obs=_tables.typed(matched.drop(columns=label)),
        var=var,
        function="io.read_depmap",
        call={
            "label": label,
            "gene_names": gene_names,
            "keep_unlabelled": keep_unlabelled,
            "fill_missing": fill_missing,
        },
        fill_missing=fill_missing,
    )


def _identified(columns: Sequence[str], gene_names: str, path: Path) -> tuple[list[str], pd.DataFrame | None]:
    """Take the names of columns apart into names of genes and the columns of `var`."""
    found = [_GENE.fullmatch(column) for column in columns]
    if not any(found):
        return list(columns), None
    symbols = [match["symbol"] if match else column for match, column in zip(found, columns, strict=True)]
    identifiers = [match["identifier"] if match else "" for match in found]
    names = symbols
    if gene_names == "identifier":
        names = [identifier or symbol for identifier, symbol in zip(identifiers, symbols, strict=True)]
    elif (index := pd.Index(symbols)).has_duplicates:
        repeated = index[index.duplicated()].unique()
        msg = (
            f"{path}: {len(repeated)} gene symbols occur more than once ({_slots.listing(repeated, 3)}). "
            "Give gene_names='identifier' to name genes by what stands in parentheses."
        )
        raise ValueError(msg)
    return names, pd.DataFrame({"symbol": symbols, _kind(identifiers): identifiers}, dtype=object)


def _kind(identifiers: Sequence[str]) -> str:
    """Tell what the identifiers are."""
    given = [identifier for identifier in identifiers if identifier]
    if all(identifier.isdecimal() for identifier in given):
        return "entrez_id"
    return "ensembl_id" if all(identifier.startswith("ENS") for identifier in given) else "identifier"
