"""What fsspec reads of a name: what the oracle says, in whatever pieces, and in no second copy."""

import asyncio
import functools
import io
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import PATIENCE

from dgenfs.api.filesystem import DgenFileSystem

FS = DgenFileSystem()
NAMES = [
    *(
        "0.bin",
        "1.bin",
        "70001_d2_c2.bin",
        "3x40000_d2/000002.bin",
        "5x50001_c3_f2/0001/000003.bin",
    ),
    *(
        "70001_r999.parquet",
        "30K_r2K.npz",
        "60K_d2_r7K.hdf5",
        "60K.npy",
        "2x70K_r4K.tfrecord/000001.tfrecord",
    ),
    *("60K_r9K.tar", "60K_r1K.safetensors"),
]
LARGE = "256M_d2_c2.bin"


@functools.cache
def whole(path: str) -> bytes:
    name, _, within = path.partition("/")
    content = oracle.parse(name)
    files = [oracle.tree_path(content, file) for file in range(content.files)]
    file = files.index(within) if within else 0
    return oracle.read(content, file, 0, content.size)


limits = st.none() | st.integers(-80_000, 80_000) | st.sampled_from([-(2**63), 2**63, 2**70])


@given(st.sampled_from(NAMES), limits, limits)
def test_ranges(path: str, start: int | None, end: int | None) -> None:
    expected = whole(path)[start:end]
    assert FS.cat_file(path, start, end) == expected
    assert FS.read_bytes(f"dgen://{path}", start=start, end=end) == expected
    assert asyncio.run(FS._cat_file(path, start, end)) == expected


@given(st.lists(st.tuples(st.sampled_from([*NAMES, "nope"]), limits, limits), max_size=8))
def test_many_ranges(ranges: list[tuple[str, int | None, int | None]]) -> None:
    paths, starts, ends = (
        (list(column) for column in zip(*ranges, strict=True)) if ranges else ([],) * 3
    )
    for got in (
        FS.cat_ranges(paths, starts, ends),
        asyncio.run(FS._cat_ranges(paths, starts, ends)),
    ):
        for (path, start, end), data in zip(ranges, got, strict=True):
            if path == "nope":
                assert isinstance(data, FileNotFoundError)
            else:
                assert data == whole(path)[start:end]


def test_many_files() -> None:
    expected = {path: whole(path) for path in NAMES}
    assert FS.cat(NAMES) == asyncio.run(FS._cat(NAMES)) == expected
    tree = {f"3x40000_d2/00000{n}.bin": whole(f"3x40000_d2/00000{n}.bin") for n in range(3)}
    assert FS.cat("3x40000_d2/*") == tree
    assert FS.cat(["1.bin", "nope"], on_error="omit") == {"1.bin": whole("1.bin")}
    assert (FS.head("60K.npy", 100), FS.tail("60K.npy", 100)) == (
        whole("60K.npy")[:100],
        whole("60K.npy")[-100:],
    )
    assert FS.read_block("60K.npy", 1000, 5000) == whole("60K.npy")[1000:6000]


lengths = st.none() | st.integers(-1, 80_000) | st.just(2**62)
calls = st.one_of(
    st.tuples(st.just("read"), lengths),
    st.tuples(st.just("readinto"), st.integers(0, 80_000)),
    st.tuples(st.just("readline")),
    st.tuples(st.just("tell")),
    st.tuples(st.just("seek"), st.integers(-80_000, 80_000), st.integers(0, 2)),
)


@given(st.sampled_from(NAMES), st.sampled_from([None, "default", 1, 511, 1 << 40]), st.lists(calls))
def test_an_open_file_is_like_one_in_memory(
    path: str, block_size: Any, made: list[tuple[Any, ...]]
) -> None:
    def outcome(file: Any, name: str, *arguments: Any) -> Any:
        try:
            if name == "readinto":
                buffer = bytearray(*arguments)
                return file.readinto(buffer), buffer
            return getattr(file, name)(*arguments)
        except ValueError:
            return ValueError

    model = io.BytesIO(whole(path))
    with FS.open(path, block_size=block_size) as file:
        assert file.size == len(whole(path))
        for call in made:
            same = call
            if call[0] == "seek":
                # From other places than its start memory stops there; a file refuses to go before.
                start = (0, model.tell(), len(whole(path)))[call[2]]
                same = ("seek", start + call[1], 0)
            assert outcome(file, *call) == outcome(model, *same)


