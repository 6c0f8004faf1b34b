"""Real mounts for tests: a daemon in its own process, checked and cleaned up whatever happens.

A test that hangs in the kernel cannot be interrupted by its own process, so a second process
watches each mount: it kills the daemon after ``limit`` seconds or when the tests are gone, and the
clients then get an error.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dgenfs.mount.mountpoint import FSTYPE, mounted_at

DGENFS = str(Path(sys.executable).with_name("dgenfs"))
START_SECONDS = 60
EXIT_SECONDS = 10

_BAD = re.compile(r" (WARNING|ERROR|CRITICAL) |Traceback|Exception|Error\b")
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
    exit_code: int = 0
    expected_log: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def is_mounted(self) -> bool:
        return is_mounted(self.path)

    def rss(self) -> int:
        """Bytes that are resident."""
        return status_bytes(self.pid, "VmRSS")

    def threads(self) -> list[str]:
        """Names of the daemon's threads."""
        found = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):  # it ended meanwhile
                found.append((task / "comm").read_text().strip())
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


def is_mounted(path: Path) -> bool:
    """Whether a file system of ours is mounted there, without asking it."""
    found = mounted_at(path)
    return found is not None and found.fstype == FSTYPE


def status_bytes(pid: int, name: str) -> int:
    """A size of proc_pid_status(5)."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found, name
    return int(found[1]) * 1024


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


@contextmanager
def mounted(
    folder: Path,
    *names: str,
    options: Sequence[str] = (),
    limit: int = 120,
    environment: dict[str, str] | None = None,
) -> Iterator[Mount]:
    """Mount in ``folder``; unmount at the end and check how the daemon ended and what it logged.

    Args:
        folder: a directory of the test's own; mountpoint and log are made in it.
        names: what is listed.
        options: of ``dgenfs mount``.
        limit: seconds after which the daemon is killed, so that nothing hangs.
        environment: added to that of the tests.
    """
    path = Path(os.path.realpath(folder)) / "mnt"
    path.mkdir(parents=True)
    log_path = path.with_name("log")
    command = [DGENFS, "mount", "-f", str(path), *names, *options]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "DGENFS_LOG": "info", **(environment or {})},
        )
    with watched(process.pid, path, limit):
        mount = Mount(path, process, log_path)
        try:
            _wait_until_it_answers(mount)
            yield mount
        except BaseException:
            clean_up(process, path)
            print(f"--- log of {path}\n{mount.log}---", file=sys.stderr)  # noqa: T201
            raise
        clean_up(process, path)
    check(mount)


@contextmanager
def watched(pid: int, path: Path, limit: int) -> Iterator[None]:
    """Kill ``pid`` and detach what is mounted at ``path`` after ``limit`` seconds, or our death."""
    watcher = subprocess.Popen(
        ["bash", "-c", _WATCH, "watch", str(pid), str(limit), str(path)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            watcher.communicate(b"\n")


def _wait_until_it_answers(mount: Mount) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not mount.is_mounted:
        code = mount.process.poll()
        assert code is None, f"mount ended with {code} before it answered: {mount.log}"
        assert time.monotonic() < deadline, f"not mounted in {START_SECONDS} s: {mount.log}"
        time.sleep(0.01)
    # Waits for the session, or for the daemon's end.
    os.statvfs(mount.path)


def clean_up(process: "subprocess.Popen[bytes]", path: Path) -> None:
    """Unmount and end a daemon, by harder and harder means; returns when both are gone."""
    ways: list[Callable[[], None]] = [
        lambda: _umount(path),
        lambda: _umount("-l", path),
        process.terminate,
        process.kill,
    ]
    for end in ways:
        try:
            end()
            process.wait(EXIT_SECONDS)
            break
        except subprocess.TimeoutExpired:
            # umount(8) itself hangs where the daemon does not answer.
            continue
    while mounted_at(path) is not None:
        subprocess.run(["umount", "-l", str(path)], check=True, timeout=EXIT_SECONDS)


def _umount(*arguments: str | Path) -> None:
    path = Path(arguments[-1])
    for _ in range(10):
        # Busy for a moment where a client was killed a moment ago.
        if not is_mounted(path):
            return
        done = subprocess.run(
            ["umount", *map(str, arguments)], capture_output=True, check=False, timeout=EXIT_SECONDS
        )
        if done.returncode == 0:
            return
        time.sleep(0.1)


def check(mount: Mount) -> None:
    """The daemon ended as it must and logged no fault that was not expected."""
    assert mount.process.returncode == mount.exit_code, mount.log
    text = mount.log
    for pattern in mount.expected_log:
        assert re.search(pattern, text), f"{pattern!r} is not in the log: {text}"
    faults = [
        line
        for line in text.splitlines()
        if _BAD.search(line) and not any(re.search(p, line) for p in mount.expected_log)
    ]
    assert faults == [], text
    assert not is_mounted(mount.path)
