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
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
RED = "#CC3311"  # beside blue alone
MISSING = "#d9d9d9"
MANY = 20  # more classes than this get smaller, upright names
POINTS = 72  # per inch


def check_choice(argument: str, value: object, known: Sequence[str]) -> None:
    """Refuse a value that an argument does not know."""
    if value not in known:
        msg = f"{argument}={value!r} is unknown. Choose {' or '.join(map(repr, known))}."
        raise ValueError(msg)


def own_axes(ax: Axes | None, *, width: float, height: float) -> Axes:
    """Return the axes given, or those of a new figure of so many inches that keeps all text inside."""
    return ax if ax is not None else plt.subplots(figsize=(width, height), layout="compressed")[1]


def wrapped(names: Iterable[Any], width: int = 34) -> list[str]:
    """Break long names into lines; nothing of them is lost, and their dollar signs are no mathematics."""
    return ["\n".join(_broken(str(name), width)).replace("$", r"\$") for name in names]


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
    """Estimate how wide the longest line of some names is, in inches."""
    return max((len(line) for name in names for line in name.split("\n")), default=0) * 0.6 * size / POINTS


def lines(names: Sequence[str]) -> int:
    """Count the lines of the tallest name."""
    return max((name.count("\n") + 1 for name in names), default=1)


def text_size(n: int) -> float:
    """Choose the size of names, in points, by how many stand side by side."""
    return 9 if n <= MANY else 7


def gene_axes(ax: Axes | None, genes: Iterable[Any]) -> Axes:
    """Return axes with the gene names down the left side, the first on top."""
    names = wrapped(genes)
    ax = own_axes(ax, width=3.6 + inches(names, 9), height=0.22 * len(names) + 0.9)
    ax.set_yticks(np.arange(len(names)), labels=names, fontsize=9)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # long decimals need room
    return ax


def name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Write names under the columns of a heat map: slanted, or upright where they are many or long."""
    upright = len(names) > MANY or lines(names) > 1
    ax.set_xticks(
        np.arange(len(names)),
        labels=names,
        rotation=90 if upright else 45,
        ha="center" if upright else "right",
        va="top" if upright else "center",
        rotation_mode="default" if upright else "anchor",
        fontsize=text_size(len(names)),
    )


def name_rows(ax: Axes, names: Sequence[str], size: float) -> None:
    """Write names beside the rows of a heat map, the first on top."""
    ax.set_yticks(np.arange(len(names)), labels=names, fontsize=size)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.tick_params(length=2)


def heat_map(ax: Axes, values: np.ndarray, *, label: str, **style: Any) -> QuadMesh:
    """Draw values as coloured cells, missing ones grey, with a colour bar beside."""
    style["cmap"] = plt.get_cmap(style["cmap"]).with_extremes(bad=MISSING)
    ax.set_facecolor(MISSING)
    edges = [np.arange(n + 1) - 0.5 for n in values.shape[::-1]]
    mesh = ax.pcolormesh(*edges, np.ma.masked_invalid(values), edgecolors="#e6e6e6", linewidth=0.4, **style)
    bar = ax.figure.colorbar(mesh, ax=ax, label=label, fraction=0.05, pad=0.02, aspect=max(20, 1.3 * len(values)))
    bar.outline.set_visible(False)
    return mesh
