"""AnnData read lazily."""

from __future__ import annotations

from anndata import AnnData


def load_tables(adata: AnnData) -> None:
    """Bring `obs` and `var` of an AnnData from `anndata.experimental.read_lazy` into memory; its matrices stay where they are."""
    if not isinstance(adata, AnnData):
        msg = f"adata is a {type(adata).__name__}. Give an AnnData; of a file: anndata.read_h5ad(path)."
        raise TypeError(msg)
    for name in ("obs", "var"):
        table = getattr(adata, name)
        if not hasattr(table, "to_memory"):
            continue
        if adata.is_view:
            msg = f"adata is a view whose {name} was not read yet. Read it first: adata = adata.to_memory()."
            raise ValueError(msg)
        setattr(adata, name, table.to_memory())
