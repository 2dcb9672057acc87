"""Where to compute."""

from __future__ import annotations

import torch


def device_of(name: str) -> torch.device:
    """Resolve ``"auto"`` or a torch device's name; a device that is not there is an error, never a silent CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch builds without CUDA assert
        msg = f"device={name!r} is not there ({str(error).splitlines()[0]}). Use 'auto' or 'cpu'."
        raise ValueError(msg) from error
    return device
