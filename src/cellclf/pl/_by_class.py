"""Draw one value for each gene and class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellclf.pl import _display

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

LABEL = 2.2  # inches that the words beside the colour bar take


def draw_by_class(ax: Axes | None, table: pd.DataFrame, value: str, *, label: str, **style: Any) -> Axes:
    """Draw one value per gene and class (a long table, class by class within a gene) as a heat map."""
    classes = table["class"].cat.categories
    n_genes = len(table) // len(classes)
    genes = _display.wrapped(table["gene"].to_numpy()[:: len(classes)])
    names = _display.wrapped(classes)
    size, gene_size = _display.text_size(len(names)), _display.row_size(n_genes)
    across = _display.extent(names, size, 0.3 if len(names) <= _display.MANY else 0.16)
    width = max(across, 1.2) + _display.inches(genes, gene_size) + 1.5
    height = max(_display.extent(genes, gene_size, 0.22), LABEL) + _display.inches(names, size) + 0.5
    ax = _display.own_axes(ax, width=width, height=height)
    _display.heat_map(ax, table[value].to_numpy(dtype=np.float64).reshape(n_genes, len(classes)), label=label, **style)
    _display.name_columns(ax, names)
    _display.name_rows(ax, genes, gene_size)
    ax.set_ylabel(f"{n_genes:,} genes" if n_genes > _display.WITH_NAMES else "")
    return ax
