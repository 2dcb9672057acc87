"""Files from the internet: downloaded once into the user's cache, whole or not at all."""

from __future__ import annotations

import logging
import shutil
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import pooch

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

CONNECT_SECONDS, READ_SECONDS = 10, 60


class Remote(NamedTuple):
    """A file on the internet: its name in the cache, its address, its checksum, and the page that offers it."""

    name: str
    url: str
    known_hash: str | None
    page: str


def fetch(remote: Remote, *, verb: str) -> Path:
    """Return the file in the user's cache, downloading it the first time.

    pooch downloads into a temporary file beside the target, compares the checksum where one is known, and renames: the
    target is there as a whole or not at all, and of two processes that download at once, the last one's copy stays.
    """
    folder = Path(pooch.os_cache("cellclf"))
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
    try:
        with _quietly():
            found = pooch.retrieve(remote.url, remote.known_hash, remote.name, folder, downloader=downloader)
    except (OSError, ValueError) as error:
        wrong = (
            "is not the file that was published (its checksum differs)" if isinstance(error, ValueError) else "failed"
        )
        msg = (
            f"The download of {remote.name} from {remote.url} {wrong}: {_first_line(error)} "
            f"Try again later, or get {remote.name} yourself from {remote.page} and "
            f"save it as {folder / remote.name}, or pass `cc.datasets.{verb}(path=…)` the place where you keep it."
        )
        raise (ValueError if isinstance(error, ValueError) else ConnectionError)(msg) from error
    return Path(found)


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave out pooch's advice to its own users; its warnings stay."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    """Quote an error as a sentence."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    return text[0].rstrip(".") + "."


def given(path: str | os.PathLike[str]) -> Path:
    """Return the user's own copy, which must be there."""
    found = Path(path).expanduser()
    if not found.exists():
        msg = f"path={str(path)!r} does not exist. Give the file or folder that you keep, or None to download it."
        raise FileNotFoundError(msg)
    return found


def members(source: Path, names: Sequence[str], folder: Path) -> list[Path]:
    """Find files by name in a folder, or unpack them to `folder` from an archive (zip, tar, or a tar in a zip)."""
    if source.is_dir():
        found = [next(iter(sorted(source.rglob(name))), None) for name in names]
        if None not in found:
            return [path for path in found if path is not None]
        packed = sorted(path for ending in ("*.tar.gz", "*.zip") for path in source.glob(ending))
        if packed:
            return members(packed[0], names, folder)
        raise _absent(source, names)
    try:
        return _unpacked(source, names, folder)
    except (EOFError, OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        msg = f"{source} is a damaged or incomplete archive ({_first_line(error)}) Delete it and get it again."
        raise ValueError(msg) from error


def _unpacked(source: Path, names: Sequence[str], folder: Path) -> list[Path]:
    """Unpack files by name; only what is asked for is written, under its bare name."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for entry in archive.namelist():
                if entry.endswith(".tar.gz"):
                    with archive.open(entry) as inner, tarfile.open(fileobj=inner, mode="r|gz") as tar:
                        return _from_tar(tar, source, names, folder)
            entries = {Path(entry).name: entry for entry in archive.namelist()}
            if not set(names) <= set(entries):
                raise _absent(source, names)
            for name in names:
                with archive.open(entries[name]) as file:
                    _save(file, folder / name)
        return [folder / name for name in names]
    with tarfile.open(source, mode="r|*") as tar:
        return _from_tar(tar, source, names, folder)


def _from_tar(tar: tarfile.TarFile, source: Path, names: Sequence[str], folder: Path) -> list[Path]:
    """Unpack files by name, in the order in which they stand."""
    done = set()
    for member in tar:
        name = Path(member.name).name
        if member.isfile() and name in names and (file := tar.extractfile(member)) is not None:
            _save(file, folder / name)
            done.add(name)
    if done != set(names):
        raise _absent(source, names)
    return [folder / name for name in names]


def _save(file: Any, target: Path) -> None:
    """Copy an open file to a new one."""
    out: BinaryIO
    with target.open("wb") as out:
        shutil.copyfileobj(file, out, 2**20)


def _absent(source: Path, names: Sequence[str]) -> ValueError:
    """Say which files are missing."""
    wanted = " and ".join(names)
    return ValueError(
        f"{source} does not hold {wanted}. Give the folder with these files, or the archive as published."
    )
