"""Stores: what URLs name, and how errors of every library come out."""

import errno
import json
import os
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import servers
from botocore.utils import parse_timestamp
from fsspec.config import conf, set_conf_env
from fsspec.implementations.sftp import SFTPFileSystem
from s3fs import S3FileSystem
from servers import Server
from writing import ignore

from dgenfs import Spec
from dgenfs.api.uploading import upload_directory, upload_file
from dgenfs.machine.libraries import MissingLibraryError
from dgenfs.machine.s3_times import time_of
from dgenfs.machine.store_errors import MissingObjectError, StoreError, translated
from dgenfs.machine.stores import CLIENTS, is_url, open_store, protocol_of
from dgenfs.names.catalog import Directory, File
from dgenfs.verifying.verifier import Verifier


@pytest.fixture
def bucket(seaweedfs: Server) -> Iterator[str]:
    name = "stores"
    seaweedfs.s3.create_bucket(Bucket=name)
    yield name
    seaweedfs.s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/prefix/", True),
        ("S3://bucket", True),
        ("memory://", True),
        ("simplecache::s3://bucket/x", True),
        ("sftp://user:word@host:22/x", True),
        ("abc+def://x", True),
        ("./s3://bucket", False),
        ("/s3://bucket", False),
        ("s3:/bucket", False),
        ("10G_d4_c2.bin", False),
        ("://x", False),
        ("c://x", False),
        ("-", False),
        ("", False),
    ],
)
def test_what_is_a_url(text: str, expected: bool) -> None:
    assert is_url(text) is expected


@pytest.mark.parametrize(
    ("url", "inside", "path", "joined"),
    [
        ("memory://a/b/", "c/d", "/a/b/c/d", "memory://a/b/c/d"),
        ("memory://", "c", "c", "memory://c"),
        ("file:///a", "b c", "/a/b c", "file:///a/b c"),
        ("s3://bucket", "c", "bucket/c", "s3://bucket/c"),
        ("http://host/a", "b c?", "http://host/a/b%20c%3F", "http://host/a/b c?"),
    ],
)
def test_join(url: str, inside: str, path: str, joined: str) -> None:
    store = open_store(url).join(inside)
    assert (store.path, store.url) == (path, joined)
    assert store.protocol == protocol_of(url)


def test_stores_pickle(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}").join("a")
    again = pickle.loads(pickle.dumps(store))
    assert again == store
    again.fs.pipe_file(again.path, b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


def test_errors_pickle() -> None:
    error = MissingObjectError(errno.ENOENT, "gone", "sftp://me:secret@host/x", "17")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is MissingObjectError
    assert str(again) == str(error) == "[Errno 2] gone (request 17): 'sftp://me@host/x'"
    assert (again.errno, again.request_id) == (errno.ENOENT, "17")


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "s3a://"])
def test_no_bucket(url: str) -> None:
    with pytest.raises(ValueError, match=f"{url}: names no bucket"):
        open_store(url)


@pytest.mark.parametrize(
    "text",
    [
        *("Thu, 26 Nov 2026 20:22:45 GMT", "2026-11-26T20:22:45Z", "2026-11-26T20:22:45.123Z"),
        *("2026-11-26T20:22:45+01:00", "20261126T202245Z", 1795724565, "1795724565.5"),
    ],
)
def test_times_of_s3(text: Any) -> None:
    assert time_of(text) == parse_timestamp(text)


def test_what_is_no_time() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        time_of("some day, maybe GMT")


def test_protocols_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="fsspec knows no protocol nothing://"):
        open_store("nothing://x")
    with (
        patch.dict(sys.modules, {"gcsfs": None}),
        pytest.raises(MissingLibraryError, match="pip install gcsfs"),
    ):
        open_store("gs://bucket/x")
    with (
        patch.dict(sys.modules, {"fsspec.core": None}),
        pytest.raises(MissingLibraryError, match=r"pip install 'dgenfs\[fsspec\]'"),
    ):
        open_store("gs://bucket/x")
    with pytest.raises(ValueError, match="missing 1 required positional argument: 'host'"):
        open_store("sftp://")


@pytest.mark.parametrize("error", [ValueError("x"), TypeError("x"), CancelledError()])
def test_our_own_errors_stay(error: Exception) -> None:
    with pytest.raises(type(error)), translated("s3://"):
        raise error


