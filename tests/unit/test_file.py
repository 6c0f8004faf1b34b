import io
import os
import shutil
import tracemalloc
from typing import Any

import oracle
import pytest

import dgenfs

NAME = "1M+13_d2_c2.bin"
DATA = oracle.read(oracle.parse(NAME), 0, 0, 2 << 20)


def test_read_all() -> None:
    with dgenfs.open(NAME) as file:
        assert file.read() == DATA
        assert file.read() == b""
        assert file.name == NAME
        assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)


def test_reading_all_is_one_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    fill = dgenfs.DataGenerator.read_into

    def counting(generator: dgenfs.DataGenerator, buffer: Any, offset: int) -> int:
        lengths.append(len(buffer))
        return fill(generator, buffer, offset)

    monkeypatch.setattr(dgenfs.DataGenerator, "read_into", counting)
    with dgenfs.open(NAME) as file:
        assert file.read() == DATA
        assert lengths == [len(DATA)]
        file.seek(10)
        assert file.read(5) == DATA[10:15]
        assert file.read() == DATA[15:]
        file.seek(2 << 20)
        assert file.read() == b""


def test_reading_all_takes_no_second_copy() -> None:
    with dgenfs.open("256M") as file:
        tracemalloc.start()
        try:
            assert len(file.read()) == 256 << 20
            assert tracemalloc.get_traced_memory()[1] < 257 << 20
        finally:
            tracemalloc.stop()


def test_reading_all_of_what_no_memory_holds() -> None:
    with dgenfs.open("8E-1") as file, pytest.raises((MemoryError, OverflowError)):
        file.read()


def test_seek_and_read() -> None:
    with dgenfs.open(NAME) as file:
        assert file.seek(-20, os.SEEK_END) == len(DATA) - 20
        assert file.read(100) == DATA[-20:]
        file.seek(1000)
        assert file.read(10) == DATA[1000:1010]
        file.seek(5, os.SEEK_CUR)
        assert file.tell() == 1015
        assert file.readline() == io.BytesIO(DATA[1015:]).readline()
        assert file.seek(2 << 20) == 2 << 20
        assert file.read(1) == b""
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)


def test_copies() -> None:
    target = io.BytesIO()
    with dgenfs.open(NAME) as file:
        shutil.copyfileobj(file, target)
    assert target.getvalue() == DATA


def test_a_trees_file() -> None:
    with dgenfs.open("5x5000_d2/000003.bin") as file:
        assert file.read() == oracle.read(oracle.parse("5x5000_d2"), 3, 0, 5000)


def test_the_largest_file() -> None:
    with dgenfs.open("8E-1") as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == oracle.read(oracle.parse("8E-1"), 0, 2**63 - 6, 10)


def test_errors() -> None:
    with pytest.raises(dgenfs.SpecError):
        dgenfs.open("readme.txt")
    file = dgenfs.open(NAME)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
    with pytest.raises(io.UnsupportedOperation):
        dgenfs.open(NAME).write(b"x")
