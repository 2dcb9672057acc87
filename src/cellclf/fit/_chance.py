"""Everything random in a training, derived from its seed and counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from cellclf.fit._hardware import Hardware


class Chance:
    """The generators of a training: torch's own (first weights, dropout), and one for the masks of the inputs."""

    def __init__(self, seed: int, hardware: Hardware) -> None:
        self._seed, self._hardware = seed, hardware
        self.masks = np.random.default_rng(0)
        self._seed_torch(0)  # for the first weights, which all devices draw alike

    def begin_epoch(self, epoch: int) -> None:
        """Seed for an epoch; devices that work together draw differently."""
        more = [self._hardware.rank] if self._hardware.rank else []
        self._seed_torch(epoch, *more)
        self.masks = np.random.default_rng([self._seed, epoch, 2, *more])

    def _seed_torch(self, *counters: int) -> None:
        """Seed torch; on a CPU that alone, since `torch.manual_seed` also notes where it was called, for devices not there."""
        seed = seed_of(self._seed, *counters)
        if self._hardware.device.type == "cpu":
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """Return where all generators stand: arrays, and what JSON can hold."""
        arrays = {"cpu": torch.get_rng_state().numpy()}
        device = self._hardware.device
        if device.type != "cpu":
            arrays[device.type] = torch.get_device_module(device).get_rng_state().numpy()
        return arrays, dict(self.masks.bit_generator.state)

    def restore(self, arrays: dict[str, np.ndarray], masks: dict[str, object]) -> None:
        """Put all generators where `state` found them."""
        torch.set_rng_state(torch.from_numpy(arrays["cpu"]))
        device = self._hardware.device
        if device.type != "cpu":
            torch.get_device_module(device).set_rng_state(torch.from_numpy(arrays[device.type]))
        self.masks.bit_generator.state = masks


def seed_of(seed: int, *counters: int) -> int:
    """Derive a seed for torch from that of the run."""
    return int(np.random.SeedSequence([seed, *counters, 1]).generate_state(1, np.uint64)[0] >> 1)
