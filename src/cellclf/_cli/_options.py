"""Options that several commands share, and what their text means."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def command(commands: Any, name: str, about: str, *, example: str) -> argparse.ArgumentParser:
    """Add a command whose help ends with an example."""
    return commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=f"examples:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the data file and how to read it."""
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help="h5ad, zarr, MATLAB .mat, motif table (.feather, .arrow, .parquet), or a table of samples × genes (.csv, .tsv)",
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="the table of labels that belongs to a .csv or .tsv"
    )
    parser.add_argument("--sample-info", type=Path, metavar="FILE", help="the sample_info of a DepMap expression table")
    parser.add_argument(
        "--read",
        type=setting,
        nargs="+",
        action="extend",
        metavar="NAME=VALUE",
        default=[],
        help="other arguments of the reader",
    )
    parser.add_argument("--backed", action="store_true", help="leave the matrix of an h5ad or zarr on disk")


def add_label(parser: argparse.ArgumentParser) -> None:
    """Add the label and the split."""
    parser.add_argument(
        "--label", metavar="COLUMN", help="column of obs with the classes (default: the only candidate)"
    )
    parser.add_argument("--split", metavar="COLUMN", default="split", help="column of obs with train / valid / test")


def add_matrix(parser: argparse.ArgumentParser, *, gene_symbols: bool = True) -> None:
    """Add where the values lie, and by which names the genes are known."""
    parser.add_argument("--layer", metavar="NAME", help="layer to use instead of X")
    if gene_symbols:
        parser.add_argument("--gene-symbols", metavar="COLUMN", help="column of var with the gene names to match on")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add the seed."""
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of all random choices (default: 0)")


def add_output(parser: argparse.ArgumentParser, about: str, *, required: bool = True) -> None:
    """Add what is written, and where."""
    parser.add_argument("--output", type=Path, metavar="FILE", required=required, help=about)
    add_report(parser)


def add_report(parser: argparse.ArgumentParser) -> None:
    """Add the report, and the permission to overwrite."""
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write what is printed as JSON; '-': to the standard output, instead",
    )
    add_force(parser)


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add the permission to overwrite."""
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def seed(text: str) -> int:
    """Read a seed."""
    if not text.isdecimal():
        msg = f"{text!r} is not a whole number of 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def setting(text: str) -> tuple[str, Any]:
    """Read a setting such as ``epochs=20``: the value as JSON writes it, or else as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        msg = f"{text!r} is no setting; write it as NAME=VALUE, such as epochs=20"
        raise argparse.ArgumentTypeError(msg)
    words = {"none": None, "true": True, "false": False}
    if value.lower() in words:
        return name, words[value.lower()]
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
