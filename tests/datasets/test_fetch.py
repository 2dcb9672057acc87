from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pooch
import pytest

from cellclf.datasets import _fetch

if TYPE_CHECKING:
    from conftest import Server

CONTENT = bytes(range(256)) * 4000


def remote(server: Server, known_hash: str | None = None) -> _fetch.Remote:
    """Offer a file of a megabyte."""
    server.files["/table.csv"] = CONTENT
    return _fetch.Remote("table.csv", server.url("/table.csv"), known_hash, "the page of tables")


def left(cache: Path) -> list[str]:
    """List what lies in the cache."""
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


def test_a_file_is_downloaded_once(server: Server, cache: Path) -> None:
    first = _fetch.fetch(remote(server), verb="x")
    assert first == cache / "table.csv"
    assert first.read_bytes() == CONTENT
    assert _fetch.fetch(remote(server), verb="x") == first
    assert server.asked == ["/table.csv"]
    assert left(cache) == ["table.csv"]


def test_a_known_checksum_is_compared(server: Server, cache: Path) -> None:
    right = _fetch.fetch(remote(server, "sha256:" + hashlib.sha256(CONTENT).hexdigest()), verb="x")
    assert right.read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: Server, cache: Path) -> None:
    with pytest.raises(ValueError, match="is not the file that was published") as error:
        _fetch.fetch(remote(server, "sha256:" + "0" * 64), verb="tcga_pancan")
    assert "the page of tables" in str(error.value)
    assert str(cache / "table.csv") in str(error.value)
    assert left(cache) == []


def test_a_file_in_the_cache_that_is_wrong_is_fetched_again(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "table.csv").write_bytes(b"old")
    found = _fetch.fetch(remote(server, "sha256:" + hashlib.sha256(CONTENT).hexdigest()), verb="x")
    assert found.read_bytes() == CONTENT


def test_a_truncated_download_leaves_nothing(server: Server, cache: Path) -> None:
    server.cut["/table.csv"] = 700_000
    with pytest.raises(ConnectionError, match=r"The download of table\.csv from http://127.* failed"):
        _fetch.fetch(remote(server), verb="x")
    assert left(cache) == []
    del server.cut["/table.csv"]
    assert _fetch.fetch(remote(server), verb="x").read_bytes() == CONTENT


def test_without_a_network_it_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a.zip"
        with pytest.raises(ConnectionError, match="failed") as error:
            _fetch.fetch(_fetch.Remote("a.zip", url, None, "the UCI page"), verb="tcga_pancan")
    message = str(error.value)
    for part in ("get a.zip yourself from the UCI page", str(cache / "a.zip"), "cc.datasets.tcga_pancan(path=…)"):
        assert part in message
    assert left(cache) == []


def test_a_page_that_is_gone(server: Server, cache: Path) -> None:
    gone = _fetch.Remote("b.csv", server.url("/nowhere"), None, "the page")
    with pytest.raises(ConnectionError, match="404"):
        _fetch.fetch(gone, verb="x")
    assert left(cache) == []


def test_two_processes_at_once(server: Server, cache: Path) -> None:
    url = remote(server).url
    code = (
        "import sys, pathlib, pooch\n"
        "from cellclf.datasets import _fetch\n"
        "pooch.os_cache = lambda name: pathlib.Path(sys.argv[1])\n"
        "remote = _fetch.Remote('table.csv', sys.argv[2], None, 'page')\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(_fetch.fetch(remote, verb='x').stat().st_size)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(cache), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    assert [one.stdout.readline() if one.stdout else "" for one in both] == ["ready\n"] * 2
    for one in both:
        if one.stdin:
            one.stdin.write("\n")
            one.stdin.flush()
    assert [int(one.communicate()[0]) for one in both] == [len(CONTENT)] * 2
    assert (cache / "table.csv").read_bytes() == CONTENT
    assert left(cache) == ["table.csv"]


def test_the_log_level_of_pooch_is_left_as_it_was(server: Server, cache: Path) -> None:
    level = pooch.get_logger().level
    _fetch.fetch(remote(server), verb="x")
    assert pooch.get_logger().level == level
