"""A NUMA node with CPUs 0-3 and one of memory only: scripts/kernels runs this."""

import os
from pathlib import Path

import oracle
from mounting import mounted

NAME = "64M_d2_c1.5"
SIZE = 3 << 20


def test_the_node_without_cpus_has_no_workers(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, "--cache=64M") as mount:
        found = mount.topology()
        (node,) = found["nodes"]
        (memory,) = found["memory_nodes"]
        assert (node["node"], node["cpus"], memory["node"]) == (0, [0, 1, 2, 3], 1)
        assert memory["memory_bytes"] > 1 << 30
        for worker in node["workers"]:
            assert worker["cpus"] == [0, 1, 2, 3]
            assert os.sched_getaffinity(worker["tid"]) == {0, 1, 2, 3}
        with (mount.path / NAME).open("rb") as file:
            assert file.read(SIZE) == oracle.read(oracle.parse(NAME), 0, 0, SIZE)
