"""The servers that tests start end with them, whatever happens."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import servers
from mounting import environment_of
from processes import eventually
from servers import Server

from dgenfs.mount.mountpoint import mounted_at

START = """
import sys
from pathlib import Path
import servers
with servers.rclone_s3(Path(sys.argv[1])) as server:
    print(server.process.pid, flush=True)
    sys.stdin.read()
"""


def test_a_server_ends_with_who_started_it(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START, tmp_path],
        env=environment_of(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        server = psutil.Process(int(process.stdout.readline()))
        process.kill()
    eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)


def test_what_a_server_said_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), servers.rclone_http(tmp_path) as server:
        _ = 1 / 0
    assert server.process.returncode is not None
    assert "HTTP Server started" in capfd.readouterr().err


def test_a_mount_of_a_bucket(rclone_s3: Server, tmp_path: Path) -> None:
    rclone_s3.s3.create_bucket(Bucket="mounted")
    rclone_s3.s3.put_object(Bucket="mounted", Key="folder/file", Body=b"content")
    with servers.rclone_mount(tmp_path, rclone_s3, "mounted/folder") as path:
        assert (path / "file").read_bytes() == b"content"
    assert mounted_at(path) is None
