import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgenfs.machine.topology import Node, detect, parse_cpu_list, pin_thread

GIB = 1 << 30


def fixture(root: Path, nodes: Mapping[int, tuple[str, int]]) -> Path:
    """Write a sysfs with the given nodes: CPU list and GiB of memory."""
    folder = root / "devices/system/node"
    folder.mkdir(parents=True)
    for name in ("online", "possible", "has_cpu"):
        (folder / name).write_text("0\n")
    (folder / "power").mkdir()
    for index, (cpus, memory) in nodes.items():
        node = folder / f"node{index}"
        node.mkdir()
        (node / "cpulist").write_text(f"{cpus}\n")
        (node / "meminfo").write_text(
            f"Node {index} MemTotal:       {memory << 20} kB\nNode {index} MemFree: 1 kB\n"
        )
    return root


def test_two_sockets_with_hyperthreads(tmp_path: Path) -> None:
    sysfs = fixture(tmp_path, {0: ("0-27,56-83", 256), 1: ("28-55,84-111", 256)})
    topology = detect(sysfs, range(112))
    assert [node.index for node in topology.nodes] == [0, 1]
    assert topology.nodes[1].cpus == (*range(28, 56), *range(84, 112))
    assert topology.nodes[1].memory_bytes == 256 * GIB
    assert topology.cpus == tuple(range(112))


def test_eight_nodes(tmp_path: Path) -> None:
    nodes = {i: (f"{8 * i}-{8 * i + 7},{64 + 8 * i}-{64 + 8 * i + 7}", 64) for i in range(8)}
    topology = detect(fixture(tmp_path, nodes), range(128))
    assert [len(node.cpus) for node in topology.nodes] == [16] * 8


def test_memory_only_node(tmp_path: Path) -> None:
    topology = detect(fixture(tmp_path, {0: ("0-7", 64), 1: ("8-15", 64), 2: ("", 512)}), range(16))
    assert [node.index for node in topology.nodes] == [0, 1]
    assert topology.memory_nodes == (Node(2, (), 512 * GIB),)


def test_gaps_in_node_numbers_and_ten_after_nine(tmp_path: Path) -> None:
    sysfs = fixture(tmp_path, {8: ("0-1", 1), 0: ("2-3", 1), 17: ("4", 1)})
    assert [node.index for node in detect(sysfs, range(5)).nodes] == [0, 8, 17]


def test_one_cpu_of_one_node(tmp_path: Path) -> None:
    sysfs = fixture(tmp_path, {0: ("0-27,56-83", 256), 1: ("28-55,84-111", 256)})
    topology = detect(sysfs, {84})
    assert topology.nodes == (Node(1, (84,), 256 * GIB),)
    assert topology.cpus == (84,)


def test_offline_cpus_and_affinity(tmp_path: Path) -> None:
    # The affinity never holds an offline CPU; an offline node keeps an empty list.
    sysfs = fixture(tmp_path, {0: ("0-3", 8), 1: ("4-7", 8), 2: ("", 0)})
    topology = detect(sysfs, {5, 6})
    assert topology.nodes == (Node(1, (5, 6), 8 * GIB),)
    assert topology.memory_nodes == (Node(0, (), 8 * GIB),)


def test_no_sysfs(tmp_path: Path) -> None:
    assert detect(tmp_path / "none", {3, 1}).nodes == (Node(0, (1, 3), 0),)


def test_cpus_that_no_node_lists(tmp_path: Path) -> None:
    topology = detect(fixture(tmp_path, {1: ("0-1", 8)}), {0, 1, 9})
    assert topology.nodes == (Node(1, (0, 1, 9), 8 * GIB),)


def test_only_cpus_that_no_node_lists(tmp_path: Path) -> None:
    topology = detect(fixture(tmp_path, {0: ("0-1", 8), 1: ("", 64)}), {9})
    assert topology.nodes == (Node(0, (9,), 8 * GIB),)
    assert topology.memory_nodes == (Node(1, (), 64 * GIB),)


