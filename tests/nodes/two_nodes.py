"""Two NUMA nodes with CPUs 0-1 and 2-3, one of which comes and goes: scripts/kernels runs this.

It takes CPUs away from the machine and changes its control groups.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import oracle
from control_files import write
from mounting import RETUNED, Mount, mounted
from processes import eventually, run

NAME = "64M_d2_c1.5"
NODES = {0: {0, 1}, 1: {2, 3}}
SIZE = 3 << 20


def right(mount: Mount) -> None:
    with (mount.path / NAME).open("rb") as file:
        assert file.read(SIZE) == oracle.read(oracle.parse(NAME), 0, 0, SIZE)


def nodes_of(mount: Mount) -> dict[int, set[int]]:
    return {node["node"]: set(node["cpus"]) for node in mount.topology()["nodes"]}


def affinities(mount: Mount) -> dict[int, set[int]]:
    """CPUs of each node's workers, all the same, by the kernel."""
    found: dict[int, set[int]] = {}
    for node in mount.topology()["nodes"]:
        cpus = {frozenset(os.sched_getaffinity(worker["tid"])) for worker in node["workers"]}
        found[node["node"]] = set(cpus.pop()) if len(cpus) == 1 else set()
    return found


def workers_of(mount: Mount) -> list[dict[str, Any]]:
    return [worker for node in mount.topology()["nodes"] for worker in node["workers"]]


def switch(cpus: set[int], state: str) -> None:
    for cpu in cpus:
        Path(f"/sys/devices/system/cpu/cpu{cpu}/online").write_text(state)


@contextmanager
def one_node() -> Iterator[None]:
    switch(NODES[1], "0")
    try:
        yield
    finally:
        switch(NODES[1], "1")


def test_workers_are_pinned_and_named(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, "--cache=64M") as mount:
        assert mount.topology()["memory_nodes"] == []
        assert nodes_of(mount) == NODES
        eventually(lambda: affinities(mount) == NODES)
        for worker in workers_of(mount):
            assert set(worker["cpus"]) == os.sched_getaffinity(worker["tid"])
            comm = Path(f"/proc/{mount.pid}/task/{worker['tid']}/comm").read_text().strip()
            assert comm == worker["thread"]
        right(mount)


def test_a_node_that_comes_back(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, "--cache=64M", *RETUNED) as mount:
        eventually(lambda: affinities(mount) == NODES)
        with one_node():
            eventually(lambda: nodes_of(mount) == {0: {0, 1}, 1: set()})
            assert mount.topology()["memory_nodes"] == []
            assert all(set(worker["cpus"]) == {0, 1} for worker in workers_of(mount))
            right(mount)
            write(mount.path / ".topology", b'{"workers_per_node": 2}')
            right(mount)
        eventually(lambda: (nodes_of(mount), affinities(mount)) == (NODES, NODES))
        assert len(workers_of(mount)) == 4
        right(mount)


def test_a_node_that_is_not_there_at_the_mount(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with one_node():
            options = ("--cache=64M", "--workers-per-node=2")
            mount = stack.enter_context(mounted(tmp_path, NAME, *options))
            assert nodes_of(mount) == {0: NODES[0]}
        eventually(lambda: (nodes_of(mount), affinities(mount)) == (NODES, NODES))
        assert len(workers_of(mount)) == 4
        assert list(mount.stats()["cache"]) == ["0", "1"]
        right(mount)


def test_a_cpuset_that_changes(tmp_path: Path) -> None:
    groups = tmp_path / "groups"
    groups.mkdir()
    run("mount", "-t", "cgroup2", "none", groups)
    try:
        (groups / "cgroup.subtree_control").write_text("+cpuset")
        group = groups / "dgenfs"
        group.mkdir()
        with mounted(tmp_path / "mount", NAME) as mount:
            eventually(lambda: affinities(mount) == NODES)
            (group / "cpuset.cpus").write_text("0-3")
            (group / "cgroup.procs").write_text(str(mount.pid))
            eventually(lambda: affinities(mount) == NODES)
            (group / "cpuset.cpus").write_text("0,2")
            eventually(lambda: affinities(mount) == nodes_of(mount) == {0: {0}, 1: {2}})
            right(mount)
            (group / "cpuset.cpus").write_text("0-3")
            eventually(lambda: affinities(mount) == nodes_of(mount) == NODES)
            right(mount)
    finally:
        run("umount", "-l", groups)
