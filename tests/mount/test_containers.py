"""Containers through a mount, as real readers, commands and system calls see them."""

import errno
import importlib
import mmap
import os
import random
from collections.abc import Iterator
from pathlib import Path

import containers.tfrecord
import oracle
import pytest
import strategies
from containers.contents import named
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mounting import PLANES, Mount, mounted
from processes import run
from reading import Client, clients, opened

from dgenfs.names.grammar import SpecError
from dgenfs.names.spec import Spec

FORMATS = sorted(oracle.CONTAINERS)
READ = "300001_d2_c1.5_r30000.{}"
SMALL = "70001_d2_b4K_r9999.{}"  # stored when opened, where the kernel allows it
TREES = ("24x30000_d2_c1.5.npz", "50x5001_f20_r1000.tfrecord", "3x200K_r64K_f2.tar")
BILLION = ("1000000000x30000_d2_f1000.npz", "1000000000x5001_r1000.tfrecord")
NO_NAMES = (
    *("4096.npy", "4407.npz", "54.tfrecord", "105.parquet", "80.safetensors", "3071.tar"),
    *("0.npz", "1M_r4K", "1M_r4K.bin", "1M_r2M.npz", "1M_r0.npz", "1M_r4K_r4K.npz", "10x4407.npz"),
    *("1M.npz.idx", "1M.tfrecord.idx.idx", "1M.tfrecord.sha256", "54.tfrecord.idx"),
    *("10x1M.tfrecord.idx", "8E-1_r2G.tfrecord", "1M.NPZ_r4K"),
)
IO_MODES = ("auto", "direct", "cached")


def whole(name: str, file: int = 0) -> bytes:
    content = oracle.parse(name)
    return oracle.read(content, file, 0, content.size)


@pytest.fixture(scope="module", params=[(p, io) for p in PLANES for io in IO_MODES], ids="-".join)
def options(request: pytest.FixtureRequest) -> tuple[str, str]:
    plane, io_mode = request.param
    return plane, io_mode


