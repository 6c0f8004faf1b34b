"""Servers that are wrong about what they have, and connections that break."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from unittest.mock import patch

import oracle
import pytest

import dgenfs
from dgenfs.cli.verification import Options, Verification
from dgenfs.verifying.findings import Kind
from dgenfs.verifying.reports import FileReport


class Handler(BaseHTTPRequestHandler):
    """Answers ranges of the content that the last part of a path names, and of more behind it.

    A HEAD of what is below /short tells of the content only. Below /broken there is no answer, and
    below /once the first to each GET breaks off.
    """

    agents: ClassVar[set[str]] = set()
    broken_off: ClassVar[set[str]] = set()

    def do_HEAD(self) -> None:
        data = self._data()
        if data is not None:
            more = 0 if self.path.startswith("/short/") else 5000
            self._answer(200, len(data) - 5000 + more)

    def do_GET(self) -> None:
        data = self._data()
        if data is None:
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            self._answer(200, len(data))
            self.wfile.write(data)
        elif int(asked[1]) >= len(data):
            self._answer(416, 0)
        else:
            part = data[int(asked[1]) : int(asked[2]) + 1]
            where = f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}"
            self._answer(206, len(part), where)
            request = f"{self.path} {where}"
            if self.path.startswith("/once/") and request not in self.broken_off:
                self.broken_off.add(request)
                self.wfile.write(part[: len(part) // 2])
                self.close_connection = True
                return
            self.wfile.write(part)

    def _data(self) -> bytes | None:
        self.agents.add(self.headers["User-Agent"])
        if self.path.startswith("/broken/"):
            self.close_connection = True
            self.connection.close()
            return None
        content = oracle.parse(self.path.rpartition("/")[2])
        return oracle.read(content, 0, 0, content.size) + bytes(5000)

    def _answer(self, status: int, length: int, where: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if where:
            self.send_header("Content-Range", where)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that were closed on purpose."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("folder", ["short", "right"])
@pytest.mark.parametrize("name", ["100000_c2", "5M_c2"])
def test_more_than_a_head_tells(url: str, folder: str, name: str) -> None:
    verification = Verification(Options(None, (), False, ()))
    verification.check([f"{url}/{folder}/{name}"])
    (report,) = verification.reports
    assert isinstance(report, FileReport)
    assert not report.identical
    assert report.totals.keys() == {Kind.EXCESS}
    assert report.wrong_bytes == (5000 if folder == "right" else 1)


@pytest.mark.parametrize("name", ["100000_c2", "5M_c2"])
def test_s3_breaks_off_and_is_asked_again(url: str, name: str) -> None:
    given = {"endpoint_url": url, "key": "key", "secret": "secret"}
    Handler.agents.clear()
    with patch.dict("fsspec.config.conf", {"s3": given}):
        verification = Verification(Options(None, (), False, ()))
        verification.check([f"s3://once/{name}"])
    (report,) = verification.reports
    assert isinstance(report, FileReport)
    assert report.totals.keys() == {Kind.EXCESS}
    assert any(name in request for request in Handler.broken_off)
    assert {agent.split()[0] for agent in Handler.agents} == {f"dgenfs/{dgenfs.__version__}"}


def test_a_connection_that_breaks_is_no_missing_object(url: str) -> None:
    for name in ("100000_c2", "5M_c2"):
        verification = Verification(Options(None, (), False, ()))
        verification.check([f"{url}/broken/{name}"])
        assert verification.code == 2
        (one,) = verification.unchecked
        assert "no such object" not in one.reason
    verification = Verification(Options("2x100000_c2", (), False, ()))
    verification.check([f"{url}/broken/tree"])
    assert verification.code == 2
