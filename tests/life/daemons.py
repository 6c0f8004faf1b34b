"""Daemons and clients as processes of their own, each ended by its own id whatever happens."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import oracle
from mounting import DGENFS, Mount, check, clean_up, eventually, is_mounted, watched

from dgenfs.mount.mountpoint import mounted_at

TESTS = Path(__file__).parents[1]
NAME = "1T_d2_c1.5_s7.bin"
REFERENCE_BYTES = 5 << 20  # one block and a part of the next
END_SECONDS = 5  # what a mount may take to end
LIMIT = 60  # seconds of one mount; then it is killed, so that nothing hangs

FUSE_SUPER_MAGIC = b"65735546\n"  # statfs(2)
PLANES = ("compiled", "pyfuse3")

# What a client may get when the mount goes under it.
GONE = ("ECONNABORTED", "ENOTCONN", "ENODEV")
# EIO: the kernel was copying the reply when the daemon was killed (Linux fs/fuse/dev.c).
KILLED = (*GONE, "EIO")


def with_fault(name: str, *arguments: object) -> tuple[str, ...]:
    """The command that runs dgenfs with a fault of life.faults."""
    return (sys.executable, "-m", "life.faults", name, *map(str, arguments), "--")


@contextmanager
def serving(
    folder: Path,
    *arguments: str,
    command: Sequence[str] = (DGENFS,),
    expected_log: Sequence[str] = (),
    exit_code: int = 0,
    environment: Mapping[str, str] | None = None,
    limit: int = LIMIT,
) -> Iterator[Mount]:
    """Mount in the foreground; at the end unmount if need be, and check exit code and log.

    Args:
        folder: a directory of the test's own; mountpoint and log are made in it.
        arguments: of ``dgenfs mount``.
        command: what runs dgenfs.
        expected_log: see Mount.
        exit_code: see Mount.
        environment: added to that of the tests.
        limit: seconds after which it is killed.
    """
    path = folder / "mnt"
    with suppress(FileExistsError):  # a dead one's
        path.mkdir(parents=True)
    log_path = folder / "log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [*command, "mount", "-f", str(path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment_of(environment),
        )
    mount = Mount(path, process, log_path, exit_code, list(expected_log))
    with watched(process.pid, path, limit):
        try:
            eventually(lambda: answers(path) or process.poll() is not None, 30)
            assert process.poll() is None, mount.log
            yield mount
        except BaseException:
            process.kill()
            clean_up(process, path)
            print_log(mount)
            raise
        clean_up(process, path)
    check(mount)


def answers(path: Path) -> bool:
    """Whether a FUSE file system is mounted that is alive; waits for its session."""
    # The type is of what answered, which is not what mountinfo showed if a dead one goes meanwhile.
    return is_mounted(path) and run("stat", "-f", "-c%t", path, code=None).out == FUSE_SUPER_MAGIC


def environment_of(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a daemon."""
    folders = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": folders, "DGENFS_LOG": "info", **(more or {})}


def print_log(mount: Mount) -> None:
    sys.stderr.write(f"--- log of {mount.path}\n{mount.log}---\n")


def ended(mount: Mount, seconds: float = END_SECONDS) -> None:
    """The daemon ends within ``seconds`` from now, and leaves no process and no mount."""
    try:
        mount.process.wait(seconds)
    except subprocess.TimeoutExpired:
        threads = mount.threads()
        raise AssertionError(f"still there after {seconds} s: {threads}: {mount.log}") from None
    assert session_of(mount.pid) == []
    assert mounted_at(mount.path) is None
    assert not mount.path.exists() or list(mount.path.iterdir()) == []


def session_of(leader: int) -> list[int]:
    """Processes of the session that ``leader`` began."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                found.append(int(status.parent.name))
    return found


def run(
    *command: object,
    seconds: float = 30,
    code: int | None = 0,
    environment: Mapping[str, str] | None = None,
) -> "Done":
    """Run a client to its end; it failed if that takes longer than ``seconds``."""
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # Not waited for: it may be in the kernel until the daemon is killed, which frees it.
        process.kill()
        raise AssertionError(f"{command} hangs") from None
    done = Done(process.returncode, out, err.decode(errors="replace"))
    assert code is None or done.code == code, f"{command}: {done}"
    return done


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str


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