@pytest.fixture(scope="module")
def mount(options: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    plane, io_mode = options
    folder = tmp_path_factory.mktemp("containers")
    with mounted(folder, f"--data-plane={plane}", f"--io={io_mode}", limit=200) as mount:
        yield mount


@pytest.fixture(scope="module")
def readers(options: tuple[str, str]) -> list[Client]:
    return clients(options[1])


@pytest.mark.parametrize("extension", FORMATS)
def test_real_readers(mount: Mount, extension: str, tmp_path: Path) -> None:
    name = READ.format(extension)
    module = "hdf5" if extension == "h5" else extension
    size, record, _, content = named(name)
    importlib.import_module(f"readers.test_{module}").check(
        mount.path / name, size, record, content
    )
    run("cp", mount.path / name, tmp_path)
    assert (tmp_path / name).read_bytes() == whole(name)


@given(data=st.data(), name=strategies.container_names(most=300_000))
@settings(max_examples=25, deadline=None)
def test_ranges(mount: Mount, readers: list[Client], data: st.DataObject, name: str) -> None:
    try:
        content = oracle.parse(name)
        Spec.parse(name)  # a format's own limits
    except (oracle.BadName, SpecError):
        assume(False)
    expected = whole(name)
    for _ in range(4):
        offset, length = data.draw(strategies.ranges(content.size, content.unit, content.size))
        read = data.draw(st.sampled_from(readers))
        assert read(mount.path / name, offset, length) == expected[offset : offset + length]


@pytest.mark.parametrize("extension", FORMATS)
def test_each_byte_around_what_a_file_consists_of(mount: Mount, extension: str) -> None:
    name = SMALL.format(extension)
    expected = whole(name)
    container = Spec.parse(name).container
    assert container
    places: set[int] = set()
    for start, part in zip(container.starts, container.runs, strict=True):
        for place in (0, len(part.head), len(part.head) + part.hole, part.stride):
            places.update(range(start + place - 3, start + place + 3))
        places.update(start + field.at + i for field in part.fields for i in range(-1, field.width))
    places &= set(range(len(expected)))
    for flags in (0, os.O_DIRECT):
        with opened(mount.path / name, flags) as fd, mmap.mmap(-1, 4096) as buffer:
            for place in places:
                assert os.preadv(fd, [memoryview(buffer)[:1]], place) == 1
                assert buffer[0] == expected[place]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_file(mount: Mount, name: str) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        (mount.path / name).stat()


def test_an_index_is_looked_up_and_not_listed(mount: Mount) -> None:
    name = "300001_d2_r30000.tfrecord"
    index = mount.path / f"{name}.idx"
    assert index.read_bytes() == containers.tfrecord.index(whole(name))
    assert index.stat().st_size == len(index.read_bytes())
    assert index not in list(mount.path.iterdir())
    for tree, folder in (("10x5001_r1000.tfrecord", ""), ("10x5001_r1000_f3.tfrecord", "0001/")):
        listed = sorted(p.name for p in (mount.path / tree / folder).iterdir())
        expected = containers.tfrecord.index(whole(tree, 3))
        inodes = set()
        for file in listed:
            path = mount.path / tree / folder / f"{file}.idx"
            assert path.read_bytes() == expected
            inodes.add(path.stat().st_ino)
        assert len(inodes) == 1
        for none in (
            "000010.tfrecord.idx",
            "3.tfrecord.idx",
            "000003.idx",
            "000003.tfrecord.idx.idx",
        ):
            assert not (mount.path / tree / folder / none).exists()
        assert sorted(p.name for p in (mount.path / tree / folder).iterdir()) == listed


@pytest.mark.parametrize("name", TREES)
def test_trees_are_copied(mount: Mount, name: str, tmp_path: Path) -> None:
    content = oracle.parse(name)
    expected = {oracle.tree_path(content, i): whole(name, i) for i in range(content.files)}
    top = mount.path / name
    assert {str(p.relative_to(top)) for p in top.rglob("*.*")} == expected.keys()
    assert {(top / path).stat().st_size for path in expected} == {content.size}
    run("cp", "-r", top, tmp_path / "cp")
    run("rsync", "-r", f"{top}/", tmp_path / "rsync")
    (tmp_path / "tar").mkdir()
    run("sh", "-c", 'tar -C "$0" -c . | tar -C "$1" -x', top, tmp_path / "tar")
    for copy in ("cp", "rsync", "tar"):
        assert {path: (tmp_path / copy / path).read_bytes() for path in expected} == expected


@pytest.mark.parametrize("name", BILLION)
def test_a_billion_files(mount: Mount, name: str) -> None:
    content = oracle.parse(name)
    numbers = [10**9 - 1, *random.Random(name).sample(range(10**9), 20)]
    paths = [mount.path / name / oracle.tree_path(content, file) for file in numbers]
    for file, path in zip(numbers, paths, strict=True):
        assert path.stat().st_size == content.size
        assert path.read_bytes() == whole(name, file)


@pytest.mark.parametrize("offset", [2**63 - 1 - 5000, 2**63 - 4096, 2**62 + 1, 4096])
def test_the_largest_file(mount: Mount, offset: int) -> None:
    """An array in an npy file is the content that a raw file has."""
    raw, length = oracle.parse("8E-1_d3_c1.2"), 5000 if offset < 2**63 - 5000 else 4095
    with opened(mount.path / "8E-1_d3_c1.2_r7.npy") as fd:
        assert os.pread(fd, length, offset) == oracle.read(raw, 0, offset - 4096, length)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    with mounted(tmp_path_factory.mktemp("usual"), limit=200) as mount:
        yield mount


def test_a_small_file_is_stored_when_it_is_opened(usual: Mount) -> None:
    for extension in FORMATS:
        name = SMALL.format(extension)
        before = usual.stats()
        with opened(usual.path / name) as fd:
            assert os.pread(fd, 1 << 20, 0) == whole(name)
        after = usual.stats()
        assert after["stored_bytes"] - before["stored_bytes"] == 70001
        assert after["requests"].get("READ", 0) - before["requests"].get("READ", 0) <= 2
