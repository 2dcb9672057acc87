"""Train on several devices: a process for each, started afresh, so that scripts and notebooks need no guard."""

from __future__ import annotations

import builtins
import json
import os
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm.auto import tqdm

from cellclf import _tensors
from cellclf.fit._batches import n_batches
from cellclf.fit._cells import Cells
from cellclf.fit._checkpoint import Checkpoint
from cellclf.fit._hardware import device_of
from cellclf.fit._loop import default_epochs
from cellclf.fit._progress import Progress
from cellclf.fit._task import Task, Trained
from cellclf.nn._generators import borrowed_generators
from cellclf.nn._registry import to_header

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 0.1  # seconds between two looks at the processes
KILLED = 9  # the signal that no process survives
NAMES = ("x", "y", "valid_x", "valid_y")


def run_together(task: Task, checkpoint: Checkpoint | None) -> Trained:
    """Train on `options.devices` devices; what they came to is read from their checkpoint."""
    device = _check(task)
    with TemporaryDirectory(prefix="cellclf-") as name:
        folder, interrupted = Path(name), False
        file = checkpoint or Checkpoint(folder / "checkpoint.safetensors", {})
        _write(task, file, device, folder)
        with _processes(folder, task.options.devices) as processes:
            try:
                _follow(processes, folder, task)
            except KeyboardInterrupt:
                interrupted = True  # what was learnt so far is returned, and said to be unfinished
        progress, batch_size = file.result() if file.path.exists() else (Progress(), task.options.batch_size)
        _pass_on_warnings(folder)
    if not progress.finished and not interrupted:
        msg = "The processes ended, but their last checkpoint could not be written. Make room on the disk and start again."
        raise RuntimeError(msg)
    with borrowed_generators():
        network = task.build()
    network.load_state_dict(progress.best or task.first_weights())
    return Trained.of(network, progress.history.arrays(), progress.best_epoch, interrupted, batch_size)


def _check(task: Task) -> torch.device:
    """Refuse what several processes cannot do."""
    n, device = task.options.devices, device_of(task.options.device)
    if find_spec("lightning_fabric") is None:
        msg = f"Fit(devices={n}) needs the package lightning-fabric. Install it with `pip install 'cellclf[devices]'`."
        raise ModuleNotFoundError(msg)
    there = {"cpu": n, "cuda": torch.cuda.device_count()}.get(device.type, 1)
    if n > there:
        msg = f"Fit(devices={n}) asks for more than the {there} {device.type} devices there are. Give devices={there} or fewer."
        raise ValueError(msg)
    if not type(task.description).__module__.startswith("cellclf."):  # the one beside it is one of ours
        msg = (
            f"Fit(devices={n}) trains in processes of their own, which know the networks of cellclf.nn but not "
            f"{type(task.description).__name__}. Give devices=1."
        )
        raise ValueError(msg)
    n_rows = len(task.rows.y)
    least = n_rows // n_batches(n_rows, task.options.batch_size)
    if least < n:
        msg = f"Batches of {least} rows cannot be shared by {n} devices. Give a larger Fit(batch_size=…) or fewer devices."
        raise ValueError(msg)
    return device


def _write(task: Task, checkpoint: Checkpoint, device: torch.device, folder: Path) -> None:
    """Lay out for the processes what they train on and how."""
    arrays = dict(zip(NAMES, (*task.rows.arrays, *(task.valid.arrays if task.valid else ())), strict=False))
    for name, array in arrays.items():
        if isinstance(array, Cells):
            _tensors.write(folder / f"{name}.safetensors", array.reference())
        else:
            np.save(folder / f"{name}.npy", array)
    first = {name: weight.numpy() for name, weight in task.first_weights().items()}
    _tensors.write(folder / "first.safetensors", _tensors.pack(first, {}))
    plan = {
        "network": to_header(task.description),
        "beside": task.beside and to_header(task.beside),
        "options": asdict(task.options),
        "n_classes": task.n_classes,
        "seed": task.seed,
        "epochs": task.epochs,
        "axes": task.axes,
        "device": device.type,
        "checkpoint": str(checkpoint.path.resolve()),
        "run": checkpoint.run,
    }
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")


@contextmanager
def _processes(folder: Path, n: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the processes, and leave none behind."""
    processes = []
    environment = dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // n)),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(n),
        "LOCAL_WORLD_SIZE": str(n),
        "TORCHELASTIC_RUN_ID": "cellclf",
    }
    try:
        for rank in range(n):
            with (folder / f"log-{rank}.txt").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "cellclf.fit._worker", str(folder)],
                    env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for this process to hear, which then ends the others
                )
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _follow(processes: list[subprocess.Popen[bytes]], folder: Path, task: Task) -> None:
    """Show the epochs until all processes are done; one that fails fails all."""
    epochs = task.epochs or default_epochs(len(task.rows.y), task.options)
    done = folder / "epochs"
    with tqdm(total=epochs, desc=task.title, unit="epoch", leave=False, delay=1) as bar:
        while True:
            codes = [process.poll() for process in processes]
            if -KILLED in codes:  # it left no word, and the others only say that they waited for it in vain
                msg = (
                    f"Process {codes.index(-KILLED)} was killed, as the system does where memory is short. Make room, and call again: "
                    "with checkpoint= training goes on after the last epoch."
                )
                raise RuntimeError(msg)
            for rank, code in enumerate(codes):
                if code:
                    raise _failure(folder, rank, code)
            if done.exists():
                bar.update(int(done.read_text() or bar.n) - bar.n)
            if all(code == 0 for code in codes):
                return
            time.sleep(PATIENCE)


def _failure(folder: Path, rank: int, code: int) -> Exception:
    """Return the error of the process that failed first."""
    time.sleep(PATIENCE)  # those that waited for it in vain fail too: the one to blame wrote its error first
    found = sorted(folder.glob("error-*.json"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        log = (folder / f"log-{rank}.txt").read_text(errors="replace").strip()[-2000:]
        return RuntimeError(f"Process {rank} ended with code {code}. It said: {log or 'nothing'}")
    error = json.loads(found[0].read_text())
    if error["type"] == "OutOfMemoryError":
        return torch.OutOfMemoryError(error["message"])
    kind = getattr(builtins, error["type"], RuntimeError)
    return kind(error["message"]) if issubclass(kind, Exception) else RuntimeError(error["message"])


def _pass_on_warnings(folder: Path) -> None:
    """Warn as the first process did."""
    file = folder / "warnings.json"
    for message in json.loads(file.read_text()) if file.exists() else []:
        warnings.warn(message, stacklevel=2)


def _free_port() -> int:
    """Find a port where the processes can meet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
