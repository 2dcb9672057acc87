"""Named arrays with a JSON header, as bytes or as a file that is there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

HEADER_KEY = "cellclf"


def pack(tensors: dict[str, np.ndarray], header: dict[str, Any]) -> bytes:
    """Serialise arrays and a JSON header as safetensors; equal input gives equal bytes."""
    arrays = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    return safetensors.numpy.save(arrays, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)})


def unpack(data: bytes, *, source: str = "these bytes") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read back what `pack` wrote; `source` names the origin in the error."""
    try:
        tensors = safetensors.numpy.load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        msg = f"{source} is no safetensors data ({error}). Give a model written by `Classifier.save`."
        raise ValueError(msg) from error
    if HEADER_KEY not in metadata:
        msg = f"{source} holds tensors but no cellclf header. Give a model written by `Classifier.save`."
        raise ValueError(msg)
    return tensors, json.loads(metadata[HEADER_KEY])


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write beside the target, sync and rename: a reader sees the old file or the new one, never a torn one."""
    path = Path(path)
    if not path.parent.is_dir():
        msg = f"The folder {str(path.parent)!r} does not exist. Create it first."
        raise FileNotFoundError(msg)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(temporary).chmod(0o666 & ~mask)  # mkstemp is private to the user; a model file follows the user's umask
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a file written by `write(path, pack(...))`."""
    path = Path(path)
    if not path.is_file():
        msg = f"There is no file {str(path)!r}. Give the path of a model written by `Classifier.save`."
        raise FileNotFoundError(msg)
    return unpack(path.read_bytes(), source=repr(str(path)))
