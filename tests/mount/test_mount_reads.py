"""Bytes through a real mount, by every way a client can read them, equal the oracle's."""

import errno
import io
import mmap
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import oracle
import pytest
import strategies
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mounting import Mount, mounted
from reading import Client, clients, mapped_shared, opened, pread

EXTENT = 64 << 10
BLOCK = 4 << 20
MIB = 1 << 20

# Data plane, cache, kernel's page cache.
MOUNTS = [
    ("compiled", None, "auto"),
    ("compiled", None, "direct"),
    ("compiled", "0", "cached"),
    ("compiled", "4M", "direct"),
    ("compiled", "4M", "cached"),
    ("compiled", "64M", "direct"),
    ("pyfuse3", "0", "auto"),
    ("pyfuse3", "4M", "direct"),
    ("pyfuse3", "64M", "cached"),
]


Options = tuple[str, str | None, str]


@pytest.fixture(scope="module", params=MOUNTS, ids=lambda p: "-".join(map(str, p)))
def options(request: pytest.FixtureRequest) -> Options:
    found: Options = request.param
    return found


@pytest.fixture(scope="module")
def mount(options: Options, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    plane, cache, io_mode = options
    arguments = ["--data-plane", plane, "--io", io_mode]
    if cache is not None:
        arguments += ["--cache", cache]
    with mounted(tmp_path_factory.mktemp("reads"), *arguments, limit=300) as mount:
        yield mount


@pytest.fixture(scope="module")
def readers(options: Options) -> list[Client]:
    return clients(options[2])


@st.composite
def ranges(draw: st.DrawFn, content: oracle.Content) -> tuple[int, int]:
    """Ranges at the ends of everything that has one; some start past the end of the file."""
    size, unit = content.size, content.unit
    period = content.content_units * unit
    step = draw(st.sampled_from([1, 512, 4096, EXTENT, MIB, BLOCK, unit, period]))
    near = draw(st.integers(0, size // step)) * step
    at_end = size - draw(st.sampled_from([0, 1, 511, 512, 4096, EXTENT, BLOCK]))
    first = draw(st.sampled_from([0, EXTENT, BLOCK, unit, near, near, near, at_end, at_end, size]))
    offset = min(max(0, first + draw(st.integers(-20, 20))), strategies.MAX_SIZE)
    length = draw(
        st.integers(0, 64)
        | st.sampled_from([512, 4096, EXTENT - 1, EXTENT, EXTENT + 1, 2 * EXTENT])
        | st.integers(0, 3 * EXTENT)
        | st.sampled_from([MIB, MIB + 1, 2 * MIB])
    )
    # The kernel itself refuses what would end past the largest offset.
    return offset, min(length, strategies.MAX_SIZE - offset)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_bytes_equal_the_oracle(mount: Mount, readers: list[Client], data: st.DataObject) -> None:
    name = data.draw(strategies.names(sidecars=False) | strategies.tree_names())
    content = oracle.parse(name)
    path, file = mount.path / name, 0
    if content.tree:
        file = data.draw(st.integers(0, content.files - 1))
        path = path / oracle.tree_path(content, file)
    for _ in range(data.draw(st.integers(1, 4))):
        offset, length = data.draw(ranges(content))
        client = data.draw(st.sampled_from(readers))
        expected = oracle.read(content, file, offset, length)
        assert client(path, offset, length) == expected


EDGE_NAMES = [
    "9M+7_d1_c1.5.bin",
    "6M_d1000_c2_b4K",  # the content starts over every 8 KiB
    "33M+1_d3.7_c1_b64K",
    "20M_d4_c3_b4M_s7",  # and this one every block
    "8E-1",
    "8E-1_d1000_c20",
    "0",
    "1",
    "513_c20",
]


@pytest.mark.parametrize("name", EDGE_NAMES)
def test_every_client_at_every_edge(mount: Mount, readers: list[Client], name: str) -> None:
    content = oracle.parse(name)
    path = mount.path / name
    edges = {512, content.unit, EXTENT, BLOCK, 2 * BLOCK, content.size, content.size // 2}
    for number, edge in enumerate(sorted(edge for edge in edges if edge <= content.size)):
        for turn, client in enumerate(readers):
            offset = max(0, edge - (1, 100, 4096, 0)[(number + turn) % 4])
            length = min(5000, strategies.MAX_SIZE - offset)
            assert client(path, offset, length) == oracle.read(content, 0, offset, length)


@pytest.mark.parametrize("name", ["9M+7_d1_c1.5.bin", "7M_d1000_c2_b4K", "8E-1_d2"])
def test_large_reads_across_blocks(mount: Mount, readers: list[Client], name: str) -> None:
    for client in readers:
        for offset, length in ((BLOCK - MIB // 2 + 3, MIB), (BLOCK - 5, 2 * MIB + 11)):
            assert client(mount.path / name, offset, length) == expected_of(name, offset, length)


@lru_cache
def expected_of(name: str, offset: int, length: int) -> bytes:
    return oracle.read(oracle.parse(name), 0, offset, length)


def test_past_the_end_there_is_nothing(mount: Mount, readers: list[Client]) -> None:
    for name in ("0", "5000", "4M", "4M-1_c2"):
        path = mount.path / name
        size = path.stat().st_size
        for offset in (size, size + 1, size + 4096, size + 10 * BLOCK, 2**62):
            for client in readers:
                assert client(path, offset, 10_000) == b""


def test_shared_mapping_that_stays(mount: Mount, readers: list[Client]) -> None:
    """Mapped, read and mapped again while open: modes of the kernel's cache change underneath."""
    name = "5M_d2_c1.5"
    content = oracle.parse(name)
    expected = oracle.read(content, 0, 0, 5 * MIB)
    if mapped_shared not in readers:
        with pytest.raises(OSError, match=r"No such device"):
            mapped_shared(mount.path / name, 0, 1)
        return
    with opened(mount.path / name) as fd, opened(mount.path / name, os.O_DIRECT) as direct:
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as area:
            assert area[BLOCK - 10 : BLOCK + 10] == expected[BLOCK - 10 : BLOCK + 10]
            assert os.pread(direct, MIB, BLOCK - 7) == expected[BLOCK - 7 :][:MIB]
            assert os.pread(fd, MIB, 1) == expected[1:][:MIB]
            assert area[:] == expected
        assert os.pread(fd, MIB, MIB) == expected[MIB:][:MIB]


def test_reads_do_not_write(mount: Mount) -> None:
    """A private mapping may be written to; the file stays."""
    with (
        opened(mount.path / "64K") as fd,
        mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as area,
    ):
        area[:4] = b"mine"
    assert pread(mount.path / "64K", 0, 4) == expected_of("64K", 0, 4)


def test_copy_file_range(mount: Mount, tmp_path: Path) -> None:
    """Between file systems the kernel may refuse it; then every caller falls back."""
    copied, refused = 0, None
    with opened(mount.path / "1M_c3") as fd, (tmp_path / "copy").open("wb") as out:
        try:
            copied = os.copy_file_range(fd, out.fileno(), 100_000, offset_src=12345)
        except OSError as error:
            refused = error.errno
    assert refused in (None, errno.EXDEV)
    assert (tmp_path / "copy").read_bytes() == expected_of("1M_c3", 12345, copied)


def test_seek_data_and_holes(mount: Mount) -> None:
    with opened(mount.path / "1M_c20") as fd:
        assert os.lseek(fd, 5, os.SEEK_DATA) == 5
        assert os.lseek(fd, 5, os.SEEK_HOLE) == MIB
        assert os.lseek(fd, -3, os.SEEK_END) == MIB - 3


def test_text_and_buffered_layers(mount: Mount) -> None:
    with io.BufferedReader(io.FileIO(mount.path / "70000_c1.5"), 1234) as file:
        pieces = list(iter(lambda: file.read(777), b""))
    assert b"".join(pieces) == expected_of("70000_c1.5", 0, 70000)


WINDOWS = [
    ("12M_d1_c1.5", 0),
    ("1T_d2_c2", (1 << 39) - 5 * MIB),
    ("9M_d500_b64K", 0),
    ("8E-1_s3", 2**63 - 1 - 9 * MIB),
]


@pytest.mark.parametrize("workload", ["overlapping", "same"])
def test_eight_readers(mount: Mount, workload: str) -> None:
    """More blocks wanted at once than the smallest cache holds, and the same block by all."""
    window = 9 * MIB

    def read(seed: int) -> int:
        generator = random.Random(seed if workload == "overlapping" else 0)
        checked = 0
        files = [os.open(mount.path / name, os.O_RDONLY) for name, _ in WINDOWS]
        try:
            for _ in range(60):
                which = generator.randrange(len(WINDOWS))
                name, start = WINDOWS[which]
                length = generator.choice([1, 512, 4096, EXTENT, EXTENT + 1, 300_000, MIB])
                at = generator.randrange(window - length)
                data = os.pread(files[which], length, start + at)
                assert data == expected_of(name, start, window)[at : at + length]
                checked += len(data)
        finally:
            for fd in files:
                os.close(fd)
        return checked

    for name, start in WINDOWS:
        expected_of(name, start, window)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


@example(first=BLOCK - 1, sizes=[1, 1, MIB])
@given(
    first=st.integers(0, 2 * BLOCK),
    sizes=st.lists(st.integers(1, 5000) | st.sampled_from([EXTENT, MIB]), max_size=8),
)
@settings(max_examples=15, deadline=None)
def test_any_split_gives_the_same_bytes(mount: Mount, first: int, sizes: list[int]) -> None:
    name = "17M_d1.3_c1.2"
    with opened(mount.path / name) as fd:
        pieces = []
        offset = first
        for size in sizes:
            pieces.append(os.pread(fd, size, offset))
            offset += size
    assert b"".join(pieces) == oracle.read(oracle.parse(name), 0, first, sum(sizes))
