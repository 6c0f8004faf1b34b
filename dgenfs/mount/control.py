"""The control files of the root, which are not listed and so not copied."""

import dataclasses
import errno
import json
import logging
from collections.abc import Callable
from typing import Any, Protocol

import psutil
import pyfuse3
import trio

from dgenfs.kernels import counters
from dgenfs.kernels.cache import BLOCK, EXTENT
from dgenfs.mount.metrics import cache_stats
from dgenfs.mount.workers import Workers
from dgenfs.names.grammar import TOPOLOGY

log = logging.getLogger(__name__)

_SETTINGS = ("workers_per_node", "cache_bytes")
_MEASURED = ("workers", "cache")  # of a node


class ControlFile(Protocol):
    """A file that says or sets something of the running mount.

    Attributes:
        name: in the root.
        mode: permission bits.
    """

    name: bytes
    mode: int

    def read(self) -> bytes:
        """Return the content, taken at open."""

    async def write(self, data: bytes) -> None:
        """Take what was written; FUSEError if it is nothing to take."""

    def refuse(self, data: bytes) -> None:
        """Say that what was written ended before it was whole."""


class ReportFile:
    """A file that only says something."""

    mode = 0o444

    def __init__(self, name: bytes, report: Callable[[], bytes]) -> None:
        """Show what ``report`` returns."""
        self.name = name
        self._report = report

    def read(self) -> bytes:
        """Return the report."""
        return self._report()

    async def write(self, _data: bytes) -> None:
        """Refuse."""
        raise pyfuse3.FUSEError(errno.EROFS)

    def refuse(self, data: bytes) -> None:
        """Say nothing: what was written was refused at once."""


class TopologyFile:
    """NUMA nodes, their workers and caches; takes new settings."""

    name = TOPOLOGY.encode()
    mode = 0o600

    def __init__(self, workers: Workers) -> None:
        """Show and retune ``workers``."""
        self._workers = workers
        self._retuning = trio.Lock()

    def read(self) -> bytes:
        """Return JSON."""
        workers = self._workers
        seconds = _cpu_seconds()
        nodes = [
            {
                "node": of.node.index,
                "cpus": of.node.cpus,
                "memory_bytes": of.node.memory_bytes,
                "cache": dataclasses.asdict(cache_stats(of.cache)),
                "workers": [
                    {
                        "thread": worker.name,
                        "tid": worker.native_id,
                        "cpus": worker.cpus,
                        "cpu_seconds": seconds.get(worker.native_id),
                        "requests": int(worker.counters[: counters.OPCODES].sum()),
                        "bytes": int(worker.counters[counters.BYTES]),
                    }
                    for worker in of.workers
                ],
            }
            for of in workers.nodes
        ]
        return as_json(
            {
                "workers_per_node": workers.workers_per_node,
                "cache_bytes": workers.cache_bytes,
                "block_bytes": BLOCK,
                "extent_bytes": EXTENT,
                "nodes": nodes,
                "memory_nodes": [
                    {"node": node.index, "memory_bytes": node.memory_bytes}
                    for node in workers.topology.memory_nodes
                    if node.index not in {of.node.index for of in workers.nodes}
                ],
            }
        )

    async def write(self, data: bytes) -> None:
        """Retune; EINVAL and a line in the log for anything that is not wholly understood."""
        try:
            settings = _settings(data, json.loads(self.read()))
            async with self._retuning:
                # In a thread: workers may be waiting for this one to take their requests.
                await trio.to_thread.run_sync(lambda: self._workers.retune(**settings))
        except (ValueError, RecursionError, MemoryError, OSError) as error:
            log.warning(".topology: %s: nothing was changed", error)
            raise pyfuse3.FUSEError(errno.EINVAL) from error
        log.info(".topology: %s", settings)

    def refuse(self, data: bytes) -> None:
        """Say so in the log."""
        log.info(".topology: %r ends before its object does: nothing was changed", data[:80])


def _cpu_seconds() -> dict[int | None, float]:
    """Return the processor time of each thread of this process, by its id."""
    try:
        threads = psutil.Process().threads()
    except (OSError, psutil.Error) as error:
        log.debug("processor times unknown: %s", error)
        return {}
    return {one.id: one.user_time + one.system_time for one in threads}


def _settings(data: bytes, shown: dict[str, Any]) -> dict[str, int | None]:
    """Return what is to be set; all else must be as it is shown, but for what is measured."""
    values = json.loads(data)
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{data[:80]!r} is no JSON object with {' or '.join(_SETTINGS)}")
    for name, value in values.items():
        if name in _SETTINGS:
            if type(value) is not int:
                raise ValueError(f"{name} {value!r}: must be a whole number")
        elif name not in shown:
            raise ValueError(f"{name!r} is no setting: use {' or '.join(_SETTINGS)}")
        elif _lasting(value) != _lasting(shown[name]):
            raise ValueError(f"{name} cannot be set: use {' or '.join(_SETTINGS)}")
    return {name: values.get(name) for name in _SETTINGS}


def _lasting(value: Any) -> Any:
    """Return what is shown without what changes by itself and with the settings."""
    if isinstance(value, list):
        return [_lasting(one) for one in value]
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if name not in _MEASURED}
    return value


def as_json(value: Any) -> bytes:
    """Return what json.dumps takes as a control file's content."""
    return json.dumps(value, indent=2).encode() + b"\n"
