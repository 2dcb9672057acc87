"""Draw the picture of the README, `docs/_static/demo.png`: python docs/make_picture.py (from the repository root)."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
from matplotlib.ticker import MaxNLocator

import cellclf as cc

adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
cc.pp.split(adata, "bulk_labels")
classifier = cc.tl.train(adata, "bulk_labels")
cc.tl.predict(adata)
cc.tl.evaluate(adata)
cc.tl.importance(adata)

plt.rcParams["font.size"] = 11
figure, (cells, confusion, genes) = plt.subplots(
    1, 3, figsize=(12.4, 4.3), width_ratios=[1, 1.1, 0.75], layout="constrained"
)

test = (adata.obs["split"] == "test").to_numpy()
drawn = adata[np.argsort(test, kind="stable")].copy()
mask = (drawn.obs["split"] == "test").to_numpy()
sc.pl.umap(
    drawn,
    color="cellclf",
    mask_obs=mask,
    size=np.where(mask, 130, 30),
    legend_loc="none",
    na_in_legend=False,
    title=f"Predicted class of {mask.sum()} unseen cells",
    ax=cells,
    show=False,
)
cells.set_box_aspect(1)

# both axes of the matrix have the same classes in the same order: the colours of the first panel name the columns
cc.pl.confusion(adata, ax=confusion)
confusion.set_title("True and predicted class")
confusion.set_ylabel("True class (number of cells)", fontsize=11)
confusion.set_xticks([])
confusion.tick_params(axis="y", length=0, pad=15)
colours, places = adata.uns["cellclf_colors"], np.arange(len(classifier.classes))
square = {"c": colours, "marker": "s", "s": 70, "clip_on": False}
confusion.scatter(np.full(len(places), -0.9), places, **square)
confusion.scatter(places, np.full(len(places), len(places) - 0.1), **square)
confusion.set_xlabel("Predicted class", labelpad=16, fontsize=11)
confusion.set(xlim=(-0.5, len(places) - 0.5), ylim=(len(places) - 0.5, -0.5))

cc.pl.importance(adata, n_genes=15, ax=genes)
if (legend := genes.get_legend()) is not None:
    legend.remove()  # its place is that of the title
genes.set_title("Genes it relies on")
genes.xaxis.set_major_locator(MaxNLocator(3))
genes.set_xlabel("Rise of the log loss\nwhen shuffled (nats)", fontsize=11)

figure.savefig(Path(__file__).parent / "_static" / "demo.png", dpi=130)
