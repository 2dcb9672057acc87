"""The door to pyarrow: numbers out of text, and tables in Feather and Parquet files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, ipc, parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ABSENT = frozenset(csv.ConvertOptions().null_values) | {"None", "none", "NONE"}
_BATCH = 4096


def numbers(text: bytes) -> NDArray[np.float32] | None:
    """Parse a column of text, one value a line, as float32 with NaN for missing; None if some line is no number."""
    try:
        table = csv.read_csv(
            pa.BufferReader(text),
            read_options=csv.ReadOptions(column_names=["value"], block_size=2**20),
            parse_options=csv.ParseOptions(
                delimiter="\x01", quote_char=False, double_quote=False, ignore_empty_lines=False
            ),
            convert_options=csv.ConvertOptions(column_types={"value": pa.float32()}),
        )
    except pa.ArrowInvalid:
        return None
    return table["value"].to_numpy()


def number(text: str) -> float | None:
    """Read one number, more patiently; None if it is none."""
    if (text := text.strip()) in ABSENT:
        return math.nan
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


class ColumnTable:
    """A Feather or Parquet file, read a few thousand rows at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            magic = file.read(6)
        try:
            if magic == b"ARROW1":
                self._file = ipc.open_file(pa.memory_map(str(path)))
                schema = self._file.schema
            elif magic[:4] == b"PAR1":
                self._file = parquet.ParquetFile(path)
                schema = self._file.schema_arrow
            else:
                old = "a Feather file of version 1" if magic[:4] == b"FEA1" else "neither a Feather nor a Parquet file"
                msg = f"{path} is {old}. Write the table again with `DataFrame.to_feather` or `DataFrame.to_parquet`."
                raise ValueError(msg)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from error
        self.columns: list[str] = list(schema.names)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give the named columns, block of rows by block of rows."""
        try:
            if isinstance(self._file, parquet.ParquetFile):
                yield from self._file.iter_batches(batch_size=_BATCH, columns=list(columns))
                return
            for position in range(self._file.num_record_batches):
                batch = self._file.get_batch(position).select(list(columns))
                for start in range(0, batch.num_rows, _BATCH):
                    yield batch.slice(start, _BATCH)
        except (pa.ArrowInvalid, OSError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> ValueError:
        """Say that the file cannot be read."""
        reason = str(error).splitlines()[0]
        return ValueError(f"{self.path} is damaged or incomplete ({reason}). Get or write it again.")


def values_of(column: pa.Array) -> NDArray[np.float64]:
    """Return a column as float64; numbers written as text are read, what is missing or no number becomes NaN."""
    try:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        found = [number(str(value)) for value in column.to_pylist()]
        return np.array([math.nan if value is None else value for value in found], np.float64)
