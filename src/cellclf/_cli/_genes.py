"""`cellclf genes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cellclf as cc
from cellclf._cli import _options, _read, _write

if TYPE_CHECKING:
    from argparse import Namespace

    import pandas as pd
    from anndata import AnnData

EXAMPLE = """\
  cellclf genes cells.h5ad --label cell_type --n-genes 200 --output genes.csv
  cellclf genes cells.h5ad --label cell_type --redundancy mrmr --n-genes 50 --output panel.tsv"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = _options.command(commands, "genes", "score genes and select the best", example=EXAMPLE)
    _options.add_data(parser)
    _options.add_label(parser)
    _options.add_matrix(parser, gene_symbols=False)
    parser.add_argument(
        "--n-genes", type=int, default=2000, metavar="N", help="how many to select (default: %(default)s)"
    )
    parser.add_argument(
        "--by", default="mi", metavar="SCORE", help="mi, mi_corrected, jsd or a column of var (default: mi)"
    )
    parser.add_argument(
        "--redundancy", type=_redundancy, metavar="HOW", help="mrmr, jmi, or the largest correlation allowed"
    )
    parser.add_argument(
        "--bins", default="auto", choices=["auto", "counts", "quantile", "uniform"], help="default: auto"
    )
    parser.add_argument("--batch", metavar="COLUMN", help="column of obs within whose batches the genes are judged")
    _options.add_output(parser, "a .csv or .tsv with the scores of all genes, the selected ones first")
    parser.set_defaults(run=run)


def run(options: Namespace) -> bool:
    """Score, select, write."""
    inputs = (options.data, options.labels, options.sample_info)
    _write.check_free(options.output, options.report, force=options.force, inputs=inputs)
    _write.check_kind(options.output, _write.TABLES)
    adata = _read.read(options)
    cc.pp.gene_scores(
        adata, options.label, bins=options.bins, layer=options.layer, split=options.split, batch=options.batch
    )
    cc.pp.select_genes(adata, options.n_genes, by=options.by, redundancy=options.redundancy)
    table = _table(adata)
    _write.write_table(table, options.output)
    selected = table.index[table["selected"]]
    facts = {
        "command": "genes",
        "version": cc.__version__,
        "n_genes": len(table),
        "n_selected": len(selected),
        "selected": list(selected),
        "output": options.output.name,
    }
    best = table.head(10)[["mi", "mi_qvalue", "jsd"]].rename_axis(None).to_string(float_format="{:.3g}".format)
    _write.report(facts, f"{len(selected):,} of {len(table):,} genes selected; the first:\n{best}", options.report)
    return True


def _redundancy(text: str) -> float | str:
    """Read a number or the name of a method."""
    try:
        return float(text)
    except ValueError:
        return text


def _table(adata: AnnData) -> pd.DataFrame:
    """Gather the scores of the genes, those selected first, in their order."""
    table = cc.get.gene_scores(adata)
    picked = adata.var[["selected", "selected_rank"]].set_axis(adata.var_names.astype(str)).loc[table.index]
    return table.join(picked).sort_values("selected_rank", kind="stable")
