"""Processes that hold many files open.

Run with Python's standard library alone, so that many start quickly: gets a JSON list of paths as
one line, opens all of them, says how many seconds that took, and ends with its standard input.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PROCESSES = 10  # few enough of 100,000 files for each; the usual hard limit is 20,000 and more


@contextmanager
def held_open(paths: Sequence[str]) -> Iterator[float]:
    """Let other processes have all of ``paths`` open, and have read from each.

    Yields:
        Mean of the seconds that opening one took, while all processes opened theirs.
    """
    command = [sys.executable, "-I", "-S", __file__]
    shares = [share for i in range(PROCESSES) if (share := paths[i::PROCESSES])]
    holders: list[subprocess.Popen[str]] = []
    try:
        for share in shares:
            holder = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            holders.append(holder)
            assert holder.stdin
            holder.stdin.write(json.dumps(share) + "\n")
            holder.stdin.flush()
        seconds = 0.0
        for holder, share in zip(holders, shares, strict=True):
            assert holder.stdout
            line = holder.stdout.readline()
            if not line:
                raise RuntimeError(f"{len(share)} files cannot be held open: {holder.wait()}")
            seconds += float(line)
        yield seconds / max(1, len(paths))
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    paths = json.loads(sys.stdin.readline())
    start = time.monotonic()
    files = [os.open(path, os.O_RDONLY) for path in paths]
    seconds = time.monotonic() - start
    for path, file in zip(paths, files, strict=True):
        if len(os.pread(file, 1, 0)) != 1:
            sys.exit(f"{path}: nothing to read")
    sys.stdout.write(f"{seconds}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