def test_lines() -> None:
    with FS.open("70001_d2_c2.bin") as file:
        assert list(file) == io.BytesIO(whole("70001_d2_c2.bin")).readlines()


def test_text() -> None:
    with fsspec.open("dgen://70001_d2_c2.bin", "rt", encoding="latin1", newline="") as file:
        assert file.read() == whole("70001_d2_c2.bin").decode("latin1")


def test_the_end_of_the_largest_file() -> None:
    expected = oracle.read(oracle.parse("8E-1"), 0, 2**63 - 6, 10)
    assert FS.tail("8E-1", 5) == FS.cat_file("8E-1", -5) == expected
    for call in (FS.cat_file, lambda name: FS.open(name).read()):
        with pytest.raises((MemoryError, OverflowError)):
            call("8E-1")


def cat_file() -> int:
    return len(FS.cat_file(LARGE))


def cat_file_async() -> int:
    async def length() -> int:
        # Not returned itself: as it ends, asyncio.run makes a text of what a task returned.
        return len(await FS._cat_file(LARGE))

    return asyncio.run(length())


def read_all() -> int:
    with FS.open(LARGE) as file:
        return len(file.read())


@pytest.mark.parametrize("call", [cat_file, cat_file_async, read_all])
def test_there_is_no_second_copy(call: Callable[[], int]) -> None:
    call()  # loads the kernels
    tracemalloc.start()
    try:
        assert call() == 256 << 20
        assert tracemalloc.get_traced_memory()[1] < 257 << 20
    finally:
        tracemalloc.stop()


def test_the_loop_goes_on_while_bytes_are_made() -> None:
    async def ticks() -> int:
        task = asyncio.create_task(FS._cat_file(LARGE))
        count = 0
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        assert task.result()[-100:] == FS.cat_file(LARGE, -100)
        return count

    assert asyncio.run(ticks()) > 10


def test_files_that_are_awaited() -> None:
    path = "70001_d2_c2.bin"

    async def read() -> list[bytes]:
        async with await FS.open_async(f"dgen://{path}") as file:
            parts = [await file.read(10)]
            file.seek(-1000, os.SEEK_END)
            parts += [await file.read(900), await file.read(), await file.read()]
        await FS.open_async(path)  # and left open
        return parts

    data = whole(path)
    assert asyncio.run(read()) == [data[:10], data[-1000:-100], data[-100:], b""]


def test_copies(tmp_path: Path) -> None:
    tree = "5x50001_c3_f2"
    expected = {path.removeprefix(f"{tree}/"): whole(path) for path in FS.find(tree)}
    FS.get(tree, str(tmp_path / "one"), recursive=True)
    asyncio.run(FS._get(f"dgen://{tree}", str(tmp_path / "two"), recursive=True))
    for copy in (tmp_path / "one", tmp_path / "two"):
        files = [path for path in copy.rglob("*") if path.is_file()]
        assert {str(path.relative_to(copy)): path.read_bytes() for path in files} == expected
    counted = fsspec.Callback()
    asyncio.run(FS._get_file("3M_d2", str(tmp_path / "three"), callback=counted))
    assert (tmp_path / "three").read_bytes() == FS.cat_file("3M_d2")
    assert counted.size == counted.value == 3 << 20
    asyncio.run(FS._get_file("0.bin", str(tmp_path / "none")))
    assert (tmp_path / "none").read_bytes() == b""


@pytest.mark.parametrize("name", ["8E-1", "1E.npz"])  # whose CRC at the start takes for ever
def test_a_copy_that_is_cancelled(name: str) -> None:
    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(FS._get_file(name, os.devnull), 0.05)

    begun = time.monotonic()
    asyncio.run(cancelled())
    assert time.monotonic() - begun < 5 * PATIENCE


def test_a_closed_file() -> None:
    file = FS.open("1.bin")
    file.close()
    file.close()
    for call in (file.read, lambda: file.readinto(bytearray(1))):
        with pytest.raises(ValueError, match=r"1\.bin is closed"):
            call()
    with FS.open("1.bin") as file:
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
        with pytest.raises(ValueError, match="not in write mode"):
            file.write(b"x")
        assert file.info() == FS.info("1.bin")
        assert hash(file) == hash(FS.open("1.bin"))
