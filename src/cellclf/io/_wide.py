"""Wide tables of numbers: one name and thousands of values a line."""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cellclf.io import _arrow, _files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_BLOCK = 2**21  # bytes of text parsed at a time


class Wide(NamedTuple):
    """A table: names of rows and columns, and its values (rows × columns, float32)."""

    rows: list[str]
    columns: list[str]
    values: NDArray[np.float32]


class _Line(NamedTuple):
    """A line of the file: where it stands, the name it begins with, and the text of its values."""

    number: int
    name: str
    values: bytes


def header(path: Path, sep: str | None) -> tuple[str, list[str]]:
    """Return the separator and the names of the columns, without what stands above the names of the rows."""
    separator, first, second = _files.first_lines(path, sep)
    names = _files.fields(first, separator, path, 1)
    bare = len(_files.fields(second, separator, path, 2)) == len(names) + 1  # as R's write.table leaves it
    return separator, names if bare else names[1:]


def read(path: Path, sep: str | None) -> Wide:
    """Read a table whose first column names its rows and whose first line names its columns."""
    separator, columns = header(path, sep)
    mark = separator.encode()
    rows: list[str] = []
    values = np.empty((0, len(columns)), np.float32)

    def add(lines: list[_Line], parsed: NDArray[np.float32] | None) -> None:
        """Put the values of some lines below those that are there, in memory that is taken up only as it is filled."""
        nonlocal values
        if parsed is None or parsed.size != len(lines) * len(columns):
            parsed = np.array([_slowly(line, columns, path, mark) for line in lines], np.float32)
        end = len(rows) + len(lines)
        if end > len(values):
            room = max(_expected(lines, path), 2 * len(values), end)
            values, old = np.empty((room, len(columns)), np.float32), values
            values[: len(rows)] = old[: len(rows)]
        values[len(rows) : end] = parsed.reshape(len(lines), -1)
        rows.extend(line.name for line in lines)

    with ThreadPoolExecutor(1) as worker:
        earlier: tuple[list[_Line], Future[NDArray[np.float32] | None]] | None = None
        for lines in _batches(path, len(columns), mark):
            text = b"\n".join([*(line.values.replace(mark, b"\n") for line in lines), b""])
            parsing = worker.submit(_arrow.numbers, text)  # while the next lines are read and cut
            if earlier is not None:
                add(earlier[0], earlier[1].result())
            earlier = lines, parsing
        if earlier is None:
            msg = f"{path} holds a first line with {len(columns)} names, but no rows below it. Get or write it again."
            raise ValueError(msg)
        add(earlier[0], earlier[1].result())
    return Wide(rows, columns, values[: len(rows)])


def _expected(lines: list[_Line], path: Path) -> int:
    """Guess the number of rows of the whole file, a little too high."""
    size = sum(len(line.name) + len(line.values) for line in lines)
    return int(1.05 * path.stat().st_size / max(size, 1) * len(lines)) + 1


def _batches(path: Path, n_columns: int, mark: bytes) -> Iterator[list[_Line]]:
    """Cut the file into lines, a few megabytes at a time."""
    quoted = re.compile(rb'"([^"]*)"' + re.escape(mark) + rb'([^"]*)\Z')
    waiting, size = list[_Line](), 0
    with _files.opened(path) as file:
        next(file)
        for number, raw in enumerate(file, start=2):
            if text := raw.rstrip(b"\r\n"):
                waiting.append(_cut(text, number, path, mark, quoted))
                _check_length(waiting[-1], n_columns, path, mark)
                size += len(text)
            if size > _BLOCK:
                yield waiting
                waiting, size = [], 0
    if waiting:
        yield waiting


def _cut(text: bytes, number: int, path: Path, mark: bytes, quoted: re.Pattern[bytes]) -> _Line:
    """Cut a line into its name and its values; quotes around the name only are the common case."""
    if b'"' not in text:
        name, _, values = text.partition(mark)
    elif found := quoted.match(text):
        name, values = found.groups()
    else:
        name_, *rest = _files.fields(_files.decoded(text, path, number), mark.decode(), path, number)
        return _Line(number, name_, mark.join(field.replace(mark.decode(), " ").encode() for field in rest))
    return _Line(number, _files.decoded(name, path, number), values)


def _check_length(line: _Line, n_columns: int, path: Path, mark: bytes) -> None:
    """Refuse a line with more or fewer values than the first line names."""
    found = line.values.count(mark) + 1
    if found != n_columns:
        msg = (
            f"{path}, line {line.number} ({line.name!r}) has {found} values, but the first line names {n_columns} "
            "columns. Check whether the line is cut off or holds stray separators."
        )
        raise ValueError(msg)


def _slowly(line: _Line, columns: list[str], path: Path, mark: bytes) -> NDArray[np.float32]:
    """Read the values of one line one by one, naming the place of the first that is no number."""
    texts = _files.decoded(line.values, path, line.number).split(mark.decode())
    values = [_arrow.number(text) for text in texts]
    if None in values:
        place = values.index(None)
        msg = (
            f"{path}, line {line.number} ({line.name!r}), column {place + 2} ({columns[place]!r}): {texts[place]!r} is "
            "not a number. Correct it, or remove columns that hold no numbers."
        )
        raise ValueError(msg)
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(np.float32)
