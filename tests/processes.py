"""Processes of tests: run to their end, and found by what they are."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE = float(os.environ.get("PATIENCE", "1"))  # times as slow as usual, as an emulated machine

# Interrupts the process when it imports the module AT.
INTERRUPT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str


def run(
    *command: object,
    seconds: float = 30,
    code: int | None = 0,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run a client to its end; it failed if that takes longer than ``seconds``."""
    seconds *= PATIENCE
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


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def session_of(leader: int) -> list[int]:
    """Processes of the session that ``leader`` began."""
    found = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError):  # it ended meanwhile
            if os.getsid(pid) == leader:
                found.append(pid)
    return found


def daemons_of(path: Path, program: str = "mount") -> list[int]:
    """Processes whose command mounts at ``path``, by ``dgenfs mount`` or another program."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if {program, str(path)}
        <= {Path(part).name for part in process.info["cmdline"] or ()}
        | set(process.info["cmdline"] or ())
    ]
