"""The command line: the whole way from labelled cells to an explained classifier, in one command."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import cellclf as cc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from anndata import AnnData
    from matplotlib.figure import Figure

    from cellclf._classifier import Classifier

FIGURES = ("history.png", "confusion.png", "gene_scores.png", "importance.png", "umap.png")
FILES = ("adata.h5ad", "model.safetensors", "report.csv", "summary.csv", *FIGURES)
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


def demo(data: Path | None, label: str | None, output: Path, seed: int) -> None:
    """Go the whole way on a file, or on the PBMC shipped with scanpy, and leave the results in `output`."""
    _check_paths(data, output)
    print(f"cellclf {cc.__version__}", flush=True)
    with _step("read") as notes:
        adata = _unscaled(_read(data), notes)
        label = _label(adata, label or ("bulk_labels" if data is None else None))
        notes.insert(0, f"{adata.n_obs:,} cells × {adata.n_vars:,} genes, label {label!r}")
    with _step("split") as notes:
        notes.append(_split(adata, label, seed))
    with _step("gene_scores"):
        cc.pp.gene_scores(adata, label)
    with _step("train") as notes:
        classifier = cc.tl.train(adata, label, rng=seed)
        notes.append(f"{len(classifier.classes)} classes from {len(classifier.genes):,} genes")
    with _step("predict"):
        cc.tl.predict(adata)
    with _step("evaluate"):
        cc.tl.evaluate(adata)
    with _step("importance"):
        cc.tl.importance(adata, rng=seed)
    with _step("umap") as notes:
        notes.append(_umap(adata, classifier, seed))
    output.mkdir(parents=True, exist_ok=True)
    with _step("files"):
        _write(adata, classifier, label, output)
    _tell(adata, output)


@contextmanager
def _step(name: str) -> Iterator[list[str]]:
    """Time a step and print one line about it, with the notes it leaves."""
    notes: list[str] = []
    start = time.perf_counter()
    yield notes
    first, *others = notes or [""]
    print(f"  {name:<12}{time.perf_counter() - start:6.1f} s   {first}".rstrip(), flush=True)
    for note in others:
        print(" " * 24 + note, flush=True)


def _check_paths(data: Path | None, output: Path) -> None:
    """Refuse, before any work, paths that cannot be read or written."""
    if data is not None and not data.is_file():
        msg = f"There is no file {str(data)!r}. Give the path of an h5ad file after --data."
        raise FileNotFoundError(msg)
    if output.exists() and not output.is_dir():
        msg = f"{str(output)!r} is a file. Give a folder after --output."
        raise ValueError(msg)
    if data is not None and data.resolve() in {(output / name).resolve() for name in FILES}:
        msg = f"{str(data)!r} would be overwritten by the results. Give another folder after --output."
        raise ValueError(msg)


def _read(data: Path | None) -> AnnData:
    """Read the user's file, or the cells shipped with scanpy."""
    if data is None:
        import scanpy as sc

        return sc.datasets.pbmc68k_reduced()
    import anndata

    try:
        return anndata.read_h5ad(data)
    except OSError as error:
        msg = f"{str(data)!r} cannot be read as h5ad ({error}). Give a file written by AnnData.write_h5ad."
        raise ValueError(msg) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = (
            f"{str(data)!r} is an HDF5 file, but not laid out as an AnnData. Give a file written by AnnData.write_h5ad."
        )
        raise ValueError(msg) from error


def _unscaled(adata: AnnData, notes: list[str]) -> AnnData:
    """Take the values of `.raw` where X holds negative numbers, and say so."""
    if adata.raw is None or adata.X is None or 0 in adata.shape or not adata.X.min() < 0:
        return adata
    notes.append("X holds negative numbers (it is scaled): the values in .raw are used instead")
    return adata.raw.to_adata()


def _label(adata: AnnData, label: str | None) -> str:
    """Find the label; two names for one thing make it hard to read a message, so the library's own is shown."""
    from cellclf import _slots

    return _slots.label_name(adata, label)


def _split(adata: AnnData, label: str, seed: int) -> str:
    """Split the rows, unless the file says how, and count them."""
    from cellclf import _slots

    given = "split" in adata.obs
    if not given:
        cc.pp.split(adata, label, rng=seed)
    sizes = {name: int(rows.sum()) for name, rows in (_slots.split_rows(adata, "split") or {}).items()}
    counts = ", ".join(f"{size:,} {name}" for name, size in sizes.items())
    return counts + (" rows, as marked in obs['split']" if given else " rows")


def _umap(adata: AnnData, classifier: Classifier, seed: int) -> str:
    """Make sure of a UMAP that owes nothing to the classifier but its choice of genes, and say where it is from."""
    import anndata
    import scanpy as sc

    if "X_umap" in adata.obsm:
        return "the one in obsm['X_umap']"
    cells = anndata.AnnData(adata.X.copy(), obs=adata.obs[[]].copy(), var=adata.var[[]].copy())
    if "X_pca" in adata.obsm:
        cells.obsm["X_pca"] = adata.obsm["X_pca"]
        source = "computed from obsm['X_pca']"
    else:
        if classifier.preprocessing.counts:
            sc.pp.normalize_total(cells, target_sum=1e4)
            sc.pp.log1p(cells)
        cells = cells[:, [str(gene) for gene in classifier.genes]].copy()
        sc.pp.pca(cells, n_comps=min(50, cells.n_obs - 1, cells.n_vars - 1), random_state=seed)
        source = f"computed from the principal components of the {cells.n_vars:,} genes of the classifier"
    sc.pp.neighbors(cells, n_neighbors=min(15, cells.n_obs - 1), use_rep="X_pca", random_state=seed)
    sc.tl.umap(cells, random_state=seed)
    adata.obsm["X_umap"] = cells.obsm["X_umap"]
    return source


