"""Turns of fio."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RUNTIME = 1  # seconds of one turn


@dataclass(frozen=True, slots=True)
class Workload:
    """What fio does with a file.

    Attributes:
        name: what the table calls it.
        block: bytes of one read.
        options: of fio.
        span: bytes of the file that are read, None for all.
    """

    name: str
    block: int
    options: tuple[str, ...]
    span: int | None = None


def turn(workload: Workload, file: Path) -> Callable[[], float]:
    """Return a turn that gives the seconds of one read, all jobs together."""
    command = [
        "fio",
        f"--name={workload.name}",
        f"--filename={file}",
        "--readonly",
        f"--bs={workload.block}",
        "--time_based",
        f"--runtime={RUNTIME}",
        "--norandommap",
        "--randrepeat=0",
        "--output-format=json",
        *workload.options,
    ]
    if workload.span is not None:
        command.append(f"--size={workload.span}")

    def run() -> float:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        # fio may write a note before its JSON.
        jobs = json.loads(done.stdout[done.stdout.index("{") :])["jobs"]
        failed = [job["error"] for job in jobs if job["error"]]
        if failed:
            raise RuntimeError(f"{' '.join(map(str, command))}: errors {failed}")
        return 1 / float(sum(job["read"]["iops"] for job in jobs))

    return run
