"""The whole way from labelled cells to an explained classifier, in one command."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellclf as cc
from cellclf._cli import _options, _read, _write
from cellclf._cli._files import FIGURES, FILES, write

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from anndata import AnnData

    from cellclf._classifier import Classifier


EXAMPLE = """\
  cellclf demo
  cellclf demo --data cells.h5ad --label cell_type --output results"""


def add(commands: Any) -> None:
    """Describe the command."""
    about = (
        "go the whole way on real blood cells or a file of yours, and leave tables, figures, model and h5ad in a folder"
    )
    parser = _options.command(commands, "demo", about, example=EXAMPLE)
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="an h5ad file (default: the PBMC shipped with scanpy)"
    )
    parser.add_argument(
        "--label", metavar="COLUMN", help="column of obs with the classes (default: the only candidate)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", default=Path("cellclf-demo"), help="default: %(default)s"
    )
    _options.add_seed(parser)
    _options.add_force(parser)
    parser.set_defaults(run=run)


def run(options: Namespace) -> bool:
    """Run the command."""
    demo(options.data, options.label, options.output, options.seed, force=options.force)
    return True


def demo(data: Path | None, label: str | None, output: Path, seed: int, *, force: bool = False) -> None:
    """Go the whole way on a file, or on the PBMC shipped with scanpy, and leave the results in `output`."""
    _check_paths(data, output, force=force)
    print(f"cellclf {cc.__version__}", flush=True)
    with _step("read") as notes:
        adata = _unscaled(_read_cells(data), notes)
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
        write(adata, classifier, label, output)
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


def _check_paths(data: Path | None, output: Path, *, force: bool) -> None:
    """Refuse, before any work, paths that cannot be read or written."""
    if data is not None and not data.exists():
        msg = f"There is no file {str(data)!r}. Give the path of an h5ad file after --data."
        raise FileNotFoundError(msg)
    if output.exists() and not output.is_dir():
        msg = f"{str(output)!r} is a file. Give a folder after --output."
        raise ValueError(msg)
    if output.is_dir():
        _write.check_free(*(output / name for name in FILES), force=force, inputs=(data,))


def _read_cells(data: Path | None) -> AnnData:
    """Read the user's file, or the cells shipped with scanpy."""
    if data is not None:
        return _read.read_anndata(data)
    import scanpy as sc

    return sc.datasets.pbmc68k_reduced()


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