@pytest.mark.parametrize(
    ("error", "number", "text"),
    [
        (FileNotFoundError("bucket/key"), errno.ENOENT, "no such object or directory"),
        (PermissionError("not\nyours"), errno.EACCES, "not yours"),
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC, "full"),
        (EOFError(), errno.EIO, "EOFError"),
        (TimeoutError(), errno.ETIMEDOUT, "TimeoutError"),
        (NotImplementedError(), errno.EOPNOTSUPP, "this store cannot do that"),
    ],
)
def test_translations(error: Exception, number: int, text: str) -> None:
    with pytest.raises(StoreError) as raised, translated("s3://bucket/key"):
        raise error
    said = raised.value
    assert (said.errno, said.strerror, said.filename) == (number, text, "s3://bucket/key")
    assert isinstance(said, FileNotFoundError) == (number == errno.ENOENT)
    assert said.__cause__ is error
    assert said.request_id is None


def test_requests_of_errors(seaweedfs: Server, bucket: str) -> None:
    with seaweedfs.configured():
        store = open_store("s3://no-such-bucket/x")
        with (
            pytest.raises(MissingObjectError, match="NoSuchBucket") as raised,
            translated(store.url),
        ):
            store.fs.pipe_file(store.path, b"x")
        assert raised.value.request_id
        assert f"(request {raised.value.request_id})" in str(raised.value)
    wrong = {"endpoint_url": seaweedfs.endpoint, "key": "nobody", "secret": "nothing"}
    with patch.dict("fsspec.config.conf", {"s3": wrong}):
        store = open_store(f"s3://{bucket}/x")
        with (
            pytest.raises(StoreError, match="InvalidAccessKeyId") as denied,
            translated(store.url),
        ):
            store.fs.pipe_file(store.path, b"x")
        assert denied.value.errno == errno.EACCES
        assert denied.value.request_id


def test_servers_that_are_not_there() -> None:
    [port] = servers.free_ports(1)
    with pytest.raises(StoreError, match="Unable to connect") as raised:
        open_store(f"sftp://me:secret@127.0.0.1:{port}/x")
    assert "secret" not in str(raised.value)
    store = open_store(f"http://127.0.0.1:{port}/x")
    with pytest.raises(StoreError, match="Connect call failed"), translated(store.url):
        store.fs.cat_file(store.path)


def test_threads_have_their_own_sftp_clients(rclone_sftp: Server) -> None:
    with rclone_sftp.configured():
        store = open_store(rclone_sftp.url).join("file")
        data = os.urandom(100_000)
        store.fs.pipe_file(store.path, data)

        def read(start: int) -> bool:
            with store.client() as fs:
                return bool(fs.cat_file(store.path, start, start + 1000) == data[start:][:1000])

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, range(0, 99_000, 1000)))
        store.fs.rm_file(store.path)


def test_logins(rclone_sftp: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of files has few, however many threads write or read."""
    logins: list[str] = []
    plain = SFTPFileSystem._connect

    def connect(self: SFTPFileSystem) -> None:
        logins.append(self.host)
        plain(self)

    monkeypatch.setattr(SFTPFileSystem, "_connect", connect)
    url = f"{rclone_sftp.url}logins"
    tree, file = Spec.parse("40x30000_d2_f5"), Spec.parse("50M_d2")
    with rclone_sftp.configured(), Verifier(threads=12) as verifier:
        upload_directory(Directory(tree), open_store(f"{url}/tree"), ignore)
        assert 2 <= len(logins) <= CLIENTS
        logins.clear()
        assert verifier.verify_tree(f"{url}/tree", Directory(tree)).identical
        assert 2 <= len(logins) <= CLIENTS
        upload_file(file.view(0), open_store(f"{url}/file"), ignore)
        logins.clear()
        assert verifier.verify_file(f"{url}/file", File(file)).identical
        assert 2 <= len(logins) <= CLIENTS


def test_what_is_said_in_the_environment(
    seaweedfs: Server, rclone_sftp: Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, (key, secret) = seaweedfs.endpoint, seaweedfs.key
    one_by_one = {"ENDPOINT_URL": endpoint, "KEY": key, "SECRET": secret}
    for url, environment in (
        (f"s3://{bucket}/x", seaweedfs.environment),
        (f"s3://{bucket}/x", {"FSSPEC_S3": json.dumps(seaweedfs.options["s3"])}),
        (f"s3://{bucket}/x", {f"FSSPEC_S3_{name}": value for name, value in one_by_one.items()}),
        (f"{rclone_sftp.url}x", rclone_sftp.environment),
    ):
        S3FileSystem.clear_instance_cache()
        with monkeypatch.context() as patched, patch.dict(conf):
            for name, value in environment.items():
                patched.setenv(name, value)
            set_conf_env(conf)  # as fsspec does when it is imported
            store = open_store(url)
            store.fs.pipe_file(store.path, b"x")
            assert store.fs.info(store.path)["size"] == 1
            store.fs.rm_file(store.path)
    S3FileSystem.clear_instance_cache()
