"""The page on networks of one's own is run, block by block."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import cellclf as cc

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.mark.usefixtures("empty_registry")
def test_the_page_runs(small_adata, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 5
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 10
    space = {"adata": small_adata, "__name__": "page"}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec", dont_inherit=True), space)  # noqa: S102
    assert list(space["loaded"].classes) == ["B", "NK", "T/CD4"]
    assert space["loaded"].description == space["Sine"](width=64)
    assert small_adata.obsm["X_cellclf"].shape == (120, 64)
    importance = small_adata.var["importance"].to_numpy()
    assert importance[:9].mean() > 5 * np.abs(importance[9:]).mean()
    assert space["SquareNetwork"](4, 3)(space["torch"].ones(2, 4)).shape == (2, 3)
    assert cc.nn.n_parameters(space["Sine"](), 10, 3) == 11 * 32 + 33 * 3
    widths = cc.nn.MLP(hidden=(256, 128))
    assert cc.nn.n_parameters(space["Funnel"](n_layers=2), 10, 3) == cc.nn.n_parameters(widths, 10, 3)
    fit = cc.Fit(epochs=10, batch_size=16, members=2)
    classifier = cc.tl.train(small_adata, "cell_type", network=space["Funnel"](), fit=fit)
    assert cc.Classifier.from_bytes(classifier.to_bytes()).description == space["Funnel"](n_layers=3)
    assert cc.tl.evaluate(small_adata).accuracy > 0.8
