"""Clusters of Dask: connected to, or started on this host."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from dgenfs.machine.libraries import MissingLibraryError

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"  # instead of an address: workers on this host, for as long as the command runs


@contextmanager
def connected(address: str) -> "Iterator[Client]":
    """Yield a client of a cluster; what the client asked for ends with it.

    The log of Dask is silenced, as it shows a traceback for what is reported anyway.

    Args:
        address: of its scheduler, such as ``tcp://host:8786``, or LOCAL for a cluster of processes
            that only this process can talk to.

    Raises:
        MissingLibraryError: the ``dask`` extra is not installed.
        ValueError: it is no address.
        OSError: nobody answers there.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        text = "--dask needs distributed, which is not installed: pip install 'dgenfs[dask]'"
        raise MissingLibraryError(text) from error
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address != LOCAL:
        if "://" not in address:
            rule = f"is neither {LOCAL} nor an address such as tcp://scheduler:8786"
            raise ValueError(f"--dask {address}: {rule}")
        with Client(address, set_as_default=False) as client:
            yield client
        return
    resource_tracker.ensure_running()  # which would undo the mask
    # What a terminal sends to all its processes is for us: threads inherit this, and so do workers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        cluster = LocalCluster(
            security=True,  # with a certificate, as whoever reaches a scheduler runs what they like
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client