MALFORMED = [
    "garbage",
    "3-1",
    "0,,1",
    "0-3,",
    "0-",
    "-1",
    "0-3:1/2",
    "\0",
    "0-4294967295",
    "9" * 5000,
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_node(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    sysfs = fixture(tmp_path, {0: ("0-1", 8), 1: (text, 8)})
    assert detect(sysfs, range(4)).nodes == (Node(0, (0, 1, 2, 3), 8 * GIB),)
    assert "node1" in caplog.text


def test_node_without_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sysfs = fixture(tmp_path, {0: ("0-1", 8)})
    (sysfs / "devices/system/node/node0/meminfo").unlink()
    assert detect(sysfs, range(2)).nodes == (Node(0, (0, 1), 0),)
    (sysfs / "devices/system/node/node0/cpulist").unlink()
    assert detect(sysfs, range(2)).nodes == (Node(0, (0, 1), 0),)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("text", ["", "MemTotal: many kB", f"MemTotal: {'9' * 5000} kB"])
def test_malformed_memory(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    sysfs = fixture(tmp_path, {0: ("0-1", 8)})
    (sysfs / "devices/system/node/node0/meminfo").write_text(text)
    assert detect(sysfs, range(2)).nodes == (Node(0, (0, 1), 0),)
    assert "memory unknown" in caplog.text


def test_bytes_that_are_no_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sysfs = fixture(tmp_path, {0: ("0-1", 8)})
    for name in ("cpulist", "meminfo"):
        (sysfs / "devices/system/node/node0" / name).write_bytes(b"\xff")
    assert detect(sysfs, range(2)).nodes == (Node(0, (0, 1), 0),)
    assert "node left out" in caplog.text


def test_nodes_unreadable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "devices/system").mkdir(parents=True)
    (tmp_path / "devices/system/node").write_text("not a folder")
    assert detect(tmp_path, range(2)).nodes == (Node(0, (0, 1), 0),)
    assert "nodes unknown" in caplog.text


def test_this_machine() -> None:
    topology = detect()
    assert set(topology.cpus) == os.sched_getaffinity(0)
    assert all(node.cpus for node in topology.nodes)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", ()),
        ("\n", ()),
        ("7", (7,)),
        ("0-3,8,10-11", (0, 1, 2, 3, 8, 10, 11)),
        ("2,0-2", (0, 1, 2)),
    ],
)
def test_cpu_list(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus


@pytest.mark.parametrize(
    ("text", "part"),
    [("0,x-3,9", "'x-3'"), ("0,3-1", "'3-1'"), ("0-3,", "''"), ("0,100000", "'100000'")],
)
def test_cpu_list_names_the_wrong_part(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=f": {part} is neither"):
        parse_cpu_list(text)


@given(st.sets(st.integers(0, 300)))
def test_cpu_list_round_trip(cpus: set[int]) -> None:
    parts = []
    for cpu in sorted(cpus):
        if cpu - 1 not in cpus:
            last = cpu
            while last + 1 in cpus:
                last += 1
            parts.append(f"{cpu}" if last == cpu else f"{cpu}-{last}")
    assert parse_cpu_list(",".join(parts) + "\n") == tuple(sorted(cpus))


def test_pin_thread() -> None:
    cpu = max(os.sched_getaffinity(0))
    found: list[set[int]] = []

    def work() -> None:
        pin_thread([cpu])
        found.append(os.sched_getaffinity(0))

    before = os.sched_getaffinity(0)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [{cpu}]
    assert os.sched_getaffinity(0) == before


def test_a_pinned_thread_does_not_limit_the_process() -> None:
    found: list[tuple[int, ...]] = []

    def work() -> None:
        pin_thread([min(os.sched_getaffinity(0))])
        found.append(detect().cpus)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [tuple(sorted(os.sched_getaffinity(0)))]
