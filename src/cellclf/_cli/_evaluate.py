"""`cellclf evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellclf as cc
from cellclf._cli import _options, _read, _write
from cellclf._cli._judged import judge

if TYPE_CHECKING:
    from argparse import Namespace

EXAMPLE = """\
  cellclf evaluate other_laboratory.h5ad model.safetensors --label cell_type
  cellclf evaluate cells.h5ad model.safetensors --rows test --output per_class.csv --report evaluation.json"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = _options.command(commands, "evaluate", "judge a classifier on cells whose class is known", example=EXAMPLE)
    _options.add_data(parser)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a saved classifier")
    _options.add_label(parser)
    parser.add_argument(
        "--rows", choices=["train", "valid", "test"], help="rows to judge on (default: test, valid, or all)"
    )
    _options.add_matrix(parser)
    _options.add_output(parser, "a .csv or .tsv with precision, recall and F1 of each class", required=False)
    parser.set_defaults(run=run)


def run(options: Namespace) -> bool:
    """Judge and report."""
    inputs = (options.data, options.labels, options.sample_info, options.model)
    _write.check_free(options.output, options.report, force=options.force, inputs=inputs)
    _write.check_kind(options.output, _write.TABLES)
    classifier = cc.Classifier.load(options.model)
    adata = _read.read(options)
    evaluation = cc.tl.evaluate(
        adata,
        classifier,
        label=options.label,
        rows=options.rows,
        layer=options.layer,
        gene_symbols=options.gene_symbols,
        split=options.split,
    )
    if options.output is not None:
        _write.write_table(evaluation.report.rename_axis("class"), options.output)
    facts, text = judge(evaluation)
    lines = [
        f"{adata.n_obs:,} cells, {text}",
        evaluation.report.rename_axis(None).to_string(float_format="{:.3f}".format),
    ]
    if options.split not in adata.obs:
        lines.append(
            f"obs has no column {options.split!r}, so all labelled cells are judged. If the model was trained on some of "
            "them, these figures flatter it."
        )
    _write.report({"command": "evaluate", "version": cc.__version__} | facts, "\n".join(lines), options.report)
    return True
