"""Room for arrays: in memory, or in files without a name for what is larger than memory."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FIRST = 2**22  # bytes of the first file in which arrays are kept


class Memory:
    """Room in memory."""

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an array, its values undefined."""
        return np.empty(shape, dtype)

    def keeper(self) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """Return what brings one array after another here: they are here."""
        return np.asarray


class TemporaryFiles(Memory):
    """Room in the temporary folder of the system, mapped into memory.

    The files have no name, so the system takes them away with the last array on them, however the process ends.
    """

    def empty(self, shape: int | tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Return an array that lies in a file of its own."""
        n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if n_bytes == 0:
            return np.empty(shape, dtype)
        with tempfile.TemporaryFile(prefix="cellclf-") as file:
            _reserve(file.fileno(), n_bytes)
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))

    def keeper(self) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """Return what copies one array after another into files, many into one: a process may not open very many."""
        return _Pile(self).keep


class _Pile:
    """Arrays that lie one after another in larger ones."""

    def __init__(self, room: Memory) -> None:
        self.room, self.size, self.used = room, 0, 0
        self.top: NDArray[np.uint8] = np.empty(0, np.uint8)

    def keep(self, values: NDArray[Any]) -> NDArray[Any]:
        """Copy an array onto the pile."""
        if self.top.size - self.used < values.nbytes:
            n_bytes = max(FIRST, values.nbytes, self.size // 4)
            self.top, self.used, self.size = self.room.empty(n_bytes, np.uint8), 0, self.size + n_bytes
        kept = self.top[self.used : self.used + values.nbytes].view(values.dtype).reshape(values.shape)
        kept[...] = values
        self.used += -(-values.nbytes // 8) * 8
        return kept


def _reserve(file: int, n_bytes: int) -> None:
    """Make a file so long, on a disk that has room for it: a process that writes where there is none is ended."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    try:
        if n_bytes > free:
            raise OSError(errno.ENOSPC, "")
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, n_bytes)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        msg = (
            f"The values of the genes need {n_bytes:,} bytes in the temporary folder {folder!r}, which has {free:,} free. "
            "Make room, name a folder on another disk by the environment variable TMPDIR, or take fewer genes or cells."
        )
        raise OSError(errno.ENOSPC, msg) from None
