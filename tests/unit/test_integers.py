"""Whole numbers of all kinds, at every entry of the API that takes one."""

import asyncio
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import oracle
import pytest

import dgenfs
from dgenfs import AsyncDataGenerator, DataGenerator, Spec
from dgenfs.names.integers import whole_number

NAME = "12G_d2_c2"
TREE = "300x5000_d2"
GENERATOR = DataGenerator(NAME)

KINDS = [
    *(getattr(np, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)),
    np.array,  # of no dimension
]


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def read_into(offset: Any) -> bytes:
    buffer = bytearray(5)
    return bytes(buffer[: GENERATOR.read_into(buffer, offset)])


def read_into_later(offset: Any) -> bytes:
    buffer = bytearray(5)
    return bytes(buffer[: asyncio.run(AsyncDataGenerator(NAME).read_into(buffer, offset))])


def seek(offset: Any) -> bytes:
    GENERATOR.seek(offset)
    assert type(GENERATOR.position) is int
    return read_into(GENERATOR.position)


def seek_later(offset: Any) -> bytes:
    generator = AsyncDataGenerator(NAME)
    generator.seek(offset)
    return read_into(generator.position)


def seek_in_file(offset: Any) -> bytes:
    with dgenfs.open(NAME) as file:
        file.seek(offset)
        return file.read(5)


@pytest.mark.parametrize("read", [read_into, read_into_later, seek, seek_later, seek_in_file])
def test_offsets(read: Callable[[Any], bytes]) -> None:
    content = oracle.parse(NAME)
    for kind in (*KINDS, Index, int):
        for offset in (0, 100, 127, 255, 65535, 2**31 - 1, 2**32 - 1, 11 << 30, 12 << 30):
            if kind in KINDS[:-1] and offset > np.iinfo(kind).max:
                continue
            right = oracle.read(content, 0, offset, min(5, (12 << 30) - offset))
            assert read(kind(offset)) == right, (kind, offset)


def test_offsets_behind_any_end() -> None:
    for offset in (np.uint64(2**64 - 1), np.int64(2**63 - 1), Index(2**200), 2**63):
        assert read_into(offset) == b""
    assert DataGenerator("8E-1").read_into(bytearray(9), np.uint64(2**63 - 2)) == 1


def set_seed(seed: Any) -> int:
    generator = DataGenerator(NAME)
    generator.set_seed(seed)
    return generator.spec.seed


def set_seed_later(seed: Any) -> int:
    generator = AsyncDataGenerator(NAME)
    generator.set_seed(seed)
    return generator.spec.seed


def start(generator: DataGenerator) -> Any:
    return next(generator._view.pieces(0, 1)).segment


ENTRIES: dict[str, Callable[[Any], object]] = {
    "file": lambda number: start(DataGenerator(TREE, file=number)),
    "file later": lambda number: start(AsyncDataGenerator(TREE, file=number)._generator),
    "view": lambda number: next(Spec.parse(TREE).view(number).pieces(0, 1)).segment,
    "path": lambda number: Spec.parse(TREE).path(number),
    "threads": lambda number: DataGenerator(NAME, threads=number).threads,
    "threads later": lambda number: AsyncDataGenerator(NAME, threads=number)._generator.threads,
    "threads of a file": lambda number: dgenfs.open(NAME, threads=number).read(5),
    "set_seed": set_seed,
    "set_seed later": set_seed_later,
    "with_seed": lambda number: Spec.parse(NAME).with_seed(number).name,
    "size": lambda number: dgenfs.generate_data(number, 2).tobytes(),
    "seed": lambda number: dgenfs.generate_data(5000, 2, seed=number).tobytes(),
    "offset": read_into,
    "offset later": read_into_later,
    "seek": seek,
    "seek later": seek_later,
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_any_kind_is_as_good(entry: str) -> None:
    right = ENTRIES[entry](100)
    for kind in (*KINDS, Index):
        assert ENTRIES[entry](kind(100)) == right, kind
    assert ENTRIES[entry](True) == ENTRIES[entry](1)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    "value",
    [1.0, np.float64(5), "5", b"5", np.array([1, 2]), Fraction(4), 1j, np.bool_(True)],
    ids=repr,
)
def test_what_is_no_whole_number(entry: str, value: Any) -> None:
    with pytest.raises(TypeError, match="must be a whole number, not a ") as caught:
        ENTRIES[entry](value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("value", [-1, np.int8(-1), np.int64(-(2**63))], ids=repr)
def test_negative(entry: str, value: Any) -> None:
    with pytest.raises((ValueError, IndexError), match=f"{int(value)}.*: must be "):
        ENTRIES[entry](value)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if "offset" not in e and "threads" not in e])
@pytest.mark.parametrize("value", [2**64, 2**100])
def test_too_large(entry: str, value: int) -> None:
    with pytest.raises((ValueError, IndexError), match=f"{value}.*: must be "):
        ENTRIES[entry](value)


def test_bounds() -> None:
    assert type(whole_number("x", np.uint8(255), 0, 255)) is int
    with pytest.raises(ValueError, match=r"^x 4: must be at least 5$"):
        whole_number("x", np.uint8(4), 5)
    with pytest.raises(ValueError, match=r"^x 6: must be 0 to 5$"):
        whole_number("x", 6, 0, 5)
