"""Trees: listed, walked and looked up, however many files they have."""

import ctypes
import errno
import itertools
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import oracle
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from mounting import PLANES, Mount, mounted
from stores import fio_dedupe

LISTED = [f"{i}K_s{i}.bin" for i in range(200)]
BILLION = ["1000000000x4K_d2_c1.5_f1000", "1000000000x4K_d2_c1.5", "1000000000x4K_d2_f1000000000"]


@pytest.fixture(scope="module", params=PLANES)
def mount(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    options = ["--data-plane", request.param]
    with mounted(tmp_path_factory.mktemp("trees"), *LISTED, *options, limit=240) as mount:
        yield mount


def listed(path: Path) -> list[str]:
    """In the order of the listing."""
    with os.scandir(path) as entries:
        return [entry.name for entry in entries]


def paths_of(content: oracle.Content) -> list[str]:
    return [oracle.tree_path(content, file) for file in range(content.files)]


@given(name=strategies.tree_names(most_files=300))
@settings(max_examples=60, deadline=None)
def test_listing_is_exact(mount: Mount, name: str) -> None:
    content = oracle.parse(name)
    top = mount.path / name
    expected = paths_of(content)
    if content.per_directory is None:
        assert listed(top) == expected
        found = {entry: (top / entry).stat() for entry in listed(top)}
    else:
        directories = sorted({path.split("/")[0] for path in expected})
        assert listed(top) == directories
        walked = [f"{one}/{file}" for one in directories for file in listed(top / one)]
        assert walked == expected
        found = {entry: (top / entry).stat() for entry in walked}
    assert {stat.st_size for stat in found.values()} == {content.size}
    assert len({stat.st_ino for stat in found.values()}) == content.files


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_files_equal_the_oracle(mount: Mount, data: st.DataObject) -> None:
    name = data.draw(strategies.tree_names())
    content = oracle.parse(name)
    file = data.draw(st.sampled_from([0, content.files - 1]) | st.integers(0, content.files - 1))
    path = mount.path / name / oracle.tree_path(content, file)
    offset, length = data.draw(strategies.ranges(content.size, content.unit))
    length = min(length, strategies.MAX_SIZE - offset)
    fd = os.open(path, os.O_RDONLY)
    try:
        assert os.pread(fd, length, offset) == oracle.read(content, file, offset, length)
        assert os.fstat(fd).st_size == content.size
    finally:
        os.close(fd)


@pytest.mark.parametrize("name", BILLION)
def test_a_billion_files(mount: Mount, name: str) -> None:
    content = oracle.parse(name)
    before = mount.rss()
    numbers = [0, 1, 999, 1000, 10**9 - 1001, 10**9 - 1000, 10**9 - 1]
    numbers += random.Random(name).sample(range(10**9), 150)
    inodes = set()
    for file in numbers:
        path = mount.path / name / oracle.tree_path(content, file)
        found = path.stat()
        assert (found.st_size, found.st_blocks) == (4096, 8)
        inodes.add(found.st_ino)
        assert path.read_bytes() == oracle.read(content, file, 0, 4096)
        assert os.getxattr(path, "user.dgenfs.name").decode().endswith(path.name)
    assert len(inodes) == len(numbers)
    # Listed from the start and found past the end, with nothing kept.
    with os.scandir(mount.path / name) as entries:
        first = [entry.name for entry in itertools.islice(entries, 2000)]
    if name == BILLION[1]:
        assert first == [oracle.tree_path(content, file) for file in range(2000)]
    assert mount.rss() - before < 20 << 20


def test_the_last_directory_is_not_full(mount: Mount) -> None:
    top = mount.path / "25x1K_f10"
    assert listed(top) == ["0000", "0001", "0002"]
    assert listed(top / "0002") == [f"{i:06}.bin" for i in range(20, 25)]
    assert top.stat().st_nlink == 2 + 3
    assert (top / "0002").stat().st_nlink == 2
    assert (top / "0002" / "..").resolve() == top
    assert (top / "0001" / ".." / "0002" / "000024.bin").read_bytes() == oracle.read(
        oracle.parse("25x1K_f10"), 24, 0, 1024
    )


def test_dot_and_dot_dot(mount: Mount) -> None:
    top = mount.path / "25x1K_f10"
    for path, parent in ((mount.path, None), (top, mount.path), (top / "0001", top)):
        done = subprocess.run(
            ["ls", "-fi", path], capture_output=True, text=True, check=True, timeout=60
        )
        first, second = (line.split() for line in done.stdout.splitlines()[:2])
        assert first == [str(path.stat().st_ino), "."]
        assert second[1] == ".."
        if parent is not None:
            assert second[0] == str(parent.stat().st_ino)


@pytest.mark.parametrize(
    "path",
    [
        "10x1K/000010.bin",
        "10x1K/10.bin",
        "10x1K/0000001.bin",
        "10x1K/00001.bin",
        "10x1K/000001.dat",
        "10x1K/000001.bi",
        "10x1K/000001.bin2",
        "10x1K/000001.BIN",
        "10x1K/000001",
        "10x1K/000001.",
        "10x1K/00000a.bin",
        "10x1K/-00001.bin",
        "10x1K/+00001.bin",
        "10x1K/00000/.bin",
        "10x1K/0000",
        "10x1K/1K",
        "10x1K/.stats",
        "10x1K/999999.bin",
        "10x1K/4294967296.bin",
        "10x1K/18446744073709551617.bin",
        "10x1K/00000\u0661.bin",
        "10x1K_f5/000000.bin",
        "10x1K_f5/0002",
        "10x1K_f5/000",
        "10x1K_f5/00000",
        "10x1K_f5/0001/000004.bin",
        "10x1K_f5/0000/000005.bin",
        "10x1K_f5/0000/0001",
        "10x1K_f5/0000/0000",
        "10x1K_f5/0002/000010.bin",
        "9999999x0/9999999.bin",
        "10x1K.a1234567/000003.a123456",
        "10x1K.a1234567/000003.a12345678",
        "10x1K.a1234567/000003.a1234568",
    ],
)
def test_what_is_not_in_a_tree(mount: Mount, path: str) -> None:
    for call in (Path.stat, Path.read_bytes):
        with pytest.raises(FileNotFoundError):
            call(mount.path / path)


def test_extensions(mount: Mount) -> None:
    for extension in ("x", "Img8", "a1234567"):
        name = f"10x1K.{extension}"
        path = mount.path / name / f"000003.{extension}"
        assert path.read_bytes() == oracle.read(oracle.parse(name), 3, 0, 1024)


class Dirent(ctypes.Structure):
    """struct dirent of 64-bit Linux."""

    _fields_ = (
        ("inode", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("length", ctypes.c_ushort),
        ("type", ctypes.c_ubyte),
        ("name", ctypes.c_char * 256),
    )


class Listing:
    """A directory by opendir(3), with positions."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.opendir.restype = ctypes.c_void_p
        self._libc.readdir.restype = ctypes.POINTER(Dirent)
        self._libc.readdir.argtypes = self._libc.closedir.argtypes = [ctypes.c_void_p]
        self._libc.telldir.argtypes = self._libc.rewinddir.argtypes = [ctypes.c_void_p]
        self._libc.telldir.restype = ctypes.c_long
        self._libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
        self._stream = self._libc.opendir(os.fsencode(path))
        assert self._stream

    def next(self) -> str | None:
        ctypes.set_errno(0)
        found = self._libc.readdir(self._stream)
        if not found:
            assert ctypes.get_errno() == 0, os.strerror(ctypes.get_errno())
            return None
        name: bytes = found.contents.name
        return name.decode()

    def rest(self, most: int | None = None) -> list[str]:
        names = iter(self.next, None)
        return list(itertools.islice(names, most))

    def tell(self) -> int:
        return int(self._libc.telldir(self._stream))

    def seek(self, position: int) -> None:
        self._libc.seekdir(self._stream, position)

    def rewind(self) -> None:
        self._libc.rewinddir(self._stream)

    def close(self) -> None:
        self._libc.closedir(self._stream)


@pytest.mark.parametrize("path", ["3000x1K", "3000x1K_f2", "3000x1K_f2000/0001", "."])
def test_a_listing_goes_on_from_any_position(mount: Mount, path: str) -> None:
    listing = Listing(mount.path / path)
    names, positions = [], [listing.tell()]
    while (name := listing.next()) is not None:
        names.append(name)
        positions.append(listing.tell())
    assert names[:2] == [".", ".."]
    assert names[2:] == listed(mount.path / path)
    assert len(set(names)) == len(names)
    generator = random.Random(path)
    for at in [len(names), 0, 1, 2, 3, *generator.sample(range(len(names)), 60), len(names) - 1]:
        listing.seek(positions[at])
        assert listing.tell() == positions[at]
        assert listing.rest(5) == names[at : at + 5]
    listing.rewind()
    assert listing.rest() == names
    listing.close()


def test_position_past_the_end(mount: Mount) -> None:
    for path in ("10x1K", "10x1K_f3", "10x1K_f3/0003", "."):
        listing = Listing(mount.path / path)
        for position in (10**6, 2**40, 2**62):
            listing.seek(position)
            assert listing.rest() == []
        listing.close()


def test_two_listings_at_once(mount: Mount) -> None:
    one, two = Listing(mount.path / "500x1K"), Listing(mount.path / "500x1K")
    names = []
    for _ in range(502):
        name = one.next()
        assert name == two.next()
        names.append(name)
    assert (one.next(), two.next()) == (None, None)
    assert names[2:] == paths_of(oracle.parse("500x1K"))
    one.close()
    two.close()


def test_listing_of_20000(mount: Mount) -> None:
    for name in ("20000x10_d2", "20000x10_f20000"):
        content = oracle.parse(name)
        top = mount.path / name
        if content.per_directory:
            top /= "0000"
        before = mount.rss()
        with os.scandir(top) as entries:
            found = [(entry.name, entry.inode(), entry.is_file()) for entry in entries]
        assert [entry[0] for entry in found] == [path.split("/")[-1] for path in paths_of(content)]
        assert len({entry[1] for entry in found}) == 20000
        assert all(entry[2] for entry in found)
        # With attributes, asked for one by one or with the listing.
        done = subprocess.run(
            ["ls", "-li", top], capture_output=True, text=True, check=True, timeout=60
        )
        lines = done.stdout.splitlines()[1:]
        assert [int(line.split()[0]) for line in lines] == [entry[1] for entry in found]
        assert {line.split()[5] for line in lines} == {"10"}
        assert mount.rss() - before < 50 << 20


def test_empty_files_and_one_file(mount: Mount) -> None:
    assert listed(mount.path / "1x0") == ["000000.bin"]
    assert (mount.path / "1x0" / "000000.bin").read_bytes() == b""
    assert listed(mount.path / "1x5_f1") == ["0000"]
    with pytest.raises(OSError, match=r".") as failed:
        listed(mount.path / "0x5")
    assert failed.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("name", "dedup"),
    [("2000x4K_d2.5_c1.5", 2.5), ("2000x8K_d4_f100", 4), ("2000x12K_b4K_d10", 10)],
)
def test_dedup_of_a_copied_tree(mount: Mount, tmp_path: Path, name: str, dedup: float) -> None:
    subprocess.run(["cp", "-r", mount.path / name, tmp_path], check=True, timeout=60)
    files = sorted(path for path in (tmp_path / name).rglob("*.bin"))
    assert len(files) == 2000
    image = tmp_path / "image"
    with image.open("wb") as out:
        for path in files:
            out.write(path.read_bytes())
    assert fio_dedupe(image, 4096) == pytest.approx(dedup, rel=0.02)
