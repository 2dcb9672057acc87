"""Processes that try settings side by side, started afresh, so that scripts and notebooks need no guard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd

from cellclf.nn._registry import to_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cellclf.tl._folds import Fold
    from cellclf.tl._study import Study


class TrialProcess:
    """One process, and what it says of settings."""

    def __init__(self, folder: Path, number: int, n_jobs: int) -> None:
        environment = dict(os.environ) | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // n_jobs)),
        }
        self.log = folder / f"log-{number}.txt"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cellclf.tl._trial_worker", str(folder)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for this process to hear, which then ends the others
            )

    def value(self, chosen: Study, fold: int) -> float:
        """Ask for the value that settings reach on a fold."""
        asked = {"network": to_header(chosen.network), "fit": asdict(chosen.fit), "fold": fold}
        try:
            self.process.stdin.write(json.dumps(asked) + "\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
            line = self.process.stdout.readline()  # type: ignore[union-attr]
        except OSError:
            line = ""
        if not line:
            last = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            msg = f"A process that tries settings has ended: {' '.join(last) or 'no reason given'}. Give n_jobs=1 to see where."
            raise RuntimeError(msg)
        answer = json.loads(line)
        if "diverged" in answer:
            raise FloatingPointError
        return float(answer["value"])

    def end(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):  # what was not sent is lost with the process
                stream.close()  # type: ignore[union-attr]
        self.process.wait()


@contextmanager
def trial_processes(
    study: Study, folds: Sequence[Fold], metric: str, seed: int, n_jobs: int
) -> Iterator[list[TrialProcess]]:
    """Lay out the cells and start the processes."""
    if not type(study.network).__module__.startswith("cellclf."):
        msg = (
            f"n_jobs={n_jobs} tries settings in processes of their own, which know the networks of cellclf.nn but not "
            f"{type(study.network).__name__}. Give n_jobs=1."
        )
        raise ValueError(msg)
    with TemporaryDirectory(prefix="cellclf-") as name:
        folder = Path(name)
        processes: list[TrialProcess] = []
        _write(study, folds, metric, seed, folder)
        try:
            processes += [TrialProcess(folder, number, n_jobs) for number in range(n_jobs)]
            yield processes
        finally:
            for process in processes:
                process.end()


def _write(study: Study, folds: Sequence[Fold], metric: str, seed: int, folder: Path) -> None:
    """Lay out the cells of the folds and the plan."""
    rows = np.flatnonzero(study.found.codes >= 0)
    x: Any = study.x[rows]
    x = x.compute() if hasattr(x, "compute") else x.to_memory() if hasattr(x, "to_memory") else x
    dealt = np.full(len(study.found.codes), -1)
    for number, fold in enumerate(folds):
        dealt[fold.test] = number
    obs = pd.DataFrame({"code": study.found.codes[rows], "fold": dealt[rows]}, index=rows.astype(str))
    anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=pd.Index(study.names.astype(str)))).write_h5ad(
        folder / "cells.h5ad"
    )
    plan = {
        "label": study.found.name,
        "classes": [str(name) for name in study.found.classes],
        "columns": None if study.columns is None else study.columns.tolist(),
        "network": to_header(study.network),
        "fit": asdict(study.fit),
        "metric": metric,
        "seed": seed,
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
