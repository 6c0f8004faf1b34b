"""Generators and open files go to other processes, with their positions; closed ones do not."""

import asyncio
import copy
import io
import pickle
import subprocess
import sys
from typing import Any

import fsspec
import oracle
import pytest

import dgenfs
from dgenfs import AsyncDataGenerator, DataGenerator
from dgenfs.api.file import DataFile

NAME = "300001_d2_r999.parquet"
TREE = "3x70001_d2"
FILE = f"{TREE}/000002.bin"
AT = 1001
DATA = oracle.read(oracle.parse(NAME), 0, 0, 400_000)
OF_TREE = oracle.read_all_files(oracle.parse(TREE), 0, 400_000)

ELSEWHERE = """
import asyncio, pickle, sys

things = pickle.load(sys.stdin.buffer)
for thing in things:
    if hasattr(thing, "fill_chunk"):
        buffer = bytearray(thing.size)
        filled = thing.fill_chunk(buffer)
        if not isinstance(filled, int):
            filled = asyncio.run(filled)
        data = bytes(buffer[:filled])
    else:
        data = thing.read()
    pickle.dump(data, sys.stdout.buffer)
"""


def things() -> tuple[list[Any], list[bytes]]:
    """What pickles, each at AT, and what it gives from there on."""
    raw = DataFile(DataGenerator(NAME), NAME)
    opened = dgenfs.open(FILE)
    opened.read(10)  # there is something in its buffer
    ours: list[Any] = [
        *(DataGenerator(NAME), DataGenerator(TREE, threads=1), AsyncDataGenerator(TREE, file=2)),
        *(raw, opened, fsspec.filesystem("dgen").open(NAME), fsspec.open(f"dgen://{FILE}").open()),
    ]
    for thing in ours:
        thing.seek(AT)
    file = OF_TREE[140_002:]
    return ours, [data[AT:] for data in (DATA, OF_TREE, file, DATA, file, DATA, file)]


def test_in_another_process() -> None:
    ours, expected = things()
    command = [sys.executable, "-c", ELSEWHERE]
    done = subprocess.run(command, input=pickle.dumps(ours), stdout=subprocess.PIPE, check=True)
    answers = io.BytesIO(done.stdout)
    assert [pickle.load(answers) for _ in ours] == expected
    seeded = DataGenerator(NAME)
    seeded.set_seed(5)
    assert pickle.loads(pickle.dumps(seeded)).spec == seeded.spec


def test_copies_have_positions_of_their_own() -> None:
    for ours, expected in zip(*things(), strict=True):
        for duplicate in (copy.copy(ours), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
            ours.seek(0)
            if isinstance(ours, io.IOBase):
                assert duplicate.tell() == AT
                assert duplicate.read(100) == expected[:100]
                duplicate.close()
            else:
                assert duplicate.position == AT
            ours.seek(AT)


def test_a_copy_is_not_busy() -> None:
    async def copied() -> int:
        generator = AsyncDataGenerator("40M")
        task = asyncio.create_task(generator.fill_chunk(bytearray(40 << 20)))
        await asyncio.sleep(0)
        duplicate = pickle.loads(pickle.dumps(generator))
        assert duplicate.position == 0
        await task
        return int(await duplicate.fill_chunk(bytearray(10)))

    assert asyncio.run(copied()) == 10


def test_closed_files() -> None:
    file = dgenfs.open(NAME)
    other = fsspec.filesystem("dgen").open(NAME)
    file.close()
    other.close()
    for closed in (file, file.raw, other):
        with pytest.raises(ValueError, match=f"{NAME} is closed"):
            pickle.dumps(closed)


def test_files_that_are_awaited() -> None:
    file = asyncio.run(fsspec.filesystem("dgen").open_async(NAME))
    with pytest.raises(TypeError, match=f"{NAME}: a file of open_async does not pickle"):
        pickle.dumps(file)
