"""What the pictures share: sizes that follow the content, names that are never cut, heat maps with readable axes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

# three colours of Okabe and Ito that colour-blind readers tell apart
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#767676"  # stands out from white and black alike
RED = "#CC3311"  # beside blue alone
MISSING = "#d9d9d9"
MANY = 20  # more classes than this get smaller, upright names, long ones on one line
WITH_NAMES = 200  # more classes or genes than this are not named one by one
SCREEN = 8.0  # inches; fields shrink beyond, down to what their names need
SMALL = ((60, 7.0), (120, 5.0), (WITH_NAMES, 4.0))  # size of names in points, where so many stand side by side
POINTS = 72  # per inch
GRID: dict[str, Any] = {"color": GREY, "alpha": 0.15, "linewidth": 0.8}  # pale on light and dark ground


def check_choice(argument: str, value: object, known: Sequence[str]) -> None:
    """Refuse a value that an argument does not know."""
    if value not in known:
        msg = f"{argument}={value!r} is unknown. Choose {' or '.join(map(repr, known))}."
        raise ValueError(msg)


def own_axes(ax: Axes | None, *, width: float, height: float) -> Axes:
    """Return the axes given, or those of a new figure of so many inches that keeps all text inside."""
    return ax if ax is not None else plt.subplots(figsize=(width, height), layout="compressed")[1]


def wrapped(names: Iterable[Any], width: int | None = None) -> list[str]:
    """Break long names into lines, later where they are many; nothing of them is lost, and their dollar signs are no mathematics."""
    names = [str(name) for name in names]
    width = width or (34 if len(names) <= MANY else 80)
    return ["\n".join(_broken(name, width)).replace("$", r"\$") for name in names]


def _broken(name: str, width: int) -> list[str]:
    """Cut a name into lines of at most `width` characters, after a space or a sign where there is one."""
    words = [
        word[i : i + width] for word in re.findall(r"[^ _/,;:-]*[ _/,;:-]?", name) for i in range(0, len(word), width)
    ]
    broken = [""]
    for word in words:
        if len(broken[-1]) + len(word) > width and broken[-1]:
            broken.append("")
        broken[-1] += word
    return broken


def inches(names: Sequence[str], size: float) -> float:
    """Estimate how wide the longest line of some names is, in inches; too many are not written."""
    if len(names) > WITH_NAMES:
        return 0.0
    return max((len(line) for name in names for line in name.split("\n")), default=0) * 0.6 * size / POINTS


def lines(names: Sequence[str]) -> int:
    """Count the lines of the tallest name."""
    return max((name.count("\n") + 1 for name in names), default=1)


def text_size(n: int) -> float:
    """Choose the size of names, in points, by how many stand side by side."""
    return 9.0 if n <= MANY else next((size for most, size in SMALL if n <= most), SMALL[-1][1])


def row_size(n: int) -> float:
    """Choose the size of the names of genes, in points, by how many stand below one another."""
    return 9.0 if n <= 2 * MANY else text_size(n)


def extent(names: Sequence[str], size: float, field: float) -> float:
    """Choose how many inches fields take side by side, each of so many at first; many get less, but their names find room."""
    if len(names) > WITH_NAMES:
        return 1.5 * SCREEN
    taken = len(names) * field
    needed = len(names) * size / POINTS * (1.4 * lines(names) - 0.15)
    return max(needed, taken if len(names) <= 2 * MANY else min(SCREEN, taken))


def apart(numbers: np.ndarray, width: float) -> list[int]:
    """Leave out whole numbers that have no room beside the one before on a logarithmic axis of so many inches."""
    per_decade = width / max(np.log10(1.5 * numbers.max() / numbers.min()), 0.1)
    kept: list[int] = []
    for number in np.unique(numbers).tolist():
        if kept and np.log10(number / kept[-1]) * per_decade < 0.05 * (len(str(number)) + len(str(kept[-1]))) + 0.06:
            continue
        kept.append(int(number))
    return kept


def gene_axes(ax: Axes | None, genes: Iterable[Any]) -> Axes:
    """Return axes with the gene names down the left side, the first on top."""
    names = wrapped(genes)
    size = row_size(len(names))
    ax = own_axes(ax, width=3.6 + inches(names, size), height=extent(names, size, 0.22) + 0.9)
    name_rows(ax, names, size)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_ylabel(f"{len(names):,} genes" if len(names) > WITH_NAMES else "")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # long decimals need room
    return ax


def upright(names: Sequence[str]) -> bool:
    """Tell whether names under columns stand upright."""
    return len(names) > MANY or lines(names) > 1


def name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Write names under the columns of a heat map: slanted, or upright where they are many or long; beyond 200, their number."""
    if len(names) > WITH_NAMES:
        ax.set(xticks=[], xlabel=f"{len(names):,} classes")
        return
    standing = upright(names)
    ax.set_xticks(
        np.arange(len(names)),
        labels=names,
        rotation=90 if standing else 45,
        ha="center" if standing else "right",
        va="top" if standing else "center",
        rotation_mode="default" if standing else "anchor",
        fontsize=text_size(len(names)),
    )


def name_rows(ax: Axes, names: Sequence[str], size: float) -> None:
    """Write names beside rows, the first on top; beyond 200, none."""
    named = names if len(names) <= WITH_NAMES else []
    ax.set_yticks(np.arange(len(named)), labels=named, fontsize=size)
    ax.set_ylim(len(names) - 0.5, -0.5)


def heat_map(ax: Axes, values: np.ndarray, *, label: str, **style: Any) -> QuadMesh:
    """Draw values as coloured cells, missing ones grey, with a colour bar beside."""
    style["cmap"] = plt.get_cmap(style["cmap"]).with_extremes(bad=MISSING)
    ax.set_facecolor(MISSING)
    ax.tick_params(length=2)
    edges = [np.arange(n + 1) - 0.5 for n in values.shape[::-1]]
    few = max(values.shape) <= 3 * MANY
    borders: dict[str, Any] = {"edgecolors": "#e6e6e6", "linewidth": 0.4} if few else {"rasterized": True}
    mesh = ax.pcolormesh(*edges, np.ma.masked_invalid(values), **borders, **style)
    bar = ax.figure.colorbar(mesh, ax=ax, label=label, fraction=0.05, pad=0.02, aspect=max(20, 1.3 * len(values)))
    bar.outline.set_visible(False)
    return mesh
