"""Files named on the command line become AnnData."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import cellclf as cc

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from anndata import AnnData

TABLES, MOTIFS = {".csv", ".tsv", ".txt"}, {".feather", ".arrow", ".parquet"}


def read(options: Namespace) -> AnnData:
    """Read the data that the options of :func:`cellclf._cli._options.add_data` name."""
    path, label = options.data, getattr(options, "label", None)
    settings = dict(options.read)
    kind = "".join(path.suffixes[-2:]).lower().removesuffix(".gz")
    kind = kind[kind.rfind(".") :] if "." in kind else kind
    native = kind in {".h5ad", ".zarr"}
    _check_options(options, kind, native, settings)
    if native:
        return read_anndata(path, backed=options.backed)
    known_label = {} if label is None else {"label": label}
    if kind in TABLES and options.sample_info is not None:
        return _call(cc.io.read_depmap, path, options.sample_info, settings=settings | known_label)
    if kind in TABLES:
        return _call(cc.io.read_csv_pair, path, options.labels, settings=settings | known_label)
    if kind in MOTIFS:
        return _call(cc.io.read_motifs, path, settings=settings | known_label)
    if kind == ".mat":
        return _call(cc.io.read_mat, path, settings=settings)
    msg = (
        f"{str(path)!r} is of no kind that is read. Give .h5ad, .zarr, .mat, .csv, .tsv, .feather, .arrow or .parquet."
    )
    raise ValueError(msg)


def read_anndata(path: Path, *, backed: bool = False) -> AnnData:
    """Read an h5ad or a zarr store; what is neither is said to be so."""
    import anndata

    zarr = path.is_dir()
    if not path.is_file() and not zarr:
        msg = f"There is no file {str(path)!r}. Check the name."
        raise FileNotFoundError(msg)
    kind = "zarr" if zarr else "h5ad"
    if zarr:
        load: Callable[[], AnnData] = lambda: (
            anndata.experimental.read_lazy(path) if backed else anndata.io.read_zarr(path)
        )
    else:
        load = lambda: anndata.read_h5ad(path, backed="r" if backed else None)
    try:
        return load()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"{str(path)!r} is not laid out as an AnnData. Give a file written by AnnData.write_{kind}."
        raise ValueError(msg) from error
    except OSError as error:
        msg = f"{str(path)!r} cannot be read as {kind} ({error}). Give a file written by AnnData.write_{kind}."
        raise ValueError(msg) from error


def _check_options(options: Namespace, kind: str, native: bool, settings: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing for this kind of file."""
    if options.backed and not native:
        msg = f"--backed leaves the matrix of an h5ad or zarr on disk; {options.data.name!r} is neither. Leave it out."
        raise ValueError(msg)
    if native and settings:
        msg = f"--read gives arguments to a reader, but {options.data.name!r} needs none. Leave it out."
        raise ValueError(msg)
    given = [name for name in ("labels", "sample_info") if getattr(options, name) is not None]
    if kind in TABLES and len(given) != 1:
        msg = f"{options.data.name!r} is a table: its classes stand in another. Give --labels FILE, or --sample-info FILE."
        if not hasattr(options, "label"):
            msg += " Cells without a class: write them as h5ad first (anndata.io.read_csv reads such a table)."
        raise ValueError(msg)
    if kind not in TABLES and given:
        msg = f"--{given[0].replace('_', '-')} belongs to a .csv or .tsv; {options.data.name!r} is none. Leave it out."
        raise ValueError(msg)


def arguments() -> set[str]:
    """Name what may follow --read."""
    readers = (cc.io.read_csv_pair, cc.io.read_depmap, cc.io.read_motifs, cc.io.read_mat)
    return {name for reader in readers for name in _known(reader)}


def _known(reader: Callable[..., AnnData]) -> list[str]:
    """Name the arguments of a reader besides its files."""
    return [name for name, it in inspect.signature(reader).parameters.items() if it.kind is it.KEYWORD_ONLY]


def _call(reader: Callable[..., AnnData], *files: Path, settings: Mapping[str, Any]) -> AnnData:
    """Call a reader, with its own arguments only."""
    known = _known(reader)
    for name in settings:
        if name not in known:
            msg = f"{reader.__name__} has no argument {name!r}. It takes: {', '.join(known)}."
            raise ValueError(msg)
    return reader(*files, **settings)
