"""How data files are opened: by their size past the page cache, through it, or stored in it."""

import ctypes
import json
import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import kernel_offer
import oracle
import pytest
from control_files import read_once, write
from life.faults import with_fault
from mounting import DGENFS, PLANES, RETUNED, THROUGH_THE_PAGE_CACHE, Mount, mounted
from privileges import as_root
from processes import eventually
from reading import clients, mapped_privately, memmap, opened

from dgenfs.mount.mountpoint import mounted_at
from dgenfs.mount.opening import SMALL
from dgenfs.mount.session import READ_AHEAD_KIB

PAGE = mmap.PAGESIZE
SIZES = [0, 1, PAGE - 1, PAGE, PAGE + 1, 70_001]
SIZES += [limit + i for limit in (SMALL, 1 << 20) for i in (-1, 0, 1)]
WITHOUT = "auto, without shared mappings in direct I/O"
MODES = ["auto", "direct", "cached", WITHOUT]


@pytest.fixture(scope="module", params=MODES)
def mount(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    io_mode, _, without = request.param.partition(",")
    command = with_fault("no_direct_mmap") if without else (DGENFS,)
    log = [THROUGH_THE_PAGE_CACHE] if without else []
    with mounted(
        tmp_path_factory.mktemp("opening"),
        *("--io", io_mode),
        command=command,
        expected_log=log,
        limit=200,
    ) as mount:
        yield mount


@pytest.fixture
def io_mode(request: pytest.FixtureRequest) -> str:
    """Of ``mount``, as this kernel opens large files with it."""
    mode: str = request.node.callspec.params["mount"]
    return WITHOUT if mode == "auto" and not kernel_offer.direct_mmap() else mode


@pytest.fixture(scope="module")
def auto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("opening"), limit=200) as mount:
        yield mount


def wanted(name: str, file: int = 0) -> bytes:
    content = oracle.parse(name)
    return oracle.read(content, file, 0, content.size)


def settled(mount: Mount) -> dict[str, Any]:
    """Statistics once all files are released, without a look at the attributes of .stats."""
    found: dict[str, Any] = {}

    def is_settled() -> bool:
        found.update(json.loads(read_once(mount.path / ".stats")))
        return bool(found["open_handles"] == 0)

    eventually(is_settled)
    return found


def asked(mount: Mount, path: Path, flags: int = 0) -> dict[str, int]:
    """Open a file, look at it, read it and close it; what the kernel asked for."""
    settled(mount)
    first, before = (json.loads(read_once(mount.path / ".stats")) for _ in range(2))
    with opened(path, flags) as fd:
        size = os.fstat(fd).st_size
        assert os.preadv(fd, [mmap.mmap(-1, size + PAGE)], 0) == size
    after = json.loads(read_once(mount.path / ".stats"))
    signed = ((1, after), (-2, before), (1, first))
    # Less the look at .stats, whose name and attributes are asked for each time.
    found = {
        name: sum(sign * stats["requests"].get(name, 0) for sign, stats in signed)
        for name in ("LOOKUP", "GETATTR")
    }
    # Not .stats, whose reads are among the requests too.
    reads = [sum(stats["read_latency_us"].values()) for stats in (before, after)]
    return {**found, "READ": reads[1] - reads[0]}


