from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

DATA = ",gene_0,gene_1,gene_2\nsample_0,0.5,1.25,0\nsample_1,2,0.75,3\nsample_2,1,0.5,0\nsample_3,4,0,8\n"
LABELS = ",Class\nsample_1,LUAD\nsample_0,BRCA\nsample_2,BRCA\nsample_3,LUAD\n"


class Server:
    """A server on this machine that hands out files, counts requests, and fails on request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                content = outer.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: outer.cut.get(self.path)])

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}{path}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Give a server that is reached without any proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder that stands for the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda _name: folder)
    return folder


@pytest.fixture
def tables() -> dict[str, str]:
    """Give the two tables of a small pair."""
    return {"data.csv": DATA, "labels.csv": LABELS}


@pytest.fixture
def make_archive(tmp_path: Path, tables: dict[str, str]) -> Callable[[str], Path]:
    """Give the maker of archives of the pair, as UCI packs and packed it."""
    import io
    import tarfile
    import zipfile

    def tarred(names: tuple[str, ...]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name in names:
                content = tables.get(name, "x").encode()
                entry = tarfile.TarInfo(f"TCGA-PANCAN-HiSeq-801x20531/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()

    def make(kind: str) -> Path:
        path = tmp_path / f"archive.{kind}"
        if kind == "tar.gz":
            path.write_bytes(tarred(("labels.csv", "data.csv", "../evil.csv")))
        elif kind == "half.tar.gz":
            path.write_bytes(tarred(("labels.csv",)))
        else:
            with zipfile.ZipFile(path, "w") as archive:
                if kind == "zip-of-tar":
                    archive.writestr("TCGA-PANCAN-HiSeq-801x20531.tar.gz", tarred(("data.csv", "labels.csv")))
                for name, text in tables.items() if kind == "zip" else ():
                    archive.writestr(f"folder/{name}", text)
        return path

    return make
