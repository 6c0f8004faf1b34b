"""Real servers of objects and files, of a test's own: on loopback, ended with the test, or with us.

Each is a process with its own folder, ports and credentials, so that several runs of the tests do
not get in each other's way. The folder is the caller's; what is in it goes with it.
"""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mounting
from processes import PATIENCE

START_SECONDS = 20
REGION = "us-east-1"

# A server that lost us ends, as nobody else would end it.
_DYING_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_RCLONE = str(Path(sys.executable).with_name("rclone"))
_WEED = str(Path(sys.executable).with_name("weed"))
_WEED_SERVICES = ("master", "volume", "filer", "s3", "admin")


@dataclass
class Server:
    """A server that runs.

    Attributes:
        process: it.
        log_path: what it said.
        url: of all that it serves, such as ``sftp://127.0.0.1:2022/``; ``s3://``.
        endpoint: where an S3 server answers.
        options: fsspec's storage options, by protocol.
        environment: the same for processes.
        key: the access key and its secret, of an S3 server.
    """

    process: "subprocess.Popen[bytes]"
    log_path: Path
    url: str
    endpoint: str = ""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    key: tuple[str, str] = ("", "")

    @property
    def folder(self) -> Path:
        """What rclone serves; what others put there it may see five minutes later."""
        return self.log_path.parent / "data"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def whole_environment(self) -> dict[str, str]:
        """Ours, and what says where it is."""
        return {**os.environ, **self.environment}

    @property
    def s3(self) -> Any:
        """A boto3 client."""
        return s3_client(self.endpoint, self.key)

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Have URLs without endpoint and credentials mean this server, in this process."""
        from fsspec.config import conf

        with patch.dict(conf, {name: dict(given) for name, given in self.options.items()}):
            yield


def s3_client(endpoint: str, key: tuple[str, str]) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}),
    )


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Server]:
    """SeaweedFS with S3; no bucket is made unless it is asked to."""
    key = _new_key()
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": key[0], "secretKey": key[1]}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    # Sockets have an address of 108 bytes, fewer than a folder's path may have.
    names = [name for one in _WEED_SERVICES for name in (f"{one}.port", f"{one}.port.grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [
        _WEED,
        "-logdir=.",  # else /tmp keeps them
        "mini",  # all in one process, ready in a second where `weed server` takes three
        "-dir=data",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}={port}" for name, port in ports.items()),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256",
        *("-s3.config=s3.json", "-s3.autoCreateBucket=false"),
        *("-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock"),
    ]
    environment = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}  # volumes of a new bucket, else 7
    try:
        with _running(command, folder, environment) as (process, log_path):
            # It takes another port where one was taken meanwhile.
            found = _said(process, log_path, r"S3 Endpoint:\s+(http://\S+)")
            server = _s3_server(process, log_path, found, key)
            _until(lambda: _answers_with_data(server.s3), process, log_path)
            yield server
    finally:
        for name in _WEED_SERVICES:
            socket_path = Path(f"/tmp/seaweedfs-{name}-grpc-{ports[f'{name}.port.grpc']}.sock")
            socket_path.unlink(missing_ok=True)


@contextmanager
def rclone_s3(folder: Path, *, key: tuple[str, str] | None = None) -> Iterator[Server]:
    """S3 by rclone; a bucket is a directory in ``folder / "data"``."""
    key = key or _new_key()
    arguments = ["s3", "--auth-key", ",".join(key)]
    with _rclone_serving(folder, arguments) as (process, log_path, address):
        yield _s3_server(process, log_path, f"http://{address}", key)


@contextmanager
def rclone_sftp(folder: Path) -> Iterator[Server]:
    """SFTP by rclone, of ``folder / "data"``, which is its root."""
    import paramiko

    user, password = _new_key()
    host_key = folder / "host_key"
    paramiko.ECDSAKey.generate().write_private_key_file(str(host_key))
    arguments = ["sftp", "--user", user, "--pass", password, "--key", str(host_key)]
    arguments += ["--authorized-keys", ""]
    with _rclone_serving(folder, arguments) as (process, log_path, address):
        host, port = address.split(":")
        given = {"port": int(port), "username": user, "password": password}
        yield Server(
            process,
            log_path,
            f"sftp://{host}/",
            options={"sftp": given},
            environment={"FSSPEC_SFTP": json.dumps(given)},
        )


@contextmanager
def rclone_http(folder: Path) -> Iterator[Server]:
    """HTTP by rclone, which answers ranges and lists directories; of ``folder / "data"``."""
    with _rclone_serving(folder, ["http"]) as (process, log_path, address):
        yield Server(process, log_path, f"http://{address}/")


@contextmanager
def python_http(folder: Path) -> Iterator[Server]:
    """HTTP by Python, which knows no ranges; of ``folder / "data"``."""
    (folder / "data").mkdir()
    command = [sys.executable, "-u", "-m", "http.server", "0"]
    command += ["--bind", "127.0.0.1", "--directory", "data"]
    with _running(command, folder, {}) as (process, log_path):
        port = _said(process, log_path, r"Serving HTTP on 127\.0\.0\.1 port (\d+)")
        yield Server(process, log_path, f"http://127.0.0.1:{port}/")


@contextmanager
def rclone_webdav(folder: Path) -> Iterator[Server]:
    """HTTP that takes PUT requests, by rclone; of ``folder / "data"``."""
    with _rclone_serving(folder, ["webdav"]) as (process, log_path, address):
        yield Server(process, log_path, f"http://{address}/")


@contextmanager
def rclone_mount(folder: Path, server: Server, inside: str, *arguments: str) -> Iterator[Path]:
    """A FUSE mount of what an S3 server has at ``bucket/prefix``, read-only; yields its root."""
    path = Path(os.path.realpath(folder)) / "mnt"
    path.mkdir(parents=True)
    command = [_RCLONE, "mount", f"store:{inside}", str(path), "--read-only", *arguments]
    command += ["--config", os.devnull, "--cache-dir", str(folder / "cache")]
    given = {
        "type": "s3",
        "provider": "Other",
        "endpoint": server.endpoint,
        "access_key_id": server.key[0],
        "secret_access_key": server.key[1],
        "region": REGION,
    }
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **{f"RCLONE_CONFIG_STORE_{k.upper()}": v for k, v in given.items()}},
        )
    with _log_shown(log_path), mounting.ended_afterwards(process, path):
        _until(lambda: mounting.answers(path), process, log_path)
        yield path


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, all different.

    They are none that the kernel gives to clients, which would be one's own to take meanwhile, and
    not those that another process of tests, started about now, begins to look at.
    """
    first = 10_000
    clients, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    span = max(clients - first, 10_000)
    found: list[int] = []
    with ExitStack() as stack:
        for step in range(span):
            one = stack.enter_context(socket.socket())
            port = first + (os.getpid() * 64 + step) % span
            with suppress(OSError):
                one.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise AssertionError(f"no {count} ports are free")


