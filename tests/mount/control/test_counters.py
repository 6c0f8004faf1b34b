"""What .stats and .metrics count, and that looking at them disturbs nothing."""

import itertools
import json
import os
import re
import subprocess
import threading
from typing import Any

import oracle
import pytest
from control_files import read_once, write
from mounting import Mount
from processes import eventually
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from reading import opened

import dgenfs

EXTENT = 64 << 10
BLOCK = 4 << 20


def test_a_snapshot_stays_while_it_is_read(shared: Mount) -> None:
    with opened(shared.path / ".stats") as fd:
        first = os.pread(fd, 1 << 20, 0)
        shared.stats()
        assert os.pread(fd, 1 << 20, 0) == first
        assert os.pread(fd, 10, 5) == first[5:15]
        assert os.pread(fd, 10, len(first)) == b""
        assert b"".join(iter(lambda: os.read(fd, 7), b"")) == first


def delta(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    found = {name: after.get(name, 0) - before.get(name, 0) for name in {**after, **before}}
    return {name: count for name, count in found.items() if count}


def stats_of(mount: Mount) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(read_once(mount.path / ".stats"))
    return found


def test_counters_count_what_was_done(mount: Mount) -> None:
    # What looking at them costs.
    mount.settled()
    idle = [stats_of(mount) for _ in range(2)]
    eventually(lambda: bool(stats_of(mount)["open_handles"] == 0))
    own = delta(idle[1]["requests"], idle[0]["requests"])
    assert own["OPEN"] == own["READ"] == 1

    path = mount.path / "1T"
    path.stat()
    before = mount.settled()
    with opened(path) as fd:
        for i in range(10):
            os.pread(fd, EXTENT, i * EXTENT)
        for i in range(3):
            os.pread(fd, BLOCK // 8, i * BLOCK)
        assert os.pread(fd, 10, 2**41) == b""
        stats = stats_of(mount)
        assert stats["open_handles"] == 1
    for name in ("user.dgenfs.key", "user.dgenfs.name"):
        os.getxattr(path, name)
    with pytest.raises(OSError, match=r"."):
        (mount.path / "new").mkdir()
    after = mount.settled()
    done = delta(after["requests"], before["requests"])
    assert after["read_bytes"] - before["read_bytes"] == 10 * EXTENT + 3 * BLOCK // 8
    assert done["GETXATTR"] == 2
    assert done["MKDIR"] == 1
    # One of ours, the rest of .stats.
    looks = done["OPEN"] - 1
    assert done["RELEASE"] in (looks, looks + 1)
    latency = sum(after["read_latency_us"].values()) - sum(before["read_latency_us"].values())
    assert 13 <= latency <= 14  # the kernel need not ask for what is past the end
    assert done["READ"] >= latency + looks
    assert after["read_seconds"] > before["read_seconds"]
    assert (after["read_errors"], after["refused_replies"]) == (0, 0)
    assert after["uptime_seconds"] >= before["uptime_seconds"]
    assert after["version"] == dgenfs.__version__


def test_latencies_sum_to_reads_of_data_files(shared: Mount) -> None:
    before = stats_of(shared)
    with opened(shared.path / "1T") as fd:
        for i in range(100):
            os.pread(fd, 4096, i * 4096)

    def latencies(stats: dict[str, Any]) -> int:
        counts = stats["read_latency_us"].values(), before["read_latency_us"].values()
        return int(sum(counts[0]) - sum(counts[1]))

    looks = 1
    while latencies(after := stats_of(shared)) < 100:
        looks += 1
        assert looks < 1000
    assert latencies(after) == 100
    assert after["requests"]["READ"] - before["requests"].get("READ", 0) == 100 + looks


def test_cache_counters(shared: Mount) -> None:
    def counters() -> dict[str, int]:
        found: dict[str, int] = {}
        for node in stats_of(shared)["cache"].values():
            for name, count in node.items():
                found[name] = found.get(name, 0) + count
        return found

    nodes = len(shared.topology()["nodes"])
    write(shared.path / ".topology", json.dumps({"cache_bytes": 8 << 20}).encode())
    assert counters()["resident_bytes"] == 0
    with opened(shared.path / "64M_s5") as fd:
        os.pread(fd, EXTENT, 0)  # once: nothing is kept
        before = counters()
        assert before["resident_bytes"] == 0
        os.pread(fd, EXTENT, 0)
        changed = {"misses": 1, "resident_bytes": EXTENT}
        eventually(lambda: delta(counters(), before) == changed)
        if nodes == 1:
            os.pread(fd, EXTENT, 0)
            os.pread(fd, 100, 5)
            changed["hits"] = 2
            eventually(lambda: delta(counters(), before) == changed)
        for i in range(1, 10):
            os.pread(fd, EXTENT, i * BLOCK)

            def kept(block: int = i) -> bool:
                # More than once: a worker may hold a slot for a moment after its reply.
                os.pread(fd, EXTENT, block * BLOCK)
                return nodes > 1 or counters()["evictions"] == block - 1

            eventually(kept)
    found = counters()
    assert found["capacity_bytes"] == nodes * (8 << 20)
    assert found["resident_bytes"] <= found["capacity_bytes"]
    if nodes == 1:
        assert found["evictions"] == 8


def families(data: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(data.decode())}


def test_metrics_equal_stats(shared: Mount) -> None:
    with opened(shared.path / "1T_d2") as fd:
        for i in range(50):
            os.pread(fd, 5000 * i, 777 * i)
    os.getxattr(shared.path / "1T", "user.dgenfs.key")
    eventually(lambda: bool(stats_of(shared)["open_handles"] == 0))
    stats = stats_of(shared)
    found = families(read_once(shared.path / ".metrics"))
    again = stats_of(shared)

    def value(name: str, **labels: str) -> float:
        family = re.sub("_(total|sum|count|bucket)$", "", name)
        (sample,) = (
            s
            for s in found[family].samples
            if s.name == name and s.labels.items() >= labels.items()
        )
        return float(sample.value)

    assert value("dgenfs_read_bytes_total") == stats["read_bytes"]
    assert value("dgenfs_read_errors_total") == stats["read_errors"]
    assert value("dgenfs_refused_replies_total") == stats["refused_replies"]
    assert stats["uptime_seconds"] <= value("dgenfs_uptime_seconds") <= again["uptime_seconds"]
    for opcode, count in stats["requests"].items():
        counted = value("dgenfs_requests_total", opcode=opcode.lower())
        assert count <= counted <= again["requests"][opcode]
    for node, counters in stats["cache"].items():
        for name, count in counters.items():
            suffix = "" if name.endswith("bytes") else "_total"
            assert value(f"dgenfs_cache_{name}{suffix}", node=node) == count
    latency = stats["read_latency_us"]
    name = "dgenfs_read_latency_seconds"
    assert value(f"{name}_count") == sum(latency.values())
    assert value(f"{name}_sum") == pytest.approx(stats["read_seconds"])
    buckets = [s.value for s in found[name].samples if s.name == f"{name}_bucket"]
    assert buckets == list(itertools.accumulate(latency.values()))
    for family in found.values():
        assert family.documentation


def test_looking_does_not_disturb(mount: Mount) -> None:
    """Every look is whole while data is read, and all of the data is right."""
    content = oracle.parse("1T_c2")
    expected = oracle.read(content, 0, 0, 8 << 20)
    stop = threading.Event()
    wrong: list[object] = []

    def look(name: str) -> None:
        while not stop.is_set():
            try:
                data = (mount.path / name).read_bytes()
                families(data) if name == ".metrics" else json.loads(data)
            except Exception as error:  # collected, as a thread has nobody to raise it to
                wrong.append(error)
                return

    threads = [
        threading.Thread(target=look, args=(name,)) for name in (".stats", ".metrics", ".topology")
    ]
    for thread in threads:
        thread.start()
    try:
        with opened(mount.path / "1T_c2") as fd:
            for turn in range(300):
                at = turn * 54321 % (7 << 20)
                assert os.pread(fd, 200_000, at) == expected[at : at + 200_000]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_shown_in_one_read_and_listed_nowhere(shared: Mount) -> None:
    assert [path.name for path in shared.path.iterdir()] == ["1T"]
    for name in (".topology", ".stats", ".metrics"):
        done = subprocess.run(
            ["cat", shared.path / name], capture_output=True, check=True, timeout=30
        )
        assert done.stdout.endswith(b"\n")
        assert len(done.stdout) > 100
