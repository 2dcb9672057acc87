"""Two processes started from a notebook."""

from __future__ import annotations

import pytest

nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("lightning_fabric")

CELLS = (
    """
import numpy as np, pandas as pd
from anndata import AnnData
import cellclf as cc

rng = np.random.default_rng(0)
y = np.arange(60) % 3
x = rng.normal(size=(60, 8)).astype(np.float32)
x[np.arange(60), y] += 3
adata = AnnData(x, obs=pd.DataFrame({"kind": pd.Categorical(y.astype(str))}, index=[f"c{i}" for i in range(60)]))
network = cc.nn.MLP((4,), dropout=0.0)
""",
    """
def train(devices):
    fit = cc.Fit(epochs=3, batch_size=20, optimiser="sgd", input_dropout=0.0, refit=False, device="cpu", devices=devices)
    return cc.tl.train(adata.copy(), "kind", network=network, genes="all", fit=fit).network.first_linear.weight

one, two = train(1), train(2)
assert abs(one).max() > 0.1
assert abs(one - two).max() < 1e-4
"done"
""",
)


def test_devices_work_in_a_notebook():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert notebook.cells[1].outputs[-1]["data"]["text/plain"] == "'done'"
