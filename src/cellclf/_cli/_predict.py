"""`cellclf predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import cellclf as cc
from cellclf._cli import _options, _read, _write

if TYPE_CHECKING:
    from argparse import Namespace

    from anndata import AnnData

EXAMPLE = """\
  cellclf predict query.h5ad model.safetensors --output labelled.h5ad
  cellclf predict query.h5ad model.safetensors --output labels.csv --proba --gene-symbols gene_name
  cellclf predict query.h5ad model.safetensors --output labelled.zarr --unknown 0.05"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = _options.command(commands, "predict", "label cells with a trained classifier", example=EXAMPLE)
    _options.add_data(parser)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a saved classifier")
    _options.add_matrix(parser)
    parser.add_argument(
        "--key-added", default="cellclf", metavar="WORD", help="first word of the fields (default: %(default)s)"
    )
    parser.add_argument(
        "--unknown",
        type=float,
        metavar="RATE",
        help="call cells that belong to no class Unknown, at this error rate (of a model trained with --fit conformal_folds=5)",
    )
    parser.add_argument("--proba", action="store_true", help="in a table: also the probability of every class")
    _options.add_output(parser, "an h5ad or zarr with the data and the labels, or a .csv or .tsv with the labels")
    parser.set_defaults(run=run)


def run(options: Namespace) -> bool:
    """Label the cells and write them."""
    inputs = (options.data, options.labels, options.sample_info, options.model)
    _write.check_free(options.output, options.report, force=options.force, inputs=inputs)
    _write.check_kind(options.output, _write.DATA + _write.TABLES)
    as_table = options.output.suffix in _write.TABLES
    if options.proba and not as_table:
        msg = "--proba adds columns to a table; an h5ad or zarr holds the probabilities anyway. Leave it out."
        raise ValueError(msg)
    classifier = cc.Classifier.load(options.model)
    if as_table and not len(classifier.classes):
        msg = "The model knows no classes: it gives an embedding, which a table does not hold. Give .h5ad or .zarr."
        raise ValueError(msg)
    adata = _read.read(options)
    key = options.key_added
    cc.tl.predict(
        adata,
        classifier,
        layer=options.layer,
        gene_symbols=options.gene_symbols,
        unknown=options.unknown,
        key_added=key,
    )
    if as_table:
        _write.write_table(_table(adata, classifier.classes, key, options.proba), options.output)
    else:
        _write.write_anndata(adata.to_memory() if options.backed else adata, options.output)
    found, text = _findings(adata, key) if len(classifier.classes) else _embedded(adata, key)
    facts = {"command": "predict", "version": cc.__version__, **found, "output": options.output.name}
    _write.report(facts, text, options.report)
    return True


def _table(adata: AnnData, classes: Any, key: str, proba: bool) -> pd.DataFrame:
    """Gather the labels of the cells, and the probability of each class where asked for."""
    table = cc.get.predictions(adata, key=key)
    if not proba:
        return table
    columns = [f"probability of {name}" for name in classes]
    return table.join(pd.DataFrame(adata.obsm[f"{key}_proba"], index=table.index, columns=columns))


def _embedded(adata: AnnData, key: str) -> tuple[dict[str, Any], str]:
    """Say where a model without classes put the cells."""
    return {"n_cells": adata.n_obs, "classes": []}, f"{adata.n_obs:,} cells, without classes: obsm['X_{key}']"


def _findings(adata: AnnData, key: str) -> tuple[dict[str, Any], str]:
    """Count the cells of each class."""
    table = cc.get.predictions(adata, key=key)
    counts = table.groupby("predicted", observed=False)["confidence"].agg(["size", "mean"])
    counts.columns = ["cells", "mean confidence"]
    classes = _write.records(counts.rename(columns={"mean confidence": "mean_confidence"}))
    return {
        "n_cells": len(table),
        "classes": classes,
    }, f"{len(table):,} cells\n{counts.rename_axis(None).to_string(float_format='{:.3f}'.format)}"
