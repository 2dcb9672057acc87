"""Torch's global generators, borrowed."""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_BORROWED = RLock()


@contextmanager
def borrowed_generators(device: torch.device | None = None) -> Iterator[None]:
    """Let nobody else draw from torch's generators, of the CPU and of a CUDA `device`, and give them back as they were.

    All threads share them, so threads that draw take turns: else the same seed would give other numbers.
    """
    devices = [device] if device is not None and device.type == "cuda" else []
    with _BORROWED, torch.random.fork_rng(devices=devices):
        yield
