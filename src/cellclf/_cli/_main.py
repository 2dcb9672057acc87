"""Read the command line, run the command, and end with the right exit code."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from typing import TYPE_CHECKING

import cellclf as cc
from cellclf._cli import _demo, _evaluate, _genes, _info, _predict, _read, _train

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

BAD_INPUT, INTERRUPTED = 2, 130
COMMANDS = (_demo, _train, _predict, _evaluate, _genes, _info)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 where the input is at fault, 130 where it was stopped."""
    options = _parser().parse_args(arguments)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # a log file has no use for moving bars
    try:
        with warnings.catch_warnings():
            _short_warnings()
            finished = options.run(options)
    except (FloatingPointError, KeyError, OSError, TypeError, ValueError) as error:
        if options.debug:
            raise
        message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        print(f"cellclf: {_as_options(message, vars(options))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        finished = False
    if not finished:
        print("cellclf: stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    parser = argparse.ArgumentParser(
        prog="cellclf", description="Supervised learning for AnnData.", epilog="cellclf COMMAND --help tells more."
    )
    parser.add_argument("--version", action="version", version=f"cellclf {cc.__version__}")
    parser.add_argument("--debug", action="store_true", help="show where in the code an error comes from")
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


def _as_options(message: str, options: Collection[str]) -> str:
    """Name arguments as the command line does; those of readers follow --read."""

    def named(found: re.Match[str]) -> str:
        name, value = found.groups()
        if name in options:
            return f"`--{name.replace('_', '-')} {value}".rstrip() + "`"
        return f"`--read {name}={value}`" if "read" in options and name in _read.arguments() else found[0]

    return re.sub(r"`(\w+)='?(\w*)'?`", named, message)


def _short_warnings() -> None:
    """Show what concerns the user's data as a note of one line, and nothing of what libraries tell programmers."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", UserWarning)
    warnings.filterwarnings("ignore", module="umap|sklearn|numba|torch")
    warnings.filterwarnings("ignore", message="Writing zarr v2 data", module="anndata")
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
