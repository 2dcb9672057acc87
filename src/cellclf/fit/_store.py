"""Cells in a file that is read at random: integers where the values are, written whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from tqdm.auto import tqdm

from cellclf import _tensors
from cellclf.fit._cells import BLOCK, Cells

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cellclf.stats._dense import DenseBlock

FORMAT = 1
GIB = 2**30
VALUES, FACTS = "cells.npy", "cells.safetensors"
EXACT = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))
HALF = (*EXACT[:2], np.dtype(np.float16))


@dataclass(frozen=True, eq=False)
class Store:
    """Cells in a file: `values` (mapped), `totals` over all genes, and the `rows` and `columns` of the matrix (ascending)."""

    values: np.ndarray
    totals: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    header: dict[str, Any]

    def cells(self, rows: np.ndarray, columns: np.ndarray) -> Cells:
        """Return the cells of some rows (mask) and columns of the matrix, as stored."""
        return Cells(self.values, self.totals, _places(self.rows, np.flatnonzero(rows)), _places(self.columns, columns))


def read_store(folder: Path) -> Store | None:
    """Open the cells kept in a folder, if there are any."""
    if not (folder / FACTS).exists():
        return None
    try:
        return _opened(folder)
    except (OSError, KeyError, ValueError) as error:
        msg = f"The cells kept in {str(folder)!r} are damaged, or of another version. Delete them, or give another cache=."
        raise ValueError(msg) from error


def _places(kept: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find where wanted numbers stand among those kept, all of which must be there."""
    places = np.minimum(np.searchsorted(kept, wanted), len(kept) - 1)
    absent = np.count_nonzero(kept[places] != wanted)
    if absent:
        msg = f"{absent} of {len(wanted)} rows or genes are not in the file of the cells. Write them all beforehand."
        raise ValueError(msg)
    return places


def _opened(folder: Path) -> Store:
    """Map the file of a folder into memory."""
    tensors, header = _tensors.read(folder / FACTS)
    values = np.load(folder / VALUES, mmap_mode="r")
    if header["store"] != FORMAT or values.shape != (len(tensors["rows"]), len(tensors["columns"])):
        raise ValueError
    return Store(values, tensors["totals"], tensors["rows"], tensors["columns"], header)


def write_store(
    folder: Path,
    blocks: Iterable[DenseBlock],
    *,
    rows: np.ndarray,
    columns: np.ndarray,
    half: bool,
    header: dict[str, Any],
) -> Store:
    """Write blocks of the given rows and columns (numbers, ascending), in the smallest type that fits.

    Whole numbers from 0 to 65535 take one or two bytes, anything else four, or, with `half`, two with eleven significant
    bits.
    """
    totals = np.empty(len(rows), dtype=np.float64)
    file, done = _Growing(folder, (len(rows), len(columns)), HALF if half else EXACT), 0
    title = f"storing {len(columns)} genes"
    try:
        with tqdm(total=len(rows), desc=title, unit="cell", unit_scale=True, delay=1) as bar:
            for block in blocks:
                file.add(block.values)
                totals[done : done + len(block.rows)] = block.totals
                done += len(block.rows)
                free = shutil.disk_usage(folder).free
                bar.set_postfix_str(f"{file.size / GIB:.2f} GiB in {folder}, {free / GIB:.1f} GiB free", refresh=False)
                bar.update(len(block.rows))
        file.finish()
    except BaseException:
        file.remove()
        raise
    tensors = {"totals": totals, "rows": rows, "columns": columns}
    _tensors.write(folder / FACTS, _tensors.pack(tensors, header | {"store": FORMAT}))
    return _opened(folder)


class _Growing:
    """The file of the values while it is written, under another name; its type widens when a value asks for it."""

    def __init__(self, folder: Path, shape: tuple[int, int], kinds: tuple[np.dtype[Any], ...]) -> None:
        self.folder, self.shape, self.kinds = folder, shape, kinds
        self.kind = kinds[0]
        self.file = self._begin()
        self.start = self.file.tell()

    @property
    def size(self) -> int:
        """Bytes of the values of all rows."""
        return self.shape[0] * self.shape[1] * self.kind.itemsize

    def add(self, values: np.ndarray) -> None:
        """Write the next rows (float32)."""
        kind = _kind(values, self.kinds)
        if self.kinds.index(kind) > self.kinds.index(self.kind):
            self._widen(kind)
        self.file.write(_converted(values, self.kind).data)

    def finish(self) -> None:
        """Give the file its name, once all of it is on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        Path(self.file.name).replace(self.folder / VALUES)

    def remove(self) -> None:
        """Leave nothing."""
        self.file.close()
        Path(self.file.name).unlink(missing_ok=True)

    def _begin(self) -> IO[bytes]:
        """Begin a file, if there is room for all rows."""
        needed, free = self.size + 16 * sum(self.shape), shutil.disk_usage(self.folder).free
        if needed > free:
            msg = (
                f"The genes of {self.shape[0]} cells take {needed:,} bytes, but {str(self.folder)!r} has {free:,} free. Make "
                "room, name a folder on another disk by cache=, or train on fewer genes."
            )
            raise OSError(errno.ENOSPC, msg)
        file = tempfile.NamedTemporaryFile(dir=self.folder, prefix=f".{VALUES}.", delete=False)  # noqa: SIM115
        facts = {"descr": self.kind.str, "fortran_order": False, "shape": self.shape}
        npy.write_array_header_1_0(file, facts)
        return file

    def _widen(self, kind: np.dtype[Any]) -> None:
        """Write anew, in a wider type, what was written so far."""
        narrow, narrow_kind, self.kind = self.file, self.kind, kind
        length = BLOCK * self.shape[1] * narrow_kind.itemsize
        try:
            self.file = self._begin()
            narrow.flush()
            with open(narrow.name, "rb") as source:  # noqa: PTH123
                source.seek(self.start)
                while part := source.read(length):
                    self.file.write(_converted(np.frombuffer(part, dtype=narrow_kind), kind).data)
            self.start = self.file.tell() - 0
        finally:
            narrow.close()
            Path(narrow.name).unlink()


def _kind(values: np.ndarray, kinds: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    """Return the first type that holds all values."""
    largest = values.max(initial=0)
    if values.min(initial=0) < 0 or largest > np.iinfo(kinds[1]).max or not np.array_equal(values, np.rint(values)):
        return kinds[2]
    return kinds[0] if largest <= np.iinfo(kinds[0]).max else kinds[1]


def _converted(values: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    """Convert values to a type that holds them."""
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(values, dtype=kind)
    if kind == np.float16 and np.isinf(converted).any():
        msg = f"The matrix holds {np.abs(values).max():g}; half precision ends at 65504. Leave half=True out."
        raise ValueError(msg)
    return converted
