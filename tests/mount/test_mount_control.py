"""Control files: what they say of a running mount, and how it is retuned."""

import errno
import itertools
import json
import os
import random
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mounting import PLANES, Mount, mounted
from processes import eventually
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

import dgenfs

EXTENT = 64 << 10
BLOCK = 4 << 20
REFUSED = r"WARNING dgenfs.mount.control .*nothing was changed"


@pytest.fixture(scope="module", params=PLANES)
def used(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    options = ["--data-plane", request.param, "--cache", "8M"]
    with mounted(tmp_path_factory.mktemp("control"), "1T", *options, limit=240) as mount:
        yield mount


@pytest.fixture
def mount(used: Mount) -> Mount:
    """With new workers and an empty cache, as if nothing had been done before."""
    write(
        used.path / ".topology",
        json.dumps({"workers_per_node": 2, "cache_bytes": 8 << 20}).encode(),
    )
    return used


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    """For tests of what both planes have in common."""
    with mounted(tmp_path_factory.mktemp("shared"), "1T", "--cache", "8M", limit=120) as mount:
        mount.expected_log.append(REFUSED)
        yield mount


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def read_once(path: Path) -> bytes:
    """By one READ request."""
    with opened(path) as fd:
        return os.pread(fd, 1 << 20, 0)


def write(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        assert os.write(fd, data) == len(data)
    finally:
        os.close(fd)


def settings_of(mount: Mount) -> tuple[int, int]:
    found = mount.topology()
    return found["workers_per_node"], found["cache_bytes"]


def resident(mount: Mount) -> int:
    return sum(int(node["cache"]["resident_bytes"]) for node in mount.topology()["nodes"])


def test_topology(mount: Mount) -> None:
    compiled = "compiled" in mount.process.args  # type: ignore[operator]
    found = mount.topology()
    assert found["block_bytes"] == BLOCK
    assert found["extent_bytes"] == EXTENT
    assert found["cache_bytes"] == 8 << 20
    assert found["memory_nodes"] == []
    assert len(found["nodes"]) >= 1
    cpus = [cpu for node in found["nodes"] for cpu in node["cpus"]]
    assert sorted(cpus) == sorted(os.sched_getaffinity(0))
    with opened(mount.path / "1T") as fd:
        for i in range(64):
            assert len(os.pread(fd, EXTENT, i * EXTENT)) == EXTENT
    # What a worker counts, it counts after its reply.
    eventually(lambda: resident(mount) == 64 * EXTENT)
    found = mount.topology()
    tasks = mount.tasks()
    for node in found["nodes"]:
        assert node["memory_bytes"] > 0
        assert len(node["workers"]) == (found["workers_per_node"] if compiled else 0)
        for worker in node["workers"]:
            assert worker["thread"].startswith(f"dgenfs-node{node['node']}-")
            assert worker["tid"] in tasks
            assert set(worker["cpus"]) <= set(node["cpus"])
        cache = node["cache"]
        assert cache["capacity_bytes"] == 8 << 20
        assert cache["evictions"] == 0
    caches = [node["cache"] for node in found["nodes"]]
    assert sum(cache["misses"] for cache in caches) == 64
    workers = [worker for node in found["nodes"] for worker in node["workers"]]
    if compiled:
        assert sum(worker["bytes"] for worker in workers) == 64 * EXTENT
        assert sum(worker["requests"] for worker in workers) >= 64


def test_retuning_under_load(mount: Mount) -> None:
    """Readers notice nothing; every change is taken at once."""
    name, window = "1T_d3_c1.5", 12 << 20
    content = oracle.parse(name)
    expected = oracle.read(content, 0, 0, window)
    stop = threading.Event()
    reads = [0, 0, 0]
    wrong: list[object] = []

    def reader(number: int) -> None:
        generator = random.Random(number)
        with opened(mount.path / name) as fd:
            while not stop.is_set():
                length = generator.choice([1, 4096, EXTENT, 300_000, 1 << 20])
                at = generator.randrange(window - length)
                try:
                    if os.pread(fd, length, at) != expected[at : at + length]:
                        wrong.append((at, length))
                except OSError as error:
                    wrong.append(error)
                reads[number] += 1

    threads = [threading.Thread(target=reader, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        before = mount.stats()
        for workers, cache in [(1, 0), (3, 4), (2, 64), (8, 4), (1, 4), (5, 0), (2, 8)] * 3:
            progress = list(reads)
            write(
                mount.path / ".topology",
                json.dumps({"workers_per_node": workers, "cache_bytes": cache << 20}).encode(),
            )
            assert settings_of(mount) == (workers, cache << 20)
            after = mount.stats()
            assert after["read_bytes"] >= before["read_bytes"]
            assert after["requests"]["READ"] >= before["requests"].get("READ", 0)
            before = after
            eventually(lambda seen=progress: all(map(int.__gt__, reads, seen)))  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    if "compiled" in mount.process.args:  # type: ignore[operator]
        workers_now = [w for node in mount.topology()["nodes"] for w in node["workers"]]
        assert len(workers_now) == 2 * len(mount.topology()["nodes"])
    assert mount.settled()["read_errors"] == 0


def test_retuning_one_setting_keeps_the_other(mount: Mount) -> None:
    write(mount.path / ".topology", b'{"workers_per_node": 3}')
    assert settings_of(mount) == (3, 8 << 20)
    write(mount.path / ".topology", b' {"cache_bytes": 12582912} \n')
    assert settings_of(mount) == (3, 12 << 20)
    # Whole blocks only.
    write(mount.path / ".topology", b'{"cache_bytes": 4194303}')
    assert settings_of(mount) == (3, 0)


def test_retuning_by_a_shell(mount: Mount) -> None:
    for command, expected in (
        ("echo '{\"cache_bytes\":0}' > .topology", 0),
        ("echo '{\"cache_bytes\":4194304}' >> .topology", 4 << 20),
        ("printf '{\"cache_bytes\":8388608}' | tee .topology", 8 << 20),
        ("echo '{\"cache_bytes\":0}' | dd of=.topology conv=notrunc", 0),
    ):
        subprocess.run(
            command, shell=True, cwd=mount.path, check=True, capture_output=True, timeout=30
        )
        assert settings_of(mount)[1] == expected
    with (mount.path / ".topology").open("w") as file:
        json.dump({"workers_per_node": 1}, file)
    assert settings_of(mount)[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "{",
        "{}",
        "[]",
        "null",
        "3",
        '"workers_per_node"',
        '{"workers_per_node": "3"}',
        '{"workers_per_node": 3.0}',
        '{"workers_per_node": true}',
        '{"workers_per_node": null}',
        '{"workers_per_node": 0}',
        '{"workers_per_node": -1}',
        '{"workers_per_node": 257}',
        '{"workers_per_node": 1e1}',
        '{"workers_per_node": 999999999999999999999999}',
        '{"cache_bytes": -1}',
        '{"cache_bytes": "64M"}',
        '{"cache_bytes": NaN}',
        '{"cache_bytes": 17592186044417}',
        '{"cache_bytes": 1e30}',
        '{"workers": 3}',
        '{"workers_per_node": 3, "colour": 1}',
        '{"workers_per_node": 3, "cache_bytes": -1}',
        '{"workers_per_node": 0, "cache_bytes": 0}',
        '{"nodes": []}',
        '{"workers_per_node": 3} {"workers_per_node": 4}',
        "[" * 2000,
        '{"cache_bytes": ' + "1" * 4000 + "}",
        "\0",
        "\xff\xfe",
    ],
    ids=lambda text: repr(text)[:40],
)
def test_nonsense_changes_nothing(shared: Mount, text: str) -> None:
    before = settings_of(shared)
    tids = [w["tid"] for node in shared.topology()["nodes"] for w in node["workers"]]
    lines = len(re.findall(REFUSED, shared.log))
    path = shared.path / ".topology"
    if text:
        with pytest.raises(OSError, match=r".") as failed:
            write(path, text.encode("latin-1"))
        assert failed.value.errno == errno.EINVAL
        assert len(re.findall(REFUSED, shared.log)) == lines + 1
    else:
        write(path, b"")  # asks nobody
    assert settings_of(shared) == before
    assert tids == [w["tid"] for node in shared.topology()["nodes"] for w in node["workers"]]


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["workers_per_node", "cache_bytes"]) | st.text(max_size=5), inner
            )
        ),
        max_leaves=5,
    )
)
@settings(max_examples=100, deadline=None)
def test_any_other_json_changes_nothing(shared: Mount, value: Any) -> None:
    if isinstance(value, dict) and value and set(value) <= {"workers_per_node", "cache_bytes"}:
        value["none"] = 1
    before = settings_of(shared)
    with pytest.raises(OSError, match=r".") as failed:
        write(shared.path / ".topology", json.dumps(value)[:4000].encode())
    assert failed.value.errno == errno.EINVAL
    assert settings_of(shared) == before


def test_what_cannot_be_written(shared: Mount) -> None:
    for name in (".stats", ".metrics"):
        with pytest.raises(OSError, match=r".") as failed:
            write(shared.path / name, b"{}")
        assert failed.value.errno == errno.EROFS
    with pytest.raises(OSError, match=r".") as failed:
        write(shared.path / ".topology", b" " * 5000 + b'{"workers_per_node": 3}')
    # At most 4 KiB come in one request, and a part says nothing.
    assert failed.value.errno == errno.EINVAL


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
    assert after["requests"]["READ"] - before["requests"]["READ"] == 100 + looks


def test_cache_counters(shared: Mount) -> None:
    def counters() -> dict[str, int]:
        found: dict[str, int] = {}
        for node in stats_of(shared)["cache"].values():
            for name, count in node.items():
                found[name] = found.get(name, 0) + count
        return found

    nodes = len(shared.topology()["nodes"])
    write(shared.path / ".topology", json.dumps({"cache_bytes": 8 << 20}).encode())
    before = counters()
    assert before["resident_bytes"] == 0
    with opened(shared.path / "64M_s5") as fd:
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
