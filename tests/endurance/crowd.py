"""Clients at once, each started again until the time is over."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from endurance.clients import WRONG
from endurance.scenarios import Scenario

MEMORY = Path("/dev/shm")
GRACE = 60  # seconds past its time after which a client counts as hanging


@dataclass
class Outcome:
    """What came of the clients of one scenario.

    Attributes:
        scenario: what they did.
        runs: that ended well.
        steps: of clients that count them: reads, opens, settings.
        bytes: that were checked.
        errors: output of each run that failed.
        wrong: of each that got something wrong.
        hung: of each that did not end.
    """

    scenario: Scenario
    runs: int = 0
    steps: int = 0
    bytes: int = 0
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)


class Crowd:
    """Clients of all scenarios, each with a thread that starts it; killed at the end of a block.

    Attributes:
        outcomes: one a scenario.
    """

    def __init__(self, scenarios: Sequence[Scenario], mountpoint: Path, seconds: float) -> None:
        """Prepare to read from ``mountpoint`` for so many seconds."""
        self.outcomes = [Outcome(scenario) for scenario in scenarios]
        self._mountpoint = mountpoint
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[str]] = set()
        self._threads = [
            threading.Thread(target=self._repeat, args=(outcome,), daemon=True)
            for outcome in self.outcomes
            for _ in range(outcome.scenario.clients)
        ]

    def __enter__(self) -> "Crowd":
        """Start."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Kill who is still there."""
        self._end = 0
        with self._lock:
            for process in self._processes:
                _kill(process)

    def wait(self) -> None:
        """Return when all have ended."""
        for thread in self._threads:
            thread.join()

    def _repeat(self, outcome: Outcome) -> None:
        with tempfile.TemporaryDirectory(dir=MEMORY, prefix="dgenfs-soak-") as memory:
            # A client that failed is not started again: what it says would be lost among the same.
            while (left := self._end - time.monotonic()) > 0 and self._run(outcome, memory, left):
                pass

    def _run(self, outcome: Outcome, memory: str, seconds: float) -> bool:
        command = outcome.scenario.command.format(
            mountpoint=self._mountpoint, memory=memory, seconds=max(1, int(seconds))
        )
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**os.environ, "PATH": path},
        )
        with self._lock:
            self._processes.add(process)
        try:
            out = process.communicate(timeout=seconds + GRACE)[0]
        except subprocess.TimeoutExpired:
            _kill(process)
            outcome.hung.append(command)
            return False
        finally:
            with self._lock:
                self._processes.discard(process)
        if self._end:  # else we killed it
            with self._lock:
                _count(outcome, process.returncode, f"{command}\n{out}")
        return process.returncode == 0


def _count(outcome: Outcome, code: int, text: str) -> None:
    if code == WRONG:
        outcome.wrong.append(text)
    elif code != 0:
        outcome.errors.append(text)
    else:
        outcome.runs += 1
        last = text.rstrip().rpartition("\n")[2]
        if last.startswith("{"):
            done = json.loads(last)
            outcome.steps += done["steps"]
            outcome.bytes += done["bytes"]


def _kill(process: "subprocess.Popen[str]") -> None:
    """Kill a client's shell and what it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
