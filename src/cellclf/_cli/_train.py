"""`cellclf train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellclf as cc
from cellclf._cli import _options, _read, _write
from cellclf._cli._judged import judge
from cellclf._slots import split_rows

if TYPE_CHECKING:
    from argparse import Namespace

    from anndata import AnnData

    from cellclf._classifier import Classifier
    from cellclf.nn._registry import Description

EXAMPLE = """\
  cellclf train cells.h5ad --label cell_type --output model.safetensors
  cellclf train counts.csv --labels labels.csv --output model.safetensors --fit epochs=20 members=2
  cellclf train cells.h5ad --label cell_type --network MLP hidden=[512,128] --output model.safetensors"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = _options.command(commands, "train", "train a classifier and judge it on the test rows", example=EXAMPLE)
    _options.add_data(parser)
    _options.add_label(parser)
    _options.add_matrix(parser, gene_symbols=False)
    parser.add_argument("--use-rep", metavar="NAME", help="embedding in obsm to use instead of genes")
    parser.add_argument(
        "--genes",
        default="auto",
        metavar="WHICH",
        help="auto, all, a boolean column of var, or a text file with one gene per line (default: %(default)s)",
    )
    parser.add_argument(
        "--network",
        nargs="+",
        metavar=("NAME", "NAME=VALUE"),
        help="MLP (default), Linear, CNN1d, Autoencoder with their settings, or a network of cc.nn.named",
    )
    parser.add_argument(
        "--fit",
        type=_options.setting,
        nargs="+",
        action="extend",
        metavar="NAME=VALUE",
        default=[],
        help="settings of cc.Fit",
    )
    parser.add_argument("--start", type=Path, metavar="MODEL", help="a model whose weights to start from")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FOLDER", help="where to keep what a killed training goes on from"
    )
    parser.add_argument(
        "--annotated",
        type=Path,
        metavar="FILE",
        help="also write the data with split, gene scores and model (h5ad, zarr)",
    )
    _options.add_seed(parser)
    _options.add_output(parser, "the model, such as model.safetensors")
    parser.set_defaults(run=run)


def run(options: Namespace) -> bool:
    """Train, judge, write; tell whether the training ran to its end."""
    inputs = (options.data, options.labels, options.sample_info, options.start)
    _write.check_free(options.output, options.annotated, options.report, force=options.force, inputs=inputs)
    _write.check_kind(options.annotated, _write.DATA)
    if options.output.suffix in _write.DATA:
        msg = f"{str(options.output)!r} is the name of a data file, but a model is written. Give .safetensors."
        raise ValueError(msg)
    network, fit = network_of(options.network), fit_of(dict(options.fit))
    start = None if options.start is None else cc.Classifier.load(options.start)
    adata = _read.read(options)
    classifier = cc.tl.train(
        adata,
        options.label,
        network=network,
        fit=fit,
        genes=_genes(options.genes),
        layer=options.layer,
        use_rep=options.use_rep,
        split=options.split,
        start=start,
        checkpoint=options.checkpoint,
        rng=options.seed,
    )
    with _write.replacing(options.output) as beside:
        classifier.save(beside)
    if options.annotated is not None:
        _write.write_anndata(adata, options.annotated)
    facts, text = _findings(adata, classifier, options.split)
    _write.report(facts | {"model": options.output.name}, text, options.report)
    return not classifier.facts["interrupted"]


def network_of(words: list[str] | None) -> Description | None:
    """Read a network: the name of a class with settings, or of a seed's network."""
    if words is None:
        return None
    name, settings = words[0], dict(map(_options.setting, words[1:]))
    if name not in cc.nn.__all__ or not isinstance(getattr(cc.nn, name), type):
        if settings:
            msg = (
                f"--network {name} takes no settings. Give MLP, Linear, CNN1d or Autoencoder for a network of your own."
            )
            raise ValueError(msg)
        return cc.nn.named(name)  # type: ignore[arg-type]  # it says which names there are
    return _make(getattr(cc.nn, name), settings)


def fit_of(settings: dict[str, Any]) -> cc.Fit | None:
    """Read the settings of the training."""
    return _make(cc.Fit, settings) if settings else None


def _make(kind: type, settings: dict[str, Any]) -> Any:
    """Make a description of a class from settings, lists becoming tuples."""
    known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    for name in settings:
        if name not in known:
            msg = f"{kind.__name__} has no setting {name!r}. It has: {', '.join(known)}."
            raise ValueError(msg)
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})


def _genes(which: str) -> str | list[str]:
    """Read the names of the genes where a file holds them."""
    path = Path(which)
    if path.suffix == ".txt" and not path.is_file():
        msg = f"There is no file {which!r}. Check the name."
        raise FileNotFoundError(msg)
    if which in {"auto", "all"} or not path.is_file():
        return which
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def _findings(adata: AnnData, classifier: Classifier, split: str) -> tuple[dict[str, Any], str]:
    """Gather what the training brought, as JSON and as text."""
    sizes = f"{classifier.facts['n_rows']:,} cells, {len(classifier.genes):,} genes, {len(classifier.classes)} classes"
    lines = [f"{sizes}; best epoch {classifier.facts['best_epoch']} of {len(classifier.history)}"]
    facts: dict[str, Any] = {
        "command": "train",
        "version": cc.__version__,
        "label": classifier.facts["label"],
        "classes": list(classifier.classes),
        "n_genes": len(classifier.genes),
        "n_rows": classifier.facts["n_rows"],
        "best_epoch": classifier.facts["best_epoch"],
        "interrupted": classifier.facts["interrupted"],
        "history": _write.records(classifier.history.set_index("epoch")),
    }
    if classifier.facts["interrupted"]:
        lines.append("Stopped early: this is the best network so far.")
    if len(classifier.classes) and "test" in {
        name for name, rows in (split_rows(adata, split) or {}).items() if rows.any()
    }:
        judged, table = judge(cc.tl.evaluate(adata, classifier, split=split))
        facts["evaluation"] = judged
        lines.append(f"Test cells, {table}")
    return facts, "\n".join(lines)
