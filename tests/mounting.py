"""Real mounts: a daemon in its own process, checked and cleaned up whatever happens.

A client that hangs in the kernel cannot be interrupted by its own process, so a second process
watches each mount: it kills the daemon after ``limit`` seconds or when we are gone, and the clients
then get an error.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kernel_offer
import psutil
from processes import PATIENCE, daemons_of, eventually, session_of

from dgenfs.mount.mountpoint import FSTYPE, mounted_at

DGENFS = str(Path(sys.executable).with_name("dgenfs"))
PLANES = ("compiled", "pyfuse3")
RETUNED = ("-o", "rw")  # for a mount whose .topology is written to
LIMIT = 60  # seconds of one mount
START_SECONDS = 50
END_SECONDS = 5  # what a mount may take to end
EXIT_SECONDS = 10  # what each way to end one gets before a harder one

TESTS = Path(__file__).parent
FUSE_SUPER_MAGIC = b"65735546\n"  # statfs(2)

# No fault where the kernel is so: with --io auto it says what that costs.
THROUGH_THE_PAGE_CACHE = "WARNING dgenfs.mount.opening .* are read through the page cache"

_FAULT = re.compile(r" (WARNING|ERROR|CRITICAL) |Traceback|Exception|Error\b")
_WATCH = """
read -r -t "$2" _ && exit
kill -9 "$1"
umount -l "$3" 2>/dev/null
"""


@dataclass
class Mount:
    """A mounted file system and its daemon.

    Attributes:
        path: the mountpoint, absolute.
        process: the daemon, in the foreground.
        log_path: its standard error.
        exit_code: what it must end with.
        expected_log: patterns of lines that would otherwise be a fault; each must occur.
    """

    path: Path
    process: "subprocess.Popen[bytes]"
    log_path: Path
    exit_code: int
    expected_log: list[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def daemon(self) -> psutil.Process:
        """The daemon as the system sees it."""
        return psutil.Process(self.pid)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def faults(self) -> list[str]:
        """Lines of the log that tell of a fault that was not expected."""
        usual = list(self.expected_log)
        if not kernel_offer.direct_mmap():
            usual.append(THROUGH_THE_PAGE_CACHE)
        return [
            line
            for line in self.log.splitlines()
            if _FAULT.search(line) and not any(re.search(p, line) for p in usual)
        ]

    @property
    def is_mounted(self) -> bool:
        return is_mounted(self.path)

    def rss(self) -> int:
        """Bytes that are resident."""
        return int(self.daemon.memory_info().rss)

    def peak_rss(self) -> int:
        """The most bytes that were resident; proc_pid_status(5), as psutil does not tell."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.M)
        assert found, text
        return int(found[1]) * 1024

    def cpu_seconds(self) -> float:
        """Processor time that the daemon has used; clock_getcpuclockid(3), as Python has it not.

        It is counted in nanoseconds, where /proc has whole ticks of whoever runs at one.
        """
        return time.clock_gettime(~self.pid << 3 | 2)

    def tasks(self) -> list[int]:
        """Ids of the daemon's threads."""
        return [thread.id for thread in self.daemon.threads()]

    def thread_names(self) -> list[str]:
        found = []
        for task in self.tasks():
            with suppress(OSError):  # it ended meanwhile
                found.append(Path(f"/proc/{self.pid}/task/{task}/comm").read_text().strip())
        return found

    def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / ".stats").read_bytes())
        return found

    def topology(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / ".topology").read_bytes())
        return found

    def settled(self) -> dict[str, Any]:
        """Statistics once all files are released, which the kernel asks for after close(2)."""
        eventually(lambda: bool(self.stats()["open_handles"] == 0))
        return self.stats()


@contextmanager
def mounted(
    folder: Path,
    *arguments: str,
    command: Sequence[str] = (DGENFS,),
    environment: Mapping[str, str] | None = None,
    limit: float = LIMIT,
    exit_code: int = 0,
    expected_log: Sequence[str] = (),
    checked: bool = True,
) -> Iterator[Mount]:
    """Mount in the foreground; at the end unmount if need be, and check exit code and log.

    Args:
        folder: a directory of the mount's own, or of one that is dead; mountpoint and log are made
            in it.
        arguments: of ``dgenfs mount``: names and options.
        command: what runs dgenfs.
        environment: added to ours; see environment_of.
        limit: seconds after which the daemon is killed, so that nothing hangs.
        exit_code: see Mount.
        expected_log: see Mount.
        checked: whether exit code and log must be as expected, or are looked at by the caller.
    """
    path = Path(os.path.realpath(folder)) / "mnt"
    with suppress(FileExistsError):  # a dead one's, which is not to be asked
        path.mkdir(parents=True)
    log_path = path.with_name("log")
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
    try:
        with ended_afterwards(process, path, limit):
            eventually(lambda: answers(path) or process.poll() is not None, START_SECONDS)
            code = process.poll()
            assert code is None, f"mount ended with {code} before it answered"
            yield mount
    except BaseException:
        sys.stderr.write(f"--- log of {path}\n{mount.log}---\n")
        raise
    if checked:
        check(mount)


