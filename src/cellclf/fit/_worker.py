"""One of the processes that train together: `python -m cellclf.fit._worker FOLDER`."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path
from threading import Thread

import numpy as np
import torch

from cellclf import _tensors
from cellclf.fit._cells import Cells
from cellclf.fit._checkpoint import Checkpoint
from cellclf.fit._hardware import Together
from cellclf.fit._loop import run
from cellclf.fit._options import Fit
from cellclf.fit._pair import weights_of_parts
from cellclf.fit._rows import Rows
from cellclf.fit._task import Task
from cellclf.nn._registry import from_header

PACKAGE = Path(__file__).parents[1]


def work(folder: Path) -> None:
    """Read the plan, train, and leave the result in the checkpoint."""
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    options = Fit(**plan["options"])
    read, _ = _tensors.read(folder / "first.safetensors")
    first = {name: torch.from_numpy(np.array(weight)) for name, weight in read.items()}
    initial = weights_of_parts(first) if plan["beside"] else [first, None]
    task = Task(
        description=from_header(plan["network"]),
        rows=_rows(folder, ""),
        valid=_rows(folder, "valid_") if (folder / "valid_y.npy").exists() else None,
        options=options,
        n_classes=plan["n_classes"],
        seed=plan["seed"],
        epochs=plan["epochs"],
        initial=initial[0],
        title="",
        beside=plan["beside"] and from_header(plan["beside"]),
        initial_beside=initial[1],
        axes=plan["axes"],
    )
    rank = int(os.environ["RANK"])
    # within an epoch the generators of the other devices would have to be kept too
    checkpoint = Checkpoint(Path(plan["checkpoint"]), plan["run"], every=float("inf"), writes=rank == 0)
    checkpoint.batch_size(options.batch_size)
    hardware = Together.meet(torch.device(plan["device"]), options.devices, folder / "epochs")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        run(task, hardware, checkpoint)
    if rank == 0:
        (folder / "warnings.json").write_text(json.dumps(_of_this_package(found)), encoding="utf-8")


def _of_this_package(found: list[warnings.WarningMessage]) -> list[str]:
    """Return what this package says; the environment of a clone of it lies in a folder of the same name."""
    return [str(entry.message) for entry in found if Path(entry.filename).is_relative_to(PACKAGE)]


def _rows(folder: Path, prefix: str) -> Rows:
    """Open rows without reading them."""
    reference = folder / f"{prefix}x.safetensors"
    x, y = (folder / f"{prefix}{name}.npy" for name in ("x", "y"))
    return Rows(Cells.open(reference) if reference.exists() else np.load(x, mmap_mode="c"), np.load(y, mmap_mode="c"))


def _end_with(parent: int) -> None:
    """End when the process that started this one is gone, lest two trainings write one checkpoint."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Work, and leave a note of what went wrong."""
    folder = Path(sys.argv[1])
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        work(folder)
    except Exception as error:
        note = {"type": type(error).__name__, "message": str(error.args[0] if error.args else error)}
        path = folder / f"error-{os.environ['RANK']}.json"
        _tensors.write(path, json.dumps(note).encode())
        raise


if __name__ == "__main__":
    main()