def _new_key() -> tuple[str, str]:
    return secrets.token_hex(10), secrets.token_hex(20)


def _s3_server(
    process: "subprocess.Popen[bytes]", log_path: Path, endpoint: str, key: tuple[str, str]
) -> Server:
    return Server(
        process,
        log_path,
        "s3://",
        endpoint=endpoint,
        options={"s3": {"endpoint_url": endpoint, "key": key[0], "secret": key[1]}},
        environment={
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
            **dict.fromkeys(("AWS_DEFAULT_REGION", "AWS_REGION"), REGION),
        },
        key=key,
    )


@contextmanager
def _rclone_serving(
    folder: Path, arguments: Sequence[str]
) -> Iterator[tuple["subprocess.Popen[bytes]", Path, str]]:
    (folder / "data").mkdir(exist_ok=True)
    command = [_RCLONE, "serve", *arguments, "--addr", "127.0.0.1:0", "data"]
    # Directories are kept for five minutes, unless it gets a SIGHUP: with a short --dir-cache-time
    # it forgets them while it renames in them, and hangs.
    command += ["--config", os.devnull, "--cache-dir", "cache"]
    with _running(command, folder, {}) as (process, log_path):
        said = r"(?:\[http://|listening on )(127\.0\.0\.1:\d+)"
        yield process, log_path, _said(process, log_path, said)


@contextmanager
def _running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """Run a server until the context ends, in its folder."""
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*_DYING_WITH_US, *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        with _log_shown(log_path):
            yield process, log_path
    finally:
        process.kill()  # its data is of no use any more; SeaweedFS takes 16 s to end by itself
        process.wait()


@contextmanager
def _log_shown(log_path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        text = log_path.read_text(errors="replace")
        sys.stderr.write(f"--- log of {log_path.parent}\n{text}---\n")
        raise


def _said(process: "subprocess.Popen[bytes]", log_path: Path, pattern: str) -> str:
    """What a server says once it listens."""
    found: list[str] = []

    def looked() -> bool:
        found[:] = re.findall(pattern, log_path.read_text(errors="replace"))
        return bool(found)

    _until(looked, process, log_path)
    return found[0]


def _until(
    condition: Callable[[], bool], process: "subprocess.Popen[bytes]", log_path: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS * PATIENCE
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}: see {log_path}"
        assert time.monotonic() < deadline, f"does not answer: see {log_path}"
        time.sleep(0.02)


def _answers_with_data(s3: Any) -> bool:
    """Whether an S3 server takes objects, and gives them back."""
    from botocore.exceptions import BotoCoreError, ClientError

    with suppress(BotoCoreError, ClientError):
        s3.create_bucket(Bucket="ready")
    try:
        s3.put_object(Bucket="ready", Key="ready", Body=b"ready")
        found = bool(s3.get_object(Bucket="ready", Key="ready")["Body"].read() == b"ready")
        s3.delete_object(Bucket="ready", Key="ready")
        s3.delete_bucket(Bucket="ready")
    except (BotoCoreError, ClientError):
        return False
    return found
