"""Content put into stores: what a server has no room for, and what memory it takes."""

import os
import resource
from pathlib import Path

import pytest
from servers import Server
from writing import ignore

from dgenfs import Spec
from dgenfs.api import uploading
from dgenfs.api.multipart import Multipart
from dgenfs.api.uploading import upload_directory, upload_file
from dgenfs.machine.requests import Requests
from dgenfs.machine.store_errors import StoreError
from dgenfs.machine.stores import open_store
from dgenfs.names.profile import read

# Of aiohttp, which would have bytes of more than 1 MiB be a file.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")


def test_a_server_that_is_full(rclone_sftp: Server, tmp_path: Path) -> None:
    view = Spec.parse("200000").view(0)
    process = rclone_sftp.process.pid
    with rclone_sftp.configured():
        store = open_store(f"{rclone_sftp.url}full")
        plain = resource.prlimit(process, resource.RLIMIT_FSIZE, (100_000, -1))
        try:
            with pytest.raises(StoreError, match="the server keeps 0 of 200000 bytes"):
                upload_file(view, store, ignore)
        finally:
            resource.prlimit(process, resource.RLIMIT_FSIZE, plain)
    assert not (rclone_sftp.folder / "full").exists()

    def cut(_: int) -> None:
        [part] = tmp_path.iterdir()
        os.truncate(part, 98_304)

    with pytest.raises(StoreError, match="the server keeps 98304 of 200000 bytes"):
        upload_file(view, open_store(f"file://{tmp_path}/full"), cut)
    assert list(tmp_path.iterdir()) == []


def test_memory_for_large_objects_of_a_data_set(
    seaweedfs: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of more than BUFFERS have room for are sent by two threads, and kept by none."""
    monkeypatch.setattr(uploading, "MAX_PARTS", 4)  # as objects of a terabyte have of 10,000
    sets = '[[set]]\nfiles = 2\nsize = "72M"\n[[set]]\ndirectory = "small"\nfiles = 40\nsize = 5\n'
    (tmp_path / "mine.toml").write_text(f"seed = 9\n{sets}")
    under_way = most = 0
    plain = Multipart.put

    def put(self: Multipart, number: int, body: bytearray, requests: Requests) -> bool:
        nonlocal under_way, most
        assert len(body) == 18 << 20
        under_way += 1
        most = max(most, under_way)
        try:
            return plain(self, number, body, requests)
        finally:
            under_way -= 1

    monkeypatch.setattr(Multipart, "put", put)
    top = read(str(tmp_path / "mine.toml")).top
    seaweedfs.s3.create_bucket(Bucket="terabytes")
    with seaweedfs.configured():
        upload_directory(top, open_store("s3://terabytes"), ignore)
    assert 1 <= most <= 2
    listed = seaweedfs.s3.list_objects_v2(Bucket="terabytes")["Contents"]
    assert sum(one["Size"] for one in listed) == 2 * (72 << 20) + 40 * 5
