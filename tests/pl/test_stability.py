from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import cellclf as cc
from cellclf import _slots


@pytest.fixture
def compared() -> AnnData:
    """Give the slots of compared trainings; the last gene is not read."""
    rng = np.random.default_rng(0)
    adata = AnnData(np.ones((2, 6), dtype=np.float32))
    adata.var_names = [f"GENE{i}" for i in range(6)]
    adata.var["stability"] = [0.2, 1.0, 1.0, 0.5, 0.0, 0.0]
    adata.var["stability_rank"] = [5.0, 2.0, 1.0, 3.0, 9.0, np.nan]
    adata.var["stability_mean"], adata.var["stability_sd"] = rng.random(6), rng.random(6)
    adata.uns["stability"] = _slots.record("tl.stability", {}, method="weights", n_top=3)
    return adata


def test_points_are_the_means(compared: AnnData) -> None:
    ax = cc.pl.stability(compared, n_genes=4)
    table = cc.get.stability(compared)
    assert list(table.index) == ["GENE2", "GENE1", "GENE3", "GENE0", "GENE4"]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(table.index[:4])
    points = ax.collections[-1]
    np.testing.assert_array_equal(points.get_offsets()[:, 0], table["mean"][:4])
    np.testing.assert_array_equal(points.get_array(), table["frequency"][:4])
    assert points.get_clim() == (0, 1)
    assert ax.figure.axes[1].get_ylabel().endswith("among their first 3")


def test_a_result_is_drawn_too(compared: AnnData) -> None:
    table = cc.get.stability(compared)
    ax = cc.pl.stability(cc.tl.Stability(table, pd.DataFrame(), 3, 2), n_genes=2)
    assert len(ax.get_yticklabels()) == 2
    with pytest.raises(ValueError, match="n_genes=0 is no number of genes"):
        cc.pl.stability(compared, n_genes=0)
    with pytest.raises(KeyError, match=r"Run `cc\.tl\.stability` first"):
        cc.pl.stability(AnnData(np.ones((2, 2), dtype=np.float32)))
