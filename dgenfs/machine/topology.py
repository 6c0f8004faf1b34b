"""NUMA topology of the machine, as far as this process may use it.

Source: Linux Documentation/ABI/stable/sysfs-devices-node and
Documentation/admin-guide/cputopology.rst. CPUs are those of sched_getaffinity(2): only online ones,
and kept by the kernel within the cgroup cpuset (cpuset(7); Documentation/admin-guide/cgroup-v2.rst,
Cpuset), so neither is looked up here.
"""

import logging
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

_NODE = re.compile(r"node([0-9]+)")
_MEMORY = re.compile(r"MemTotal:\s*([0-9]{1,18}) kB")
# Five digits: above any kernel's NR_CPUS, and a corrupt range cannot exhaust the memory.
_CPUS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Node:
    """One NUMA node.

    Attributes:
        index: the kernel's number of it.
        cpus: CPUs of it that are online and that this process may run on, ascending.
        memory_bytes: its memory, 0 if unknown.
    """

    index: int
    cpus: tuple[int, ...]
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The NUMA nodes that this process may use.

    Attributes:
        nodes: nodes with CPUs, at least one, by index.
        memory_nodes: nodes with memory but no CPU to use, such as CXL memory, by index.
    """

    nodes: tuple[Node, ...]
    memory_nodes: tuple[Node, ...] = ()

    @property
    def cpus(self) -> tuple[int, ...]:
        """All CPUs of all nodes, ascending."""
        return tuple(sorted(cpu for node in self.nodes for cpu in node.cpus))


def detect(sysfs: Path = Path("/sys"), affinity: Collection[int] | None = None) -> Topology:
    """Read the topology; nothing in sysfs makes it fail, what is unreadable is logged and left out.

    Args:
        sysfs: where sysfs is mounted.
        affinity: CPUs to use, at least one; None for those of the process's main thread, as the
            calling one may be pinned to fewer.

    Returns:
        The nodes; CPUs that no node lists are in the first. One made-up node 0 with all CPUs where
        sysfs has no nodes, as in some containers.
    """
    usable = usable_cpus() if affinity is None else set(affinity)
    nodes_of_sysfs = sorted(_nodes(sysfs / "devices/system/node"), key=lambda node: node.index)
    nodes: list[Node] = []
    memory_nodes: list[Node] = []
    for node in nodes_of_sysfs:
        cpus = tuple(sorted(usable.intersection(node.cpus)))
        usable.difference_update(cpus)
        (nodes if cpus else memory_nodes).append(Node(node.index, cpus, node.memory_bytes))
    if usable:
        first = (nodes or memory_nodes or [Node(0, (), 0)])[0]
        memory_nodes = [node for node in memory_nodes if node is not first]
        nodes[:1] = [Node(first.index, tuple(sorted((*first.cpus, *usable))), first.memory_bytes)]
    return Topology(tuple(nodes), tuple(node for node in memory_nodes if node.memory_bytes))


def usable_cpus() -> set[int]:
    """Return the CPUs that the process's main thread may run on now."""
    return os.sched_getaffinity(os.getpid())


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read a list of CPUs as sysfs writes it, such as ``0-3,8,10-11``; empty for none.

    Source: Linux Documentation/admin-guide/kernel-parameters.rst, "cpu lists". The groups described
    there (``0-31:2/4``) are for input to the kernel; sysfs never writes them.

    Returns:
        The CPUs, ascending, each once.

    Raises:
        ValueError: a part is neither a number of at most five digits nor an ascending range.
    """
    cpus: set[int] = set()
    text = text.strip()
    for part in text.split(",") if text else ():
        matched = _CPUS.fullmatch(part)
        if not matched or int(matched[2] or matched[1]) < int(matched[1]):
            raise ValueError(
                f"CPU list {text[:80]!r}: {part[:80]!r} is neither a CPU up to 99999 nor an "
                "ascending range: write it as 0-3,8"
            )
        cpus.update(range(int(matched[1]), int(matched[2] or matched[1]) + 1))
    return tuple(sorted(cpus))


def pin_thread(cpus: Collection[int], native_id: int = 0) -> None:
    """Let one thread, not the whole process, run on ``cpus`` only (sched_setaffinity(2)).

    Args:
        cpus: which.
        native_id: the kernel's id of the thread, 0 for the calling one.

    Raises:
        OSError: none of them is online and allowed, or there is no such thread.
    """
    os.sched_setaffinity(native_id, cpus)


def _nodes(folder: Path) -> list[Node]:
    nodes = []
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s: nodes unknown: %s", folder, error)
        return []
    for entry in entries:
        if matched := _NODE.fullmatch(entry.name):
            try:
                cpus = parse_cpu_list((entry / "cpulist").read_text())
            except (OSError, ValueError) as error:
                log.warning("%s: node left out: %s", entry, error)
                continue
            nodes.append(Node(int(matched[1]), cpus, _memory(entry)))
    return nodes


def _memory(node: Path) -> int:
    try:
        matched = _MEMORY.search((node / "meminfo").read_text())
    except (OSError, ValueError) as error:
        log.warning("%s: memory unknown: %s", node, error)
        return 0
    if not matched:
        log.warning("%s: memory unknown: meminfo has no MemTotal in kB", node)
        return 0
    return int(matched[1]) * 1024
