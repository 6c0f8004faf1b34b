"""A Dask cluster of processes: a scheduler, and workers that a test may kill by their ids."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from distributed import Client, Scheduler, Worker
from processes import PATIENCE, eventually

from dgenfs.names.share import Share

WORKERS = 6
OTHER = "0.0.9"  # version of dgenfs that a stranger has
_DYING_WITH_US = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        address: of its scheduler.
        client: of this process.
        workers: their processes, the stranger's last; one that is killed stays in it.
    """

    address: str
    client: Client
    workers: list[psutil.Process]

    def addresses(self) -> list[str]:
        """Of the workers that there are."""
        return list(self.client.nthreads())

    def process(self, address: str) -> psutil.Process:
        """A worker's process."""
        return psutil.Process(self.client.run(os.getpid, workers=[address])[address])

    @contextmanager
    def stranger(self) -> Iterator[str]:
        """One more worker, with another version of dgenfs; yields its address."""
        before = self.addresses()
        stranger = self.workers.pop()
        stranger.send_signal(signal.SIGUSR1)
        try:
            eventually(lambda: len(self.addresses()) > len(before))
            where = next(one for one in self.addresses() if one not in before)
            yield where
        finally:
            stranger.kill()
        eventually(lambda: where not in self.addresses())


@contextmanager
def dask_cluster(folder: Path, environment: Mapping[str, str]) -> Iterator[Cluster]:
    """Run a scheduler and WORKERS workers of one thread; a folder is for what they need."""
    about = folder / f"dgenfs-{OTHER}.dist-info" / "METADATA"
    about.parent.mkdir()
    about.write_text(f"Metadata-Version: 2.1\nName: dgenfs\nVersion: {OTHER}\n")
    leader = subprocess.Popen(
        [*_DYING_WITH_US, sys.executable, __file__, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            **environment,
            # Two workers that died of a part are enough.
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        },
    )
    workers: list[psutil.Process] = []
    try:
        assert leader.stdout is not None
        said = json.loads(leader.stdout.readline())
        workers += map(psutil.Process, said["workers"])
        with Client(said["address"], set_as_default=False) as client:
            client.wait_for_workers(WORKERS, timeout=60 * PATIENCE)
            yield Cluster(said["address"], client, workers)
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        leader.kill()
        leader.communicate()


def fails(share: Share, progress: Callable[[int], None]) -> int:
    """A part: the second has a mistake, the last ends its worker, once the others are done."""
    progress(share.number)
    if share.number == 2:
        raise ZeroDivisionError("a mistake")
    if share.last:
        time.sleep(0.5)  # Dask counts a death against all parts that the worker was given
        os.kill(os.getpid(), signal.SIGKILL)
    return share.number


def waits(share: Share, progress: Callable[[int], None]) -> int:
    """A part that takes a while."""
    time.sleep(0.1)
    progress(1)
    return share.number


async def _lead(workers: list[int], tell: list[int]) -> None:
    here = "127.0.0.1"
    async with Scheduler(
        host=here, port=0, dashboard=False, dashboard_address=f"{here}:0"
    ) as scheduler:
        for pipe in tell:
            os.write(pipe, f"{scheduler.address}\n".encode())
            os.close(pipe)
        sys.stdout.write(json.dumps({"address": scheduler.address, "workers": workers}) + "\n")
        sys.stdout.flush()
        await scheduler.finished()


async def _work(address: str) -> None:
    async with Worker(address, nthreads=1, dashboard=False, heartbeat_interval="200ms") as worker:
        await worker.finished()


def main() -> None:
    """Fork the workers once all is loaded, which takes longer than all the rest."""
    import dgenfs.distributed  # noqa: F401

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    workers, tell = [], []
    for number in range(WORKERS + 1):
        come, go = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            address = os.read(come, 1000).decode().strip()
            if number == WORKERS:  # the stranger
                signal.sigwait({signal.SIGUSR1})
                sys.path.insert(0, sys.argv[1])
            asyncio.run(_work(address))
            os._exit(0)
        os.close(come)
        workers.append(child)
        tell.append(go)
    asyncio.run(_lead(workers, tell))


if __name__ == "__main__":
    main()
