"""`cellclf info`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellclf as cc
from cellclf._cli import _options, _read, _write

if TYPE_CHECKING:
    from argparse import Namespace

    from anndata import AnnData

    from cellclf._classifier import Classifier

EXAMPLE = """\
  cellclf info model.safetensors
  cellclf info cells.h5ad --report -"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = _options.command(commands, "info", "say what a model or a data file holds", example=EXAMPLE)
    parser.add_argument("file", type=Path, metavar="FILE", help="a saved classifier, an h5ad or a zarr")
    _options.add_report(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> bool:
    """Look into the file."""
    _write.check_free(options.report, force=options.force, inputs=(options.file,))
    if options.file.suffix in {".h5ad", ".zarr"}:
        facts = _of_data(_read.read_anndata(options.file, backed=True))
    else:
        facts = _of_model(cc.Classifier.load(options.file))
    text = "\n".join(f"{name.replace('_', ' '):<18}{_shown(value)}" for name, value in facts.items())
    _write.report({"command": "info", "version": cc.__version__} | facts, text, options.report)
    return True


def _of_model(classifier: Classifier) -> dict[str, Any]:
    """Describe a model."""
    genes, classes = [str(gene) for gene in classifier.genes], [str(name) for name in classifier.classes]
    return {
        "label": classifier.facts["label"],
        "classes": classes,
        "genes": genes,
        "network": str(classifier.description),
        "n_parameters": cc.nn.n_parameters(classifier.description, len(genes), len(classes)),
        "n_rows": classifier.facts["n_rows"],
        "counts": classifier.preprocessing.counts,
        "layer": classifier.facts["layer"],
        "use_rep": classifier.facts["use_rep"],
        "temperature": classifier.temperature,
        "skill": classifier.facts["skill"],
        "fit": asdict(classifier.options),
    }


def _of_data(adata: AnnData) -> dict[str, Any]:
    """Describe a data file."""
    from cellclf import _slots

    _slots.load_tables(adata)
    carriers = [key for key, value in adata.uns.items() if hasattr(value, "keys") and "model" in value]
    return {
        "n_cells": adata.n_obs,
        "n_genes": adata.n_vars,
        "label_candidates": _slots.label_candidates(adata),
        "obs": [str(name) for name in adata.obs],
        "var": [str(name) for name in adata.var],
        "layers": sorted(name for name in adata.layers if name is not None),
        "obsm": sorted(adata.obsm),
        "classifiers": carriers,
    }


def _shown(value: Any) -> str:
    """Write a fact in one line; long lists are cut."""
    if isinstance(value, list):
        more = f", … ({len(value):,})" if len(value) > 8 else ""
        return ", ".join(map(str, value[:8])) + more if value else "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_number(entry)}" for name, entry in value.items()) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _number(value)


def _number(value: Any) -> str:
    """Round numbers, also within a mapping."""
    if isinstance(value, dict):
        return "(" + ", ".join(f"{name} {_number(entry)}" for name, entry in value.items()) + ")"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
