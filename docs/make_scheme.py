"""Draw how the scores of one gene come about, from real cells; run by hand: python docs/make_scheme.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import cellclf as cc
from cellclf import stats

GENE, LABEL = "CST3", "kind"
CLASSES = {"B": "CD19+ B", "mono": "CD14+ Monocyte", "DC": "Dendritic", "T": "CD8+ Cytotoxic T"}
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]


def main() -> None:
    """Draw values, table, shares and scores from left to right."""
    adata = cc.datasets.pbmc68k()
    names = {long: short for short, long in CLASSES.items()}
    adata = adata[adata.obs["bulk_labels"].isin(names)].copy()
    codes = adata.obs["bulk_labels"].astype(str).map(names).map({n: i for i, n in enumerate(CLASSES)}).to_numpy()
    x = adata[:, GENE].X.toarray()
    bins = stats.bin_edges(x, codes >= 0, bins="quantile", n_bins=5)
    table = stats.contingency(x, codes, bins=bins, n_classes=len(CLASSES))
    figure, axes = plt.subplots(
        1, 4, figsize=(11, 2.9), width_ratios=[1.3, 1, 1.1, 1.3], layout="constrained", gridspec_kw={"wspace": 0.16}
    )
    draw_values(axes[0], x[:, 0], codes, bins.of_gene(0))
    draw_table(axes[1], table.of_gene(0))
    draw_shares(axes[2], table.of_gene(0))
    draw_scores(axes[3], table)
    for i, ax in enumerate(axes, start=1):
        ax.set_title(f"{i}. {ax.get_title()}", fontsize=10)
    figure.savefig(Path(__file__).parent / "_static" / "gene_scores.png", dpi=130)


def draw_values(ax: plt.Axes, values: np.ndarray, codes: np.ndarray, edges: np.ndarray) -> None:
    """Draw each cell's value, by class, and the cuts."""
    spread = np.random.default_rng(0).random(len(values)) - 0.5
    ax.scatter(codes + 0.7 * spread, values, s=5, c=np.array(COLOURS)[codes], linewidth=0)
    for edge in edges[1:]:
        ax.axhline(edge, color="#666666", linewidth=0.7, linestyle=":")
    tops = np.append(edges[2:], values.max())
    for k, (low, high) in enumerate(zip(edges[1:], tops, strict=True), start=1):
        ax.text(3.6, (low + high) / 2, str(k), va="center", fontsize=8, color="#666666")
    ax.text(3.6, -0.02, "0", va="center", fontsize=8, color="#666666")
    ax.set(title=f"values of {GENE}, cut into bins", ylabel="log expression", xlim=(-0.6, 3.5))
    name_classes(ax)


def draw_table(ax: plt.Axes, counts: np.ndarray) -> None:
    """Draw the table of counts, highest bin on top as in the values."""
    ax.pcolormesh(counts, cmap="Greys", vmax=1.6 * counts.max(), edgecolors="white", linewidth=1.5)
    for (b, c), n in np.ndenumerate(counts):
        ax.text(c + 0.5, b + 0.5, str(n), ha="center", va="center", fontsize=9)
    ax.set(title="one table of counts $n_{bc}$", ylabel="bin $b$", yticks=np.arange(len(counts)) + 0.5)
    ax.set_yticklabels(range(len(counts)))
    name_classes(ax, 0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def draw_shares(ax: plt.Axes, counts: np.ndarray) -> None:
    """Draw the distribution of each class over the bins."""
    shares = counts / counts.sum(axis=0)
    greys = plt.get_cmap("viridis")(np.linspace(0.1, 0.95, len(counts)))
    ax.bar(
        np.repeat([np.arange(4)], len(counts), axis=0).ravel(),
        shares.ravel(),
        bottom=(np.cumsum(shares, axis=0) - shares).ravel(),
        color=np.repeat(greys, 4, axis=0),
        width=0.8,
    )
    ax.set(title="$p(b\\,|\\,c)$: do classes differ?", yticks=[0, 0.5, 1])
    name_classes(ax)
    ax.spines[["top", "right"]].set_visible(False)


def draw_scores(ax: plt.Axes, table: stats.ContingencyTable) -> None:
    """Draw the scores, and how far each could reach."""
    sizes = table.class_sizes / table.total
    scores = {
        "mi": stats.mutual_information(table)[0],
        "mi_corrected": stats.mutual_information(table, corrected=True)[0],
        "jsd": stats.jensen_shannon(table)[0],
    }
    by_class = stats.mutual_information_by_class(table)[0]
    names = [*scores, *(f"mi_by_class: {name}" for name in CLASSES)]
    values = [*scores.values(), *by_class]
    bars = ax.barh(np.arange(len(names)), values, color=["#555555"] * 3 + COLOURS, height=0.7)
    ax.bar_label(bars, fmt="%.3f", padding=2, fontsize=8)
    ax.set_yticks(np.arange(len(names)), names, fontsize=8)
    ax.invert_yaxis()
    ax.axvline(-(sizes * np.log(sizes)).sum(), color="#666666", linewidth=0.8, linestyle="--")
    ax.text(-(sizes * np.log(sizes)).sum(), 6.4, " H(label)", fontsize=8, color="#666666", ha="left", va="bottom")
    ax.set(title="all scores (nats)", xlim=(0, 1.75))
    ax.spines[["top", "right"]].set_visible(False)


def name_classes(ax: plt.Axes, shift: float = 0.0) -> None:
    """Name the classes below."""
    ax.set_xticks(np.arange(len(CLASSES)) + shift, list(CLASSES), fontsize=9)
    for text, colour in zip(ax.get_xticklabels(), COLOURS, strict=True):
        text.set_color(colour)


if __name__ == "__main__":
    main()
