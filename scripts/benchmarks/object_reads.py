"""Objects of an S3 server on this machine, verified by dgenfs and read by those that only read.

All get the same ranges with as many requests at a time, and the same files through rclone's mount.
Every turn through a mount has one of its own, which has read nothing yet.
"""

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import s3fs
import servers
from servers import Server

from benchmarks import memory
from benchmarks.rounds import Case
from benchmarks.suite import Suite, Target, Timings
from dgenfs.api.uploading import upload_directory, upload_file
from dgenfs.machine.stores import CONNECTIONS, open_store
from dgenfs.names.catalog import Directory, File, find
from dgenfs.verifying.copies import MIN_THREADS
from dgenfs.verifying.objects import GET
from dgenfs.verifying.verifier import Verifier

BUCKET = "reads"
NAMES = ("1000x1M_d4_c2", "1G_d4_c2")
PLAIN = 0.9  # of the speed of reads that look at nothing
MOUNTED = 0.8  # of cat's, through a mount


@contextmanager
def object_reads() -> Iterator[Suite]:
    """Many small objects and a large one, by GETs and through a mount."""
    with ExitStack() as stack:
        nodes = [find(name) for name in NAMES]
        folder = stack.enter_context(memory.folder(2 * sum(node.size for node in nodes)))
        (folder / "server").mkdir()
        server = stack.enter_context(servers.seaweedfs(folder / "server"))
        stack.enter_context(server.configured())
        server.s3.create_bucket(Bucket=BUCKET)
        verifier = stack.enter_context(Verifier())
        cases = []
        for node in nodes:
            _put(node)
            verified = _timed(partial(_verify, verifier, node))
            plain = _timed(partial(_read, _plain(server), node))
            cases += [
                Case(f"verify, {node.spec}", verified, node.size),
                Case(f"plain reads, {node.spec}", plain, node.size),
                *_mounted(node, server, verifier, folder),
            ]
        yield Suite("object-reads", 5, cases, _targets)


def _targets(timings: Timings) -> Iterator[Target]:
    for name in (find(name).spec for name in NAMES):
        plain = timings[f"plain reads, {name}"].median / timings[f"verify, {name}"].median
        yield Target(f"{name}: verify / plain reads, speed", plain, PLAIN)
        cat = timings[f"cat, rclone mount, {name}"].median
        mounted = cat / timings[f"verify, rclone mount, {name}"].median
        yield Target(f"{name} on an rclone mount: verify / cat, speed", mounted, MOUNTED)


def _url(node: File | Directory) -> str:
    return f"s3://{BUCKET}/{node.spec}"


def _put(node: File | Directory) -> None:
    store = open_store(_url(node))
    if isinstance(node, Directory):
        upload_directory(node, store, lambda _: None)
    else:
        upload_file(node.view(), store, lambda _: None)


def _timed(call: Callable[[], None]) -> Callable[[], float]:
    def turn() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return turn


def _verify(verifier: Verifier, node: File | Directory, path: Path | None = None) -> None:
    where = path or _url(node)
    if isinstance(node, Directory):
        identical = verifier.verify_tree(where, node).identical
    else:
        identical = verifier.verify_file(where, node).identical
    if not identical:
        raise AssertionError(f"{where}: is not identical")


def _plain(server: Server) -> s3fs.S3FileSystem:
    """Return what others would read by, with connections for all requests that are under way."""
    connections = {"max_pool_connections": CONNECTIONS}
    return s3fs.S3FileSystem(
        use_listings_cache=False, config_kwargs=connections, **server.options["s3"]
    )


def _read(fs: s3fs.S3FileSystem, node: File | Directory) -> None:
    """Read the ranges that verify reads, which looks for other objects too."""
    paths = [f"{BUCKET}/{node.spec}"]
    if isinstance(node, Directory):
        paths = [f"{BUCKET}/{node.spec}/{inside}" for inside, _ in node.members()]
    size = node.spec.size
    ranges = [(path, at, min(at + GET, size)) for path in paths for at in range(0, size, GET)]
    with ThreadPoolExecutor(MIN_THREADS) as pool:
        lengths = pool.map(lambda one: len(fs.cat_file(one[0], start=one[1], end=one[2])), ranges)
        if sum(lengths) != node.size:
            raise AssertionError(f"{node.spec}: bytes are missing")


def _mounted(
    node: File | Directory, server: Server, verifier: Verifier, folder: Path
) -> Iterator[Case]:
    """Yield a verification and a cat of the same files, through mounts that are new."""
    numbers = itertools.count(1)

    def through(call: Callable[[Path], None]) -> Callable[[], float]:
        def turn() -> float:
            own = folder / f"mount-{node.spec}-{next(numbers)}"
            own.mkdir()
            with servers.rclone_mount(own, server, BUCKET) as path:
                return _timed(partial(call, path / str(node.spec)))()

        return turn

    def cat(path: Path) -> None:
        command = f"find '{path}' -type f | sort | xargs cat >/dev/null"
        subprocess.run(["sh", "-c", command], check=True)

    def verify(path: Path) -> None:
        _verify(verifier, node, path)

    yield Case(f"verify, rclone mount, {node.spec}", through(verify), node.size)
    yield Case(f"cat, rclone mount, {node.spec}", through(cat), node.size)