def environment_of(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a daemon: ours, all that it has to say, and the modules of tests."""
    folders = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": folders, "DGENFS_LOG": "info", **(more or {})}


def is_mounted(path: Path) -> bool:
    """Whether a file system of ours is mounted there, without asking it."""
    found = mounted_at(path)
    return found is not None and found.fstype == FSTYPE


def answers(path: Path) -> bool:
    """Whether a FUSE file system is mounted there that is alive; waits for its session."""
    if mounted_at(path) is None:
        return False
    # The type is of what answered, which is not what mountinfo showed if a dead one goes meanwhile.
    done = subprocess.run(["stat", "-f", "-c%t", path], capture_output=True, check=False)
    return done.stdout == FUSE_SUPER_MAGIC


def ended(mount: Mount, seconds: float = END_SECONDS) -> None:
    """The daemon ends within ``seconds`` from now, and leaves no process and no mount."""
    try:
        mount.process.wait(seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        threads = mount.thread_names()
        raise AssertionError(f"still there after {seconds} s: {threads}: {mount.log}") from None
    assert session_of(mount.pid) == []
    assert mounted_at(mount.path) is None
    assert not mount.path.exists() or list(mount.path.iterdir()) == []


def check(mount: Mount) -> None:
    """The daemon ended as it must and logged no fault that was not expected."""
    text = mount.log
    assert mount.process.returncode == mount.exit_code, text
    for pattern in mount.expected_log:
        assert re.search(pattern, text), f"{pattern!r} is not in the log: {text}"
    assert mount.faults == [], text
    assert not mount.is_mounted


@contextmanager
def ended_afterwards(
    process: "subprocess.Popen[bytes]", path: Path, limit: float = LIMIT
) -> Iterator[None]:
    """End a daemon and what it mounted at ``path``, after ``limit`` seconds at the latest."""
    with watched(process.pid, path, limit):
        try:
            yield
        except BaseException:
            process.kill()  # first of all, so that no client waits any more
            raise
        finally:
            _clean_up(process, path)


@contextmanager
def watched(pid: int, path: Path, limit: float) -> Iterator[None]:
    """Kill ``pid`` and detach what is mounted at ``path`` after ``limit`` seconds, or our death."""
    watcher = subprocess.Popen(
        ["bash", "-c", _WATCH, "watch", str(pid), str(limit * PATIENCE), str(path)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            watcher.communicate(b"\n")


@contextmanager
def cleaned(path: Path) -> Iterator[None]:
    """Make a mountpoint; daemons that mount there are killed, and what they left is detached."""
    path.mkdir()
    try:
        yield
    finally:
        for pid in daemons_of(path):
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGKILL)
        _detach(path)


def _clean_up(process: "subprocess.Popen[bytes]", path: Path) -> None:
    """Unmount and end a daemon, by harder and harder means; returns when both are gone."""
    ways: list[Callable[[], None]] = [
        lambda: _umount(path),
        lambda: _umount("-l", path),
        process.terminate,
        process.kill,
    ]
    for end in ways:
        # umount(8) itself hangs where the daemon does not answer.
        with suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
            end()
            process.wait(EXIT_SECONDS * PATIENCE)
            break
    _detach(path)


def _umount(*arguments: str | Path) -> None:
    path = Path(arguments[-1])
    for again in reversed(range(10)):
        # Busy for a moment where a client was killed a moment ago.
        if mounted_at(path) is None:
            return
        done = subprocess.run(
            ["umount", *arguments],
            capture_output=True,
            check=not again,
            timeout=EXIT_SECONDS * PATIENCE,
        )
        if done.returncode == 0:
            return
        time.sleep(0.1)


def _detach(path: Path) -> None:
    while mounted_at(path) is not None:
        subprocess.run(["umount", "-l", path], check=True, timeout=EXIT_SECONDS)
