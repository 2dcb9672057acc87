"""Results become files: written beside their names, put in place when complete, and never over others unasked."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from anndata import AnnData

STANDARD_OUTPUT = Path("-")
DATA, TABLES = (".h5ad", ".zarr"), (".csv", ".tsv")


def check_free(*paths: Path | None, force: bool, inputs: tuple[Path | None, ...] = ()) -> None:
    """Refuse, before any work, names that cannot be written to."""
    read, written = {path.resolve() for path in inputs if path is not None}, set[Path]()
    for path in paths:
        if path is None or path == STANDARD_OUTPUT:
            continue
        if path.resolve() in read:
            msg = f"{str(path)!r} is read here and would be overwritten. Give another name."
            raise ValueError(msg)
        if path.resolve() in written:
            msg = f"{str(path)!r} is named for two results, and one would overwrite the other. Give each a name of its own."
            raise ValueError(msg)
        written.add(path.resolve())
        if path.is_dir() and path.suffix != ".zarr":
            msg = f"{str(path)!r} is a folder. Give the name of a file."
            raise ValueError(msg)
        if path.exists() and not force:
            msg = f"{str(path)!r} exists. Give another name, or --force to replace it."
            raise FileExistsError(msg)
        if not path.absolute().parent.is_dir():
            msg = f"There is no folder {str(path.absolute().parent)!r}. Make it first, or give another name."
            raise FileNotFoundError(msg)


def check_kind(path: Path | None, kinds: tuple[str, ...]) -> None:
    """Refuse, before any work, a name that promises another kind of file than is written."""
    if path is not None and path.suffix not in kinds:
        msg = f"{str(path)!r} is of no kind that is written. Give {', '.join(kinds[:-1])} or {kinds[-1]}."
        raise ValueError(msg)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; what was written takes the place of `path` if all went well."""
    beside = path.with_name(f".partial-{path.name}")
    try:
        yield beside
        if beside.is_dir():
            _remove(path)  # a folder cannot take the place of another
        beside.replace(path)
    finally:
        _remove(beside)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_anndata(adata: AnnData, path: Path) -> None:
    """Write an h5ad or a zarr store, as the name says."""
    with replacing(path) as beside:
        if path.suffix == ".zarr":
            adata.write_zarr(beside)
        else:
            adata.write_h5ad(beside)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table, separated by commas or, for .tsv, by tabs."""
    with replacing(path) as beside:
        table.to_csv(beside, sep="\t" if path.suffix == ".tsv" else ",")


def report(facts: Mapping[str, Any], text: str, path: Path | None) -> None:
    """Print what was found out, and write it as JSON where a file is asked for."""
    content = json.dumps(_plain(facts), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if path == STANDARD_OUTPUT:
        print(content, end="")
        return
    print(text)
    if path is not None:
        with replacing(path) as beside:
            beside.write_text(content, encoding="utf-8")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into JSON's way of saying it, one object per row."""
    return [{str(name): value for name, value in row.items()} for row in table.reset_index().to_dict(orient="records")]


def _plain(value: Any) -> Any:
    """Turn NumPy's numbers and arrays into those of JSON; a missing number is null."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
