"""Clients of a mount as processes of their own, each ended by its own id whatever happens."""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import oracle
from mounting import Mount
from processes import eventually, run

NAME = "1T_d2_c1.5_s7.bin"
REFERENCE_BYTES = 5 << 20  # one block and a part of the next

# What a client may get when the mount goes under it.
GONE = ("ECONNABORTED", "ENOTCONN", "ENODEV")
# EIO: the kernel was copying the reply when the daemon was killed (Linux fs/fuse/dev.c).
KILLED = (*GONE, "EIO")


@cache
def reference(name: str = NAME) -> bytes:
    """The first bytes of a name."""
    return oracle.read(oracle.parse(name), 0, 0, REFERENCE_BYTES)


def right(path: Path) -> None:
    """A file of the mount, read whole and in the middle, has the right bytes."""
    wanted = reference(path.name)
    step = 1 << 20
    out = run("dd", f"if={path}", f"bs={step}", f"count={len(wanted) // step}", "status=none").out
    assert out == wanted


@dataclass
class Client:
    """A process that reads."""

    process: "subprocess.Popen[bytes]"
    out: Path
    progress: Path

    @property
    def reads(self) -> int:
        """How many it has done."""
        data = self.progress.read_bytes() if self.progress.exists() else b""
        return int(struct.unpack("<Q", data)[0]) if data else 0

    def failed(self, *, within: float, of: Sequence[str]) -> None:
        """It gets one of the errors ``of`` and ends, within so many seconds."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"a client hangs: {self.process.args!r}") from None
        text = self.out.read_text(errors="replace")
        assert code == 0, text
        assert text.strip() in of, text


class Clients:
    """Readers of one file; killed at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._reference = folder / "reference"
        self._reference.write_bytes(reference())
        self.all: list[Client] = []
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, path: Path, count: int, *, signals_every_us: int = 0) -> list[Client]:
        """Start ``count`` readers and return when each has read."""
        started = []
        for _ in range(count):
            number = len(self.all)
            progress, out = self._folder / f"progress-{number}", self._folder / f"out-{number}"
            script = str(Path(__file__).with_name("reader.py"))
            command = [sys.executable, "-I", "-S", script, path, self._reference, progress]
            command.append(signals_every_us)
            client = Client(self.run(out, *command), out, progress)
            started.append(client)
            self.all.append(client)
        advance(started)
        return started

    def fio(self, mount: Mount) -> "subprocess.Popen[bytes]":
        """Start fio with two jobs and four reads under way in each; return when it reads."""
        before = read_bytes(mount)
        process = self.run(
            self._folder / "fio",
            "fio",
            "--name=read",
            f"--filename={mount.path / NAME}",
            "--readonly",
            "--allow_file_create=0",
            "--rw=randread",
            "--bs=64k",
            "--ioengine=libaio",
            "--iodepth=4",
            "--thread",
            "--numjobs=2",
            "--time_based",
            "--runtime=60",
            "--eta=never",
        )
        eventually(lambda: read_bytes(mount) > before + (10 << 20), 20)
        return process

    def run(self, out: Path, *command: object) -> "subprocess.Popen[bytes]":
        """Start any client with its output in a file."""
        with out.open("wb") as file:
            process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """Kill all."""
        for process in self._processes:
            process.kill()

    def end(self) -> None:
        """Kill all and wait for them; once the daemon is gone none can hang."""
        self.kill()
        for process in self._processes:
            process.wait(10)


def read_bytes(mount: Mount) -> int:
    """Bytes that a mount has answered."""
    return int(json.loads(run("cat", mount.path / ".stats").out)["read_bytes"])


def advance(clients: Sequence[Client], seconds: float = 10) -> None:
    """Each of ``clients`` reads on."""
    before = [client.reads for client in clients]

    def all_read() -> bool:
        for client in clients:
            assert client.process.poll() is None, client.out.read_text()
        return all(c.reads > n + 3 for c, n in zip(clients, before, strict=True))

    eventually(all_read, seconds)


@contextmanager
def clients_of(folder: Path) -> Iterator[Clients]:
    """Clients that end after the block; enter it before the mount's, so that none can hang."""
    clients = Clients(folder / "clients")
    try:
        yield clients
    finally:
        clients.end()
