"""Read the command line, run the command, and end with the right exit code."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import cellclf as cc
from cellclf._cli._demo import demo

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_INPUT, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 where the input is at fault."""
    options = _parser().parse_args(arguments)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # a log file has no use for moving bars
    try:
        with warnings.catch_warnings():
            _short_warnings()
            demo(options.data, options.label, options.output, options.seed)
    except (FloatingPointError, KeyError, OSError, ValueError) as error:
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        print(f"cellclf: {message.replace('`label=`', '`--label`')}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("cellclf: stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(prog="cellclf", description="Supervised learning for AnnData.")
    parser.add_argument("--version", action="version", version=f"cellclf {cc.__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    about = "Split, score genes, train, predict, evaluate, explain; leave tables, figures, model and h5ad in a folder."
    command = commands.add_parser(
        "demo", help="the whole way, on real blood cells or a file of yours", description=about
    )
    command.add_argument(
        "--data", type=Path, metavar="FILE", help="an h5ad file (default: the PBMC shipped with scanpy)"
    )
    command.add_argument(
        "--label", metavar="COLUMN", help="column of obs with the classes (default: the only candidate)"
    )
    command.add_argument(
        "--output", type=Path, metavar="FOLDER", default=Path("cellclf-demo"), help="default: %(default)s"
    )
    command.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of all random choices (default: 0)")
    return parser


def _seed(text: str) -> int:
    """Read a seed."""
    if not text.isdecimal():
        msg = f"{text!r} is not a whole number of 0 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _short_warnings() -> None:
    """Show what concerns the user's data as a note of one line, and nothing of what libraries tell programmers."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", UserWarning)
    warnings.filterwarnings("ignore", module="umap|sklearn|numba|torch")
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
