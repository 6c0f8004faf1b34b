""".topology: what it says, and how a mount is retuned by it."""

import errno
import json
import os
import random
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import oracle
import pytest
from control_files import settings_of, write
from hypothesis import given, settings
from hypothesis import strategies as st
from mounting import Mount, mounted
from processes import eventually
from reading import opened

from dgenfs.machine.caches import last_level_share
from dgenfs.mount.workers import DEFAULT_CACHE

EXTENT = 64 << 10
BLOCK = 4 << 20
REFUSED = r"(?:WARNING|INFO) dgenfs.mount.control .*nothing was changed"


@pytest.fixture(scope="module")
def shared(shared: Mount) -> Mount:
    """Its log tells of each setting that is refused."""
    shared.expected_log.append(REFUSED)
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        write(shared.path / ".topology", b"nonsense")  # whichever tests run
    return shared


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
        read_extents(fd)
        # What is asked for once is not kept, and not looked up where nothing is kept.
        if compiled:
            eventually(lambda: of_workers(mount.topology(), "bytes") == 64 * EXTENT)
        assert (resident(mount), counted(mount, "misses")) == (0, 0)
        before = mount.topology()
        read_extents(fd)
    # What a worker counts, it counts after its reply.
    eventually(lambda: resident(mount) == 64 * EXTENT)
    found = mount.topology()
    tasks = mount.tasks()
    for node in found["nodes"]:
        assert node["memory_bytes"] > 0
        assert len(node["workers"]) == (found["workers_per_node"] if compiled else 0)
        for worker in node["workers"]:
            assert worker["thread"].startswith(f"dgenfs-{node['node']}-")
            assert worker["tid"] in tasks
            assert set(worker["cpus"]) == os.sched_getaffinity(worker["tid"])
            comm = Path(f"/proc/{mount.pid}/task/{worker['tid']}/comm").read_text()
            assert comm.strip() == worker["thread"]
        cache = node["cache"]
        assert cache["capacity_bytes"] == 8 << 20
        assert cache["evictions"] == 0
    assert counted(mount, "misses") == 64
    if compiled:
        assert of_workers(found, "bytes") - of_workers(before, "bytes") == 64 * EXTENT
        assert of_workers(found, "requests") - of_workers(before, "requests") >= 64


def test_processor_time_of_workers(shared: Mount) -> None:
    """In clock ticks, as the kernel counts it."""
    with opened(shared.path / "1T") as fd:

        def have_worked() -> bool:
            read_extents(fd)
            return of_workers(shared.topology(), "cpu_seconds") > 0.01

        eventually(have_worked)


def read_extents(fd: int) -> None:
    """Read one block in pieces of an extent."""
    for i in range(64):
        assert len(os.pread(fd, EXTENT, i * EXTENT)) == EXTENT


def counted(mount: Mount, name: str) -> int:
    """A counter of all caches together."""
    return sum(node["cache"][name] for node in mount.topology()["nodes"])


def of_workers(topology: dict[str, Any], name: str) -> float:
    """A number of all workers together."""
    return float(sum(worker[name] for node in topology["nodes"] for worker in node["workers"]))


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
    "command",
    [
        'bash -c "echo \\$\'{\\n\\"cache_bytes\\":\\n4194304}\'" > .topology',
        "{ printf '{\"cache_'; printf 'bytes\": 41'; printf '94304'; echo '}'; } > .topology",
        "(/bin/echo '{\"cache_bytes\"'; /bin/echo ': 4194304}'; /bin/echo) > .topology",
        "echo '{\"cache_bytes\": 4194304}' | dd of=.topology bs=4 conv=notrunc",
        "echo '{\"cache_bytes\": 4194304}' | dd of=.topology bs=1 oflag=append conv=notrunc",
        "printf '{\\n  \"cache_bytes\": 4194304\\n}\\n' | tee .topology",
        'echo \'{"cache_bytes": 8388608}\n{"cache_bytes": 4194304}\' | dd of=.topology bs=8',
        "echo '{\"cache_bytes\": 4194304}' | busybox tee .topology",
        'cat .topology > /dev/shm/$$; sed \'s/"cache_bytes": 8388608/"cache_bytes": 4194304/\''
        " /dev/shm/$$ > .topology; rm /dev/shm/$$",
    ],
)
def test_retuning_piece_by_piece(mount: Mount, command: str) -> None:
    """As shells and their commands write, whatever they do with the descriptor meanwhile."""
    before = settings_of(mount)
    assert before[1] == 8 << 20
    subprocess.run(command, shell=True, cwd=mount.path, check=True, timeout=30)
    assert settings_of(mount) == (before[0], 4 << 20)


def test_what_is_shown_can_be_written_back(mount: Mount) -> None:
    """Also when other settings were made in between, and with the largest number of workers."""
    path = mount.path / ".topology"
    before = settings_of(mount)
    shown = path.read_bytes()
    write(path, b'{"workers_per_node": 256, "cache_bytes": 0}')
    many = path.read_bytes()
    assert len(many) == path.stat().st_size
    if "compiled" in mount.process.args:  # type: ignore[operator]
        assert len(many) > 16 << 10
    write(path, shown)
    assert settings_of(mount) == before
    write(path, many)
    assert settings_of(mount) == (256, 0)
    write(path, shown)


def test_what_cannot_be_set_is_named(shared: Mount) -> None:
    for name, value in (("block_bytes", 8192), ("nodes", []), ("memory_nodes", [{"node": 7}])):
        found = shared.topology()
        found[name] = value
        with pytest.raises(OSError, match=r".") as failed:
            write(shared.path / ".topology", json.dumps(found).encode())
        assert failed.value.errno == errno.EINVAL
        assert f".topology: {name} cannot be set: use workers_per_node or cache_bytes" in shared.log


def test_a_string_without_an_end_costs_little(shared: Mount) -> None:
    """Half a MiB of it, while others are answered."""
    started = time.monotonic()
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        write(shared.path / ".topology", b'{"' + b'\\"' * 2047, times=128)
    assert time.monotonic() - started < 60  # it took hours


def test_a_part_is_refused_at_close_and_may_go_on(shared: Mount) -> None:
    before = settings_of(shared)
    fd = os.open(shared.path / ".topology", os.O_WRONLY)
    try:
        os.write(fd, b'{"workers_per_node"')
        for _ in range(2):
            with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
                os.close(os.dup(fd))
        assert settings_of(shared) == before
        os.write(fd, b": 3}")
        assert settings_of(shared)[0] == 3
        os.close(os.dup(fd))
    finally:
        os.close(fd)


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
        '{"block_bytes": 8192}',
        '{"workers_per_node": 3, "block_bytes": 8192}',
        '{"workers_per_node": 3',
        '{"workers_per_node": "}',
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
        write(shared.path / ".topology", b"{" * 4096, times=257)
    assert failed.value.errno == errno.EFBIG


def test_the_default_cache_is_half_the_share_of_the_last_level(tmp_path: Path) -> None:
    with mounted(tmp_path, "1T") as mount:
        found = mount.topology()
        shares = [last_level_share(node["cpus"]) for node in found["nodes"]]
        size = min(shares) // 2 or DEFAULT_CACHE
        assert found["cache_bytes"] == size // BLOCK * BLOCK