def _write(adata: AnnData, classifier: Classifier, label: str, output: Path) -> None:
    """Write every file beside its old version and put it in place when it is complete."""
    import matplotlib as mpl

    mpl.use("agg")
    with _replacing(output / "adata.h5ad") as path:
        adata.write_h5ad(path)
    with _replacing(output / "model.safetensors") as path:
        classifier.save(path)
    for name, table in {"report.csv": cc.get.report(adata), "summary.csv": cc.get.summary(adata)}.items():
        with _replacing(output / name) as path:
            table.to_csv(path)
    for name, draw in {
        "history.png": lambda: cc.pl.history(adata)[0].figure,
        "confusion.png": lambda: cc.pl.confusion(adata).figure,
        "gene_scores.png": lambda: cc.pl.gene_scores(adata).figure,
        "importance.png": lambda: cc.pl.importance(adata).figure,
        "umap.png": lambda: _umap_figure(adata, label),
    }.items():
        with _replacing(output / name) as path:
            _save_figure(draw(), path)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; what was written takes the place of `path` if all went well."""
    beside = path.with_name(f".partial-{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _save_figure(figure: Figure, path: Path) -> None:
    """Save a figure and forget it."""
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=150)
    plt.close(figure)


def _umap_figure(adata: AnnData, label: str) -> Figure:
    """Draw scanpy's UMAP by label, and by prediction and confidence for cells that the classifier never learnt from."""
    import matplotlib.pyplot as plt
    import scanpy as sc

    cells = _picture(adata, label)
    shown = cells.obs["shown"].to_numpy()
    whose = "" if shown.all() else f" ({int(shown.sum()):,} unseen cells)"
    classes = cells.obs["label"].cat.categories
    columns = 1 if len(classes) <= 14 else 2 if len(classes) <= 30 else 3  # as scanpy sets its legends
    legend = columns * (0.35 + 0.08 * max(len(name) for name in classes))
    height = max(3.4, 0.5 + 0.19 * len(classes) / columns)
    figure, axes = plt.subplots(1, 3, figsize=(10.6 + legend, height), layout="compressed")
    size = min(120_000 / cells.n_obs, 120)
    shared = {"show": False, "na_in_legend": False, "legend_fontsize": 8}
    sc.pl.umap(cells, color="label", title=label, ax=axes[0], legend_loc="none", size=size / 2, **shared)
    shared |= {"mask_obs": shown, "size": size * np.where(shown, 1, 0.25)}
    sc.pl.umap(cells, color="prediction", title=f"prediction{whose}", ax=axes[1], **shared)
    sc.pl.umap(cells, color="confidence", title=f"confidence{whose}", ax=axes[2], vmin=0, vmax=1, **shared)
    for ax in axes:
        ax.set_box_aspect(1)
    return figure


def _picture(adata: AnnData, label: str) -> AnnData:
    """Gather what the UMAP shows; label and prediction share categories, and so their colours; unseen cells come last."""
    import anndata
    import pandas as pd

    from cellclf import _slots

    predictions, classes = cc.get.predictions(adata), [str(name) for name in cc.get.report(adata).index]
    truth = adata.obs[label].astype(object).map(str, na_action="ignore").to_numpy()
    never_seen = sorted({name for name in truth if isinstance(name, str)} - set(classes))
    categories = pd.Index([*classes, *never_seen])
    masks = _slots.split_rows(adata, "split") or {}
    seen = (masks["train"] | masks["valid"]) & pd.notna(truth)
    table = pd.DataFrame(
        {
            "label": pd.Categorical(truth, categories=categories),
            "prediction": pd.Categorical(predictions["predicted"].astype(str), categories=categories),
            "confidence": predictions["confidence"].to_numpy(),
            "shown": seen.all() | ~seen,
        },
        index=adata.obs_names.astype(str),
    )
    order = np.argsort(~seen, kind="stable")
    cells = anndata.AnnData(obs=table.iloc[order], obsm={"X_umap": np.asarray(adata.obsm["X_umap"])[order, :2]})
    if "cellclf_colors" in adata.uns and not never_seen:
        cells.uns["label_colors"] = cells.uns["prediction_colors"] = list(adata.uns["cellclf_colors"])
    return cells


def _tell(adata: AnnData, output: Path) -> None:
    """Print how good the classifier is, and where the files are."""
    from cellclf import _slots

    masks = _slots.split_rows(adata, "split") or {}
    part = next((f"{name} " for name in ("test", "valid") if name in masks and masks[name].any()), "")
    table = cc.get.summary(adata)[["accuracy", "macro_f1", "log_loss"]]
    print(f"\nOn the {int(cc.get.report(adata)['support'].sum()):,} {part}cells:")
    print(f"  {'':<14}{'accuracy':>10}{'macro-F1':>10}{'log loss':>10}")
    for model, row in table.iterrows():
        name = {"linear": "linear model", "prior": "class prior"}.get(str(model), str(model))
        print(f"  {name:<14}" + "".join(f"{value:>10.3f}" for value in row))
    print(f"\nFiles in {output}:")
    for names in (FILES[:4], FIGURES):
        print(f"  {', '.join(names)}")
