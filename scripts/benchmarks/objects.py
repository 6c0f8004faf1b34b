"""Objects put into an S3 server on this machine, by dgenfs and by those that upload files.

What dgenfs generates, others have as files in memory. The server keeps objects in memory too; what
it takes of the processors is the same for all.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import servers
from mounting import DGENFS
from servers import Server

from benchmarks import memory
from benchmarks.rounds import Case
from benchmarks.suite import Suite, Target, Timings
from dgenfs import Spec
from dgenfs.api.publishing import write_file, write_tree

SMALL, LARGE = "1000x1M_d4_c2", "1G_d4_c2"
NAMES = (SMALL, LARGE)
OURS = "dgenfs gen"
AWS = "aws s3 cp"
S3FS = "s3fs put"
S3DLIO = "s3dlio upload"
# How much faster than each of them dgenfs is to be, and how much of its memory it may take.
FASTER = {AWS: 1.0, S3FS: 1.0, S3DLIO: 0.5}
SMALLER = {AWS: 0.25, S3FS: 1.0, S3DLIO: 0.5}

# Runs a command and says how long that took and how much memory it had. Started from here, a
# process would seem to have had at least ours, which it has until it becomes another program's.
MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds = time.perf_counter() - start
kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"seconds": seconds, "bytes": kib * 1024}))
"""
PUT_BY_S3FS = "import s3fs, sys; s3fs.S3FileSystem().put(*sys.argv[1:], recursive=True)"
PUT_BY_S3DLIO = """
import s3dlio, sys
from pathlib import Path
s3dlio.upload(sorted(map(str, Path(sys.argv[1]).iterdir())), sys.argv[2])
"""


@contextmanager
def objects() -> Iterator[Suite]:
    """Uploads of many small objects and of a large one."""
    size = sum(Spec.parse(name).total_size for name in NAMES)
    with ExitStack() as stack:
        # The server gives a bucket's bytes back when that is deleted, and not all at once.
        folder = stack.enter_context(memory.folder(4 * size))
        (folder / "server").mkdir()
        server = stack.enter_context(servers.seaweedfs(folder / "server"))
        peaks: dict[str, int] = {}
        cases = [case for name in NAMES for case in _uploads(name, folder, server, peaks)]
        yield Suite("objects", 5, cases, lambda timings: _targets(timings, peaks))


def _targets(timings: Timings, peaks: Mapping[str, int]) -> Iterator[Target]:
    for name in NAMES:
        ours = f"{OURS}, {name}"
        for client, least in FASTER.items():
            ratio = timings[f"{client}, {name}"].median / timings[ours].median
            yield Target(f"upload of {name}: {client} / {OURS}, time", ratio, least)
        for client, least in SMALLER.items():
            theirs = peaks[f"{client}, {name}"]
            mib = f"{theirs >> 20} / {peaks[ours] >> 20} MiB"
            text = f"upload of {name}: {client} / {OURS}, most memory, {mib}"
            yield Target(text, theirs / peaks[ours], least)


def _uploads(name: str, folder: Path, server: Server, peaks: dict[str, int]) -> Iterator[Case]:
    """Yield an upload by each client, who adds to ``peaks`` the most bytes that it had."""
    spec = Spec.parse(name)
    source = folder / name
    if spec.tree:
        write_tree(spec, source, lambda _: None)
    else:
        source.mkdir()
        write_file(spec.view(0), source / name, lambda _: None)
    aws = Path(sys.executable).with_name("aws")
    clients: dict[str, Sequence[str]] = {
        OURS: (DGENFS, "gen", name, "-o"),
        AWS: (str(aws), "s3", "cp", "--recursive", "--quiet", str(source)),
        S3FS: (sys.executable, "-c", PUT_BY_S3FS, f"{source}/"),
        S3DLIO: (sys.executable, "-c", PUT_BY_S3DLIO, str(source)),
    }
    for client, command in clients.items():
        case = f"{client}, {name}"
        turn = _upload(case, command, server, spec.total_size, peaks)
        yield Case(case, turn, spec.total_size)


def _upload(
    case: str, command: Sequence[str], server: Server, size: int, peaks: dict[str, int]
) -> Callable[[], float]:
    numbers = itertools.count(1)
    prefix = case.split(",")[0].replace(" ", "-") + f"-{size >> 20}"

    def turn() -> float:
        bucket = f"{prefix}-{next(numbers)}"
        server.s3.create_bucket(Bucket=bucket)
        measured = _measured([*command, f"s3://{bucket}/"], server)
        if (there := _bytes_in(server.s3, bucket)) != size:
            raise AssertionError(f"{case}: {there} bytes are there, not {size}")
        server.s3.delete_bucket(Bucket=bucket)
        peaks[case] = max(peaks.get(case, 0), int(measured["bytes"]))
        return measured["seconds"]

    return turn


def _measured(command: Sequence[str], server: Server) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", MEASURE, *command],
        env=server.whole_environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _bytes_in(s3: Any, bucket: str) -> int:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return sum(one["Size"] for page in pages for one in page.get("Contents", ()))
