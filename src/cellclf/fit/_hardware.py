"""Where to compute, and the few things that several devices must do together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from tqdm.auto import tqdm

from cellclf.fit._apply import apply_there
from cellclf.fit._cells import Cells
from cellclf.fit._norm import normalise_together

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lightning_fabric import Fabric
    from torch import Tensor

    from cellclf.nn._network import Network

SHARE_FOR_DATA = 0.5  # of the free memory of a device; the rest is for the network and its steps


class Bar(Protocol):
    """What shows how many epochs are done."""

    def update(self, n: int) -> object:
        """Add some."""

    def close(self) -> None:
        """Stop showing."""


@dataclass
class Count:
    """The number of epochs that are done, in a file."""

    path: Path
    done: int

    def update(self, n: int) -> None:
        """Add some."""
        self.done += n
        self.path.write_text(str(self.done))

    def close(self) -> None:
        """Leave the file as it is."""


@dataclass(frozen=True)
class Hardware:
    """One device, alone."""

    device: torch.device

    @property
    def rank(self) -> int:
        """The number of this device among those that work together."""
        return 0

    def bar(self, title: str, *, done: int, epochs: int) -> Bar:
        """Show the epochs."""
        return tqdm(initial=done, total=epochs, desc=title, unit="epoch", leave=False, delay=1)

    def place(self, x: np.ndarray | Cells) -> Tensor | Cells:
        """Put the rows on the device if they fit, so that batches are cut there."""
        fits = x.nbytes < SHARE_FOR_DATA * free_memory(self.device)
        if isinstance(x, Cells):
            return _gathered(x, self.device) if fits and self.device.type != "cpu" else x
        return torch.from_numpy(x).to(self.device if fits else "cpu")

    def cut(self, x: Tensor | Cells, index: np.ndarray) -> Tensor:
        """Take rows as a new tensor on the device."""
        if isinstance(x, Cells):
            return torch.from_numpy(x[index]).to(self.device)
        return x.index_select(0, torch.from_numpy(index).to(x.device)).to(self.device)

    def share(self, index: np.ndarray) -> np.ndarray:
        """Return the rows of a batch that this device takes."""
        return index

    def weigh(self, loss: Tensor, importance: np.ndarray, mine: np.ndarray, index: np.ndarray) -> Tensor:
        """Bring the loss of the rows that this device takes to its part of the loss of the whole batch."""
        return loss

    def join(self, network: Network) -> Network:
        """Return what computes the loss."""
        return network

    def backward(self, loss: Tensor) -> None:
        """Compute the gradient."""
        loss.backward()

    def mean(self, values: Tensor) -> Tensor:
        """Average over the devices."""
        return values

    def apply(self, network: Network, function: Callable[[Tensor], Tensor], x: np.ndarray | Cells) -> np.ndarray:
        """Run a function of the network over many rows, float64."""
        network.eval()
        return apply_there(function, x, self.device).astype(np.float64)


@dataclass(frozen=True)
class Together(Hardware):
    """One of several devices, each driven by a process of its own, that share the rows of every batch."""

    fabric: Fabric
    done: Path  # a file that says how many epochs are

    @classmethod
    def meet(cls, device: torch.device, size: int, done: Path) -> Together:
        """Meet the other processes; which one this is, and where they meet, the environment says."""
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import TorchElasticEnvironment
        from lightning_fabric.strategies import DDPStrategy

        strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), broadcast_buffers=False)
        fabric = Fabric(accelerator=device.type, devices=size, strategy=strategy)
        fabric.launch()
        return cls(fabric.device, fabric, done)

    @property
    def rank(self) -> int:
        """The number of this device among those that work together."""
        return self.fabric.global_rank

    def bar(self, title: str, *, done: int, epochs: int) -> Bar:
        """Count the epochs in a file: the process that started this one shows them."""
        return Count(self.done, done) if self.rank == 0 else tqdm(disable=True)

    def share(self, index: np.ndarray) -> np.ndarray:
        """Return the rows of a batch that this device takes."""
        return index[self.rank :: self.fabric.world_size]

    def weigh(self, loss: Tensor, importance: np.ndarray, mine: np.ndarray, index: np.ndarray) -> Tensor:
        """Weigh the mean over some rows such that the mean over the devices is that over the batch."""
        return loss * float(self.fabric.world_size * importance[mine].sum() / importance[index].sum())

    def join(self, network: Network) -> Network:
        """Let all devices add up their gradients, and normalise over the rows of all."""
        joined = self.fabric.setup_module(normalise_together(network))
        joined.mark_forward_method("loss")
        return joined

    def backward(self, loss: Tensor) -> None:
        """Compute the gradient, added up over the devices."""
        self.fabric.backward(loss)

    def mean(self, values: Tensor) -> Tensor:
        """Average over the devices."""
        return self.fabric.all_reduce(values, reduce_op="mean")

    def apply(self, network: Network, function: Callable[[Tensor], Tensor], x: np.ndarray | Cells) -> np.ndarray:
        """Run a function of the network over many rows, each device over some; all devices get all results."""
        mine = np.arange(self.rank, len(x), self.fabric.world_size)
        some = super().apply(network, function, x.part(mine) if isinstance(x, Cells) else x[mine])
        every = torch.zeros(len(x), *some.shape[1:], dtype=torch.float64)
        every[mine] = torch.from_numpy(some)
        return self.fabric.all_reduce(every.to(self.device), reduce_op="sum").cpu().numpy()


def _gathered(cells: Cells, device: torch.device) -> Tensor:
    """Put cells on a device block by block."""
    out, done = torch.empty(cells.shape, device=device), 0
    for block in cells.blocks():
        out[done : done + len(block)] = torch.from_numpy(block).to(device)
        done += len(block)
    return out


def free_memory(device: torch.device) -> float:
    """Return the free bytes of a device; data on the CPU lie there already."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return float("inf")


def device_of(name: str) -> torch.device:
    """Resolve ``"auto"`` or a torch device's name; a device that is not there is an error, never a silent CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()  # from a device that only plays at holding data, nothing comes back
    except (RuntimeError, AssertionError) as error:  # torch builds without CUDA assert
        reason = str(error).splitlines()[0].split(". ")[0]
        msg = f"device={name!r} is not there ({reason}). Use 'auto' or 'cpu'."
        raise ValueError(msg) from error
    return device


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error of torch says that the memory of a device is full."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
