"""Files: found, unpacked, and read as text line by line."""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

SEPARATORS = ("\t", ",", ";")
_GZIP = b"\x1f\x8b"
_BUFFER = 2**20  # lines are long
_END = "end of the file"  # a line after the last one
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def existing(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file that is there and holds something."""
    found = Path(path).expanduser()
    if found.is_dir():
        msg = f"{found} is a folder. Name a file in it."
        raise ValueError(msg)
    if not found.is_file():
        near = found.parent if found.parent.is_dir() else Path.cwd()
        msg = f"{found} does not exist. Check the path; relative paths start from {Path.cwd()}, and {near} is there."
        raise FileNotFoundError(msg)
    if found.stat().st_size == 0:
        msg = f"{found} is empty (0 bytes). Get or write it again."
        raise ValueError(msg)
    return found


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacking gzip whatever its name; damage met while reading is told as such."""
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
    try:
        with gzip.open(path, "rb") if packed else path.open("rb", buffering=_BUFFER) as file:
            yield cast("BinaryIO", file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        msg = f"{path} is a damaged or incomplete gzip file ({error}). Get or write it again."
        raise ValueError(msg) from error


def decoded(line: bytes, path: Path, number: int) -> str:
    """Decode a line of a text file."""
    try:
        return line.removeprefix(_BYTE_ORDER_MARK).decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        msg = f"{path}, line {number}, is not UTF-8 text ({error.reason}). Save the table as CSV in UTF-8."
        raise ValueError(msg) from error


def fields(line: str, separator: str, path: Path, number: int) -> list[str]:
    """Cut a line at its separators, as far as they stand outside of quotes."""
    return records([line], separator, path, number)[0][1] if '"' in line else line.split(separator)


def records(lines: Iterable[str], separator: str, path: Path, first: int = 1) -> list[tuple[int, list[str]]]:
    """Cut lines into records, each with the number of its last line; refuse quotes that are never closed."""
    reader, found = csv.reader(itertools.chain(lines, [_END]), delimiter=separator), list[tuple[int, list[str]]]()
    try:
        found += [(first - 1 + reader.line_num, record) for record in reader]
    except csv.Error as error:
        msg = f"{path}, line {first - 1 + reader.line_num}, is no CSV ({error}). Correct it, or save the table again."
        raise ValueError(msg) from error
    if found.pop()[1] != [_END]:  # within quotes it is part of a field
        start = found[-1][0] + 1 if found else first
        msg = f"{path}: a quotation mark in line {start} is never closed. Correct the line, or save the table again."
        raise ValueError(msg)
    return found


def first_lines(path: Path, given: str | None) -> tuple[str, str, str]:
    """Return the separator, as given or found, and the first two lines."""
    with opened(path) as file:
        first, second = decoded(file.readline(), path, 1), decoded(file.readline(), path, 2)
    if given is not None and (len(given) != 1 or given in '"\r\n'):
        msg = f"sep={given!r} is no separator. Give one character, such as ',' or '\\t', or None to find it."
        raise ValueError(msg)
    for line in (first, second):  # R's write.table names no more than the one column
        best = given or max(SEPARATORS, key=line.count)
        if best in line:
            return best, first, second
    sought = repr(given) if given else "a tab, comma or semicolon"
    msg = f"{path} has one column only: its first line, {first[:60]!r}, does not hold {sought}. Check the file, or `sep=`."
    raise ValueError(msg)
