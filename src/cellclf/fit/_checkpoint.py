"""A training on disk: written whole or not at all, and taken up again at the very step."""

from __future__ import annotations

import hashlib
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellclf import _tensors
from cellclf.fit._cells import Cells
from cellclf.fit._history import History
from cellclf.fit._progress import Progress

if TYPE_CHECKING:
    from cellclf.fit._chance import Chance
    from cellclf.fit._optimiser import Optimiser
    from cellclf.nn._network import Network

FORMAT = 2
SECONDS = 60.0  # between two checkpoints within an epoch


@dataclass
class Checkpoint:
    """The file of one training. `run` says which training it is: what is taken up again must be the same one."""

    path: Path
    run: dict[str, Any]
    every: float = SECONDS
    writes: bool = True  # of devices that work together, only the first one does
    _written: float = field(default_factory=time.monotonic)
    _found: tuple[dict[str, np.ndarray], dict[str, Any]] | None = None

    def batch_size(self, asked: int | None) -> int | None:
        """Return the batch size of the training in the file (smaller than asked for, where memory was short)."""
        self._found = self._read() if self.path.exists() else None
        return asked if self._found is None else self._found[1]["batch_size"]

    def discard(self) -> None:
        """Start anew."""
        self._found = None
        self.path.unlink(missing_ok=True)

    def due(self) -> bool:
        """Tell whether an epoch is so long that a checkpoint within it pays."""
        return time.monotonic() - self._written >= self.every

    def save(
        self, progress: Progress, network: Network, optimiser: Optimiser, chance: Chance, *, batch_size: int | None
    ) -> None:
        """Write everything; where that fails, the file before stands, a warning says so, and training goes on."""
        if not self.writes:
            return
        generators, masks = chance.state()
        groups: dict[str, dict[str, Any]] = {
            "network": network.state_dict(),
            "optimiser": optimiser.state(),
            "best": progress.best or {},
            "random": generators,
            "history": progress.history.arrays(),
            "epoch": {"losses": torch.stack(progress.losses)} if progress.losses else {},
            "tally": {} if progress.counts is None else {"counts": progress.counts},
            "valid": {} if progress.lowest is None else {"lowest": progress.lowest},
        }
        header = {
            "checkpoint": FORMAT,
            "run": self.run,
            "batch_size": batch_size,
            "epoch": progress.epoch,
            "best_epoch": progress.best_epoch,
            "seconds": progress.seconds,
            "finished": progress.finished,
            "masks": masks,
        }
        tensors = {f"{group}.{name}": _array(v) for group, values in groups.items() for name, v in values.items()}
        try:
            _tensors.write(self.path, _tensors.pack(tensors, header))
        except OSError as error:
            kept = "the one before stands" if self.path.exists() else "there is none yet"
            msg = (
                f"The checkpoint {str(self.path)!r} could not be written ({error.strerror or error}); {kept}, and training "
                "goes on without. Make room, and the next epoch will write one."
            )
            warnings.warn(msg, stacklevel=2)
        self._written = time.monotonic()

    def restore(self, progress: Progress, network: Network, optimiser: Optimiser, chance: Chance) -> None:
        """Take up the training where the file left it; nothing where there is no file."""
        if self._found is None:
            return
        (tensors, header), self._found = self._found, None
        groups: dict[str, dict[str, np.ndarray]] = {}
        for name, array in tensors.items():
            group, _, key = name.partition(".")
            groups.setdefault(group, {})[key] = np.array(array)
        network.load_state_dict(_torch(groups["network"]))
        optimiser.restore(_torch(groups.get("optimiser", {})))
        progress.epoch, progress.best_epoch = header["epoch"], header["best_epoch"]
        progress.seconds, progress.finished = header["seconds"], header["finished"]
        progress.best = _torch(groups["best"]) if "best" in groups else None
        progress.lowest = groups.get("valid", {}).get("lowest")
        progress.history = History.of(groups["history"])
        if "epoch" in groups:
            device = next(network.parameters()).device
            progress.losses = list(torch.from_numpy(groups["epoch"]["losses"]).to(device))
            if "tally" in groups:
                progress.counts = torch.from_numpy(groups["tally"]["counts"]).to(device)
            chance.begin_epoch(progress.epoch)
            chance.restore(groups["random"], header["masks"])

    def result(self) -> tuple[Progress, int | None]:
        """Read what a training by other processes came to, and its batch size."""
        tensors, header = self._read()
        history = {
            name.removeprefix("history."): array for name, array in tensors.items() if name.startswith("history.")
        }
        best = {name.removeprefix("best."): array for name, array in tensors.items() if name.startswith("best.")}
        progress = Progress(history=History.of(history), best=_torch(best), best_epoch=header["best_epoch"])
        progress.finished = header["finished"]
        return progress, header["batch_size"]

    def _read(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Read the file, refusing one that is damaged or of another training."""
        advice = "Give another folder as checkpoint=, or delete this one to start anew."
        try:
            tensors, header = _tensors.read(self.path)
        except ValueError as error:
            msg = f"{str(self.path)!r} is no checkpoint, or a damaged one. {advice}"
            raise ValueError(msg) from error
        if header.get("checkpoint") != FORMAT:
            msg = f"{str(self.path)!r} is no checkpoint that this version reads. {advice}"
            raise ValueError(msg)
        other = [name for name, value in self.run.items() if header["run"].get(name) != value]
        if other:
            msg = (
                f"{str(self.path)!r} is the checkpoint of another training: it differs in {', '.join(other)}. {advice}"
            )
            raise ValueError(msg)
        return tensors, header


def digest(*arrays: np.ndarray | Cells | None) -> str:
    """Sum up arrays in a few letters: equal arrays, equal letters, wherever their values lie."""
    summary = hashlib.blake2b(digest_size=16)
    for array in arrays:
        if array is None:
            summary.update(b"none")
            continue
        if isinstance(array, np.ndarray) and array.dtype.kind in "OU":
            array = np.frombuffer("\x1f".join(map(str, array)).encode(), dtype=np.uint8)
        summary.update(f"{array.dtype.str}{array.shape}".encode())
        for block in array.blocks() if isinstance(array, Cells) else [array]:
            summary.update(np.ascontiguousarray(block).data)
    return summary.hexdigest()


def _array(value: Any) -> np.ndarray:
    """Bring a tensor to the CPU as an array."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _torch(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Turn arrays into tensors."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