def resident(fd: int, size: int) -> int:
    """Pages of an open file in the kernel's page cache (mincore(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    flags = ctypes.create_string_buffer(-(-size // PAGE))
    # Private and writable, as ctypes takes the address of nothing else; nothing is touched.
    with mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as area:
        place = ctypes.c_char.from_buffer(area)
        assert libc.mincore(ctypes.addressof(place), size, flags) == 0
        del place
    return sum(flag & 1 for flag in flags.raw)


@pytest.mark.parametrize("size", SIZES)
def test_bytes_on_both_sides_of_each_limit(mount: Mount, io_mode: str, size: int) -> None:
    for name, file in ((f"{size}B_d2_c1.5", 0), (f"3x{size}B_d2_c2_s7", 2)):
        content = wanted(name, file)
        path = mount.path / name / f"{file:06}.bin" if "x" in name else mount.path / name
        assert path.stat().st_size == size
        for read in clients(io_mode):
            for offset, length in ((0, size + 100), (size // 2, 5000), (max(0, size - 9), 9)):
                assert read(path, offset, length) == content[offset : offset + length], read
        done = subprocess.run(["cat", path], capture_output=True, check=True, timeout=20)
        assert done.stdout == content


def test_what_is_asked_for(auto: Mount) -> None:
    tree = auto.path / "50x64K_s1"
    list(tree.iterdir())
    assert asked(auto, tree / "000001.bin") == {"LOOKUP": 0, "GETATTR": 0, "READ": 0}
    # Around the page cache it is read like any other.
    direct = {"LOOKUP": 0, "GETATTR": 0, "READ": 1}
    assert asked(auto, tree / "000002.bin", os.O_DIRECT) == direct
    # Its attributes went with what was kept of it, and come back with one request.
    assert asked(auto, tree / "000001.bin") == {"LOOKUP": 0, "GETATTR": 1, "READ": 0}
    assert asked(auto, auto.path / f"{SMALL}B") == {"LOOKUP": 1, "GETATTR": 0, "READ": 0}
    large = asked(auto, auto.path / f"{SMALL + 1}B")
    assert (large["LOOKUP"], large["GETATTR"]) == (1, 0)
    # One where it is direct; else the kernel reads ahead as it likes.
    assert large["READ"] == 1 if kernel_offer.direct_mmap() else large["READ"] >= 1
    stored = auto.stats()["stored_bytes"]
    with opened(tree / "000003.bin"):
        assert auto.stats()["stored_bytes"] - stored == 64 << 10


def test_nothing_is_kept_of_a_closed_file(mount: Mount, io_mode: str) -> None:
    for size in (1, 5000, 100_000, SMALL - 1, SMALL, SMALL + 1, 1 << 20):
        path = mount.path / f"{size}B_s5"
        in_page_cache = io_mode == "cached" or (io_mode == WITHOUT and size > SMALL)
        with opened(path) as fd:
            os.pread(fd, size, 0)
            kept = in_page_cache or (io_mode != "direct" and size <= SMALL)
            assert resident(fd, size) == (-(-size // PAGE) if kept else 0), size
        mount.settled()
        with opened(path, os.O_DIRECT) as fd:
            assert (resident(fd, size) > 0) == in_page_cache, size


@pytest.mark.parametrize("plane", PLANES)
def test_shared_mappings_on_a_kernel_without_them_in_direct_io(tmp_path: Path, plane: str) -> None:
    """Files are read through the page cache, unless past it was asked for."""
    name = "300K_d2_c1.5_s8"
    without = with_fault("no_direct_mmap")
    options = ("--data-plane", plane)
    with mounted(
        tmp_path / "auto", *options, command=without, expected_log=[THROUGH_THE_PAGE_CACHE]
    ) as mount:
        for size in (SMALL, SMALL + 1, 300 << 10):
            assert memmap(mount.path / name, 0, size) == wanted(name)[:size]
        assert len(re.findall(THROUGH_THE_PAGE_CACHE, mount.log)) == 1
        assert read_ahead(mount) == READ_AHEAD_KIB
    with mounted(tmp_path / "direct", *options, "--io=direct", command=without) as mount:
        with pytest.raises(OSError, match=r"No such device"):
            memmap(mount.path / name, 0, 1)
        assert mapped_privately(mount.path / name, 0, 300 << 10) == wanted(name)
        with opened(mount.path / name) as fd:
            os.pread(fd, 300 << 10, 0)
            assert resident(fd, 300 << 10) == 0
        assert read_ahead(mount) != READ_AHEAD_KIB


def read_ahead(mount: Mount) -> int:
    found = mounted_at(mount.path)
    assert found is not None
    return int(Path(f"/sys/class/bdi/{found.device}/read_ahead_kb").read_text())


def test_a_file_that_others_have_open_is_not_dropped(auto: Mount) -> None:
    name = "100K_s6"
    content = wanted(name)
    with opened(auto.path / name) as first, mmap.mmap(first, 0, prot=mmap.PROT_READ) as area:
        for _ in range(5):
            with opened(auto.path / name) as second:
                assert os.pread(second, 200_000, 0) == content
            assert resident(first, len(content)) == 25
            assert area[:] == content
    os.posix_fadvise(third := os.open(auto.path / name, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
    assert os.pread(third, 200_000, 0) == content
    os.close(third)


def test_the_end_of_a_page_is_clear(auto: Mount) -> None:
    """What is mapped behind the end of a file that was stored is not another's memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    for seed in range(100):
        name = f"5000B_s{seed}"
        with opened(auto.path / name) as fd:
            place = libc.mmap(None, 2 * PAGE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
            assert ctypes.string_at(place, 2 * PAGE) == wanted(name) + bytes(2 * PAGE - 5000)
            assert libc.munmap(place, 2 * PAGE) == 0


READER = """
import os, random, sys, time
tree, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
chosen = random.Random(seed)
wanted = {}
end = time.monotonic() + seconds
while time.monotonic() < end:
    file = chosen.randrange(4)
    fd = os.open(f"{tree}/{file:06}.bin", os.O_RDONLY | chosen.choice((0, 0, os.O_DIRECT)))
    at = chosen.choice((0, 0, 5000))
    data = os.pread(fd, 100_000, at)
    assert wanted.setdefault((file, at), data) == data and len(data) == 69_632 - at
    if chosen.random() < 0.3:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
"""


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_same_files_opened_and_closed_by_many(tmp_path: Path, workers: int) -> None:
    """To store and to drop waits for pages, and reads for workers: nothing must wait for ever."""
    name = "4x68K_d2_c1.5"
    with mounted(tmp_path, f"--workers-per-node={workers}", *RETUNED, limit=40) as mount:
        tree = mount.path / name
        command = [sys.executable, "-c", READER, str(tree)]
        readers = [subprocess.Popen([*command, str(seed), "3"]) for seed in range(6)]
        doomed = [subprocess.Popen([*command, str(seed), "60"]) for seed in range(4)]
        for turn in range(10):
            time.sleep(0.2)
            write(mount.path / ".topology", f'{{"workers_per_node": {1 + turn % 4}}}'.encode())
            if turn < len(doomed):
                doomed[turn].kill()
        assert [reader.wait(20) for reader in readers] == [0] * len(readers)
        for reader in doomed:
            reader.wait(20)
        for file in range(4):
            assert (tree / f"{file:06}.bin").read_bytes() == wanted(name, file)
        eventually(lambda: mount.stats()["open_handles"] == 0)
        # Every handle was counted off: what is opened first is stored again.
        before = mount.stats()["stored_bytes"]
        with opened(tree / "000000.bin"):
            assert mount.stats()["stored_bytes"] - before == 68 << 10


PRUNE = """
import sys, time
from pathlib import Path
from dgenfs.machine.system_calls import reconfigure_mount
end = time.monotonic() + 3
while time.monotonic() < end:
    reconfigure_mount(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("workers", [1, 3])
def test_handles_are_counted_off_when_the_kernel_forgets_their_tree(
    tmp_path: Path, workers: int
) -> None:
    """RELEASE comes in the background, and FORGET of the tree may overtake it."""
    files = [f"4K_s{seed}" for seed in range(20)] + [f"9x4K_s5/00000{i}.bin" for i in range(9)]
    with mounted(tmp_path, f"--workers-per-node={workers}") as mount:
        with ThreadPoolExecutor(1) as pool:
            pruning = pool.submit(as_root, sys.executable, "-c", PRUNE, str(mount.path))
            while not pruning.done():
                for file in files:
                    with opened(mount.path / file) as fd:
                        assert len(os.pread(fd, 5000, 0)) == 4096
            pruning.result()
        eventually(lambda: mount.stats()["open_handles"] == 0)
        for file in files:
            before = mount.stats()["stored_bytes"]
            with opened(mount.path / file):
                assert mount.stats()["stored_bytes"] - before == 4096
            eventually(lambda: mount.stats()["open_handles"] == 0)
