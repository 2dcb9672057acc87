"""Every verb takes every storage, and says the same of it; the table in the documentation is this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import cellclf as cc

PAGE = Path(__file__).parents[1] / "docs" / "array_support.md"
QUICK = {"network": cc.nn.Linear(), "fit": cc.Fit(epochs=1)}

STORAGES = {
    "array": lambda x, folder: x.toarray(order="F"),
    "CSR": lambda x, folder: x,
    "CSC": lambda x, folder: sparse.csc_array(x),
    "h5ad": "h5ad",
    "zarr": "zarr",
    "dask": "dask",
}


def _explained(adata: AnnData) -> None:
    cc.tl.explain(adata, groupby="kind", n_steps=3)


def _voted(adata: AnnData) -> None:
    cc.tl.predict(adata)
    cc.tl.vote(adata, by="kind")


def _audited(adata: AnnData) -> None:
    cc.tl.cross_validate(adata, "kind", n_folds=2, **QUICK)
    cc.tl.audit_labels(adata)


VERBS: dict[str, Callable[[AnnData], Any]] = {
    "pp.split": lambda adata: cc.pp.split(adata, "kind", key_added="again"),
    "pp.summary": lambda adata: cc.pp.summary(adata, "kind"),
    "pp.filter_genes": lambda adata: cc.pp.filter_genes(adata, min_std=0.5, copy=True),
    "pp.gene_scores": lambda adata: cc.pp.gene_scores(adata, "kind"),
    "pp.select_genes": lambda adata: (cc.pp.gene_scores(adata, "kind"), cc.pp.select_genes(adata, 5)),
    "pp.gene_similarity": cc.pp.gene_similarity,
    "tl.train": lambda adata: (cc.tl.train(adata, "kind", **QUICK), cc.tl.predict(adata)),
    "tl.predict": cc.tl.predict,
    "tl.evaluate": lambda adata: cc.tl.evaluate(adata, n_bootstrap=3),
    "tl.importance": lambda adata: cc.tl.importance(adata, n_repeats=1, null=None),
    "tl.explain": _explained,
    "tl.importance_check": lambda adata: (
        cc.tl.importance(adata, method="weights", null=None),
        cc.tl.importance_check(adata, sizes=(2, 4), n_random=1),
    ),
    "tl.ablation": lambda adata: cc.tl.ablation(adata, ranking="order", sizes=(3,), modes=("keep",), n_repeats=1),
    "tl.stability": lambda adata: cc.tl.stability(adata, method="weights", n_trainings=2, n_top=3),
    "tl.l1_path": lambda adata: cc.tl.l1_path(adata, "kind", l1=(1.0,), group_l1=(), genes="all", **QUICK),
    "tl.panel_curve": lambda adata: cc.tl.panel_curve(adata, "kind", n_genes=(3,), **QUICK),
    "tl.cross_validate": lambda adata: cc.tl.cross_validate(adata, "kind", n_folds=2, **QUICK),
    "tl.baselines": lambda adata: cc.tl.baselines(adata, "kind", models=("nearest_neighbors",), n_folds=2, **QUICK),
    "tl.tune": lambda adata: cc.tl.tune(adata, "kind", n_trials=1, n_folds=2, fit=cc.Fit(epochs=1), genes="all"),
    "tl.audit_labels": _audited,
    "tl.vote": _voted,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the same cells in every form that lies on disk, each with a classifier trained on it in memory."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 90)
    rates = np.where(np.arange(12) // 4 == kind[:, None], 4.0, 0.5)
    obs = pd.DataFrame({"kind": pd.Categorical(np.array(["a", "b", "c"])[kind])}, index=[f"cell{i}" for i in range(90)])
    var = pd.DataFrame({"order": np.arange(12.0)}, index=[f"gene{j}" for j in range(12)])
    adata = AnnData(sparse.csr_array(rng.poisson(rates).astype(np.float32)), obs=obs, var=var)
    cc.pp.split(adata, "kind", fractions=(0.6, 0.2, 0.2))
    cc.tl.train(adata, "kind", genes="all", **QUICK)
    folder = tmp_path_factory.mktemp("stored")
    adata.write_h5ad(folder / "cells.h5ad")
    adata.write_zarr(folder / "cells.zarr")
    return folder


def _stored(storage: str, folder: Path) -> Iterator[AnnData]:
    """Give the cells in one form."""
    if storage == "h5ad":
        adata = ad.read_h5ad(folder / "cells.h5ad", backed="r")
        yield adata
        adata.file.close()
    elif storage == "zarr":
        adata = ad.experimental.read_lazy(folder / "cells.zarr")
        yield adata
    else:
        adata = ad.read_h5ad(folder / "cells.h5ad")
        if storage == "dask":
            import dask.array as da

            adata.X = da.from_array(adata.X.toarray(), chunks=(40, 12))
        else:
            adata.X = STORAGES[storage](sparse.csr_array(adata.X), folder)  # type: ignore[operator]
        yield adata


def _written(adata: AnnData, before: set[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Gather what stands in the slots, as plain as can be."""
    found = {}
    for slot in ("obs", "var", "obsm", "varm", "varp", "uns"):
        for name, value in getattr(adata, slot).items():
            if (slot, name) not in before or slot == "uns":
                found[slot, name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Turn tables and mappings into lists; times differ from run to run, and the model's bytes hold some."""
    if hasattr(value, "keys") and not isinstance(value, pd.DataFrame | pd.Series):
        return {key: _plain(value[key]) for key in value if key not in {"seconds", "cells_per_second", "model"}}
    if sparse.issparse(value):
        value = value.toarray()
    array = np.asarray(value)
    return [None if entry != entry else entry for entry in array.ravel().tolist()] if array.dtype != "V" else array


def _names(adata: AnnData) -> set[tuple[str, str]]:
    return {(slot, name) for slot in ("obs", "var", "obsm", "varm", "varp") for name in getattr(adata, slot)}


def _run(verb: str, storage: str, folder: Path) -> dict[tuple[str, str], Any]:
    for adata in _stored(storage, folder):
        before = _names(adata)
        copy = VERBS[verb](adata)
        return _written(copy if isinstance(copy, AnnData) else adata, before)
    raise AssertionError


@pytest.fixture(scope="module")
def in_memory(folder: Path) -> dict[str, dict[tuple[str, str], Any]]:
    return {}


@pytest.mark.parametrize("storage", [name for name in STORAGES if name != "CSR"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_the_same_of_every_storage(
    verb: str, storage: str, folder: Path, in_memory: dict[str, dict[tuple[str, str], Any]]
) -> None:
    if verb not in in_memory:
        in_memory[verb] = _run(verb, "CSR", folder)
    found = _run(verb, storage, folder)
    assert found.keys() == in_memory[verb].keys()
    for name, value in found.items():
        assert value == in_memory[verb][name], name


def test_no_verb_is_left_out() -> None:
    names = {f"{room}.{name}" for room in ("pp", "tl") for name in getattr(cc, room).__all__ if name[0].islower()}
    assert names == set(VERBS)


def test_the_page_shows_this_table() -> None:
    titles = ["array", "CSR", "CSC", "h5ad, backed", "zarr, lazy", "dask"]
    lines = ["| verb | " + " | ".join(titles) + " |", "|---|" + ":-:|" * len(titles)]
    lines += [f"| {{func}}`cellclf.{verb}` |" + " ✓ |" * len(STORAGES) for verb in VERBS]
    assert "\n".join(lines) + "\n" in PAGE.read_text(encoding="utf-8")
