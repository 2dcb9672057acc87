"""One of the processes that try settings: `python -m cellclf.tl._trial_worker FOLDER`."""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np

from cellclf import _slots
from cellclf.fit import Fit
from cellclf.nn._registry import from_header
from cellclf.tl._folds import Fold
from cellclf.tl._study import Study, value_of


def work(folder: Path) -> None:
    """Answer each line of settings with the value that they reach, until there are no more lines."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    codes = adata.obs["code"].to_numpy(dtype=np.int64)
    study = Study(
        adata=adata,
        found=_slots.Labels(plan["label"], codes, np.array(plan["classes"], dtype=object)),
        x=adata.X,
        names=adata.var_names.to_numpy(dtype=object),
        columns=None if plan["columns"] is None else np.array(plan["columns"]),
        network=from_header(plan["network"]),
        fit=Fit(**plan["fit"]),
        layer=None,
        use_rep=None,
    )
    dealt = adata.obs["fold"].to_numpy()
    warnings.simplefilter("ignore")  # what is wrong with all settings is said by the training that follows
    for line in sys.stdin:
        asked = json.loads(line)
        chosen = replace(study, network=from_header(asked["network"]), fit=Fit(**asked["fit"]))
        test = dealt == asked["fold"]
        fold = Fold("", 0, "", (codes >= 0) & ~test, test)
        try:
            answer = {"value": value_of(chosen, fold, plan["metric"], plan["seed"])}
        except FloatingPointError:
            answer = {"diverged": True}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
