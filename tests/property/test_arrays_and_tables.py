"""hdf5, parquet and safetensors against their oracles, and what holds for files of any size."""

import hashlib
import re
from types import ModuleType

import pytest
from containers import contents, hdf5, parquet, safetensors
from containers.expanding import expand
from hypothesis import given, settings
from hypothesis import strategies as st

from dgenfs.content.containers.formats import FORMATS
from dgenfs.content.containers.frames import Container, ContainerError

ORACLES = {"hdf5": hdf5, "parquet": parquet, "safetensors": safetensors}
MOST = len(contents.SAMPLE)
# Where a number gets another digit or byte, and where records are large.
EDGES = [100, 1000, 2**13, 10**4, 2**16, 10**5, 2**16 + 2**12, 2**17, 10**6, 2**20]
NEAR_EDGES = st.builds(int.__add__, st.sampled_from(EDGES), st.integers(-300, 300))
by_format = pytest.mark.parametrize(("extension", "slow"), ORACLES.items(), ids=ORACLES)


def check(slow: ModuleType, extension: str, size: int, record: int | None, repeats: bool) -> None:
    container = FORMATS[extension].container(size, record, repeats)
    well_formed(container, size)
    expected = slow.file(size, record, repeats, contents.SAMPLE)
    assert expand(container, contents.SAMPLE) == expected


def well_formed(container: Container, size: int) -> None:
    assert container.size == size
    assert all(run.size for run in container.runs)
    assert len(container.runs) <= 6
    whole = (container.records - 1) * container.record + container.last
    assert container.payload == whole + container.rest


@by_format
def test_every_size_from_the_least(extension: str, slow: ModuleType) -> None:
    assert FORMATS[extension].least == slow.LEAST
    for record in (None, 1, 7, 2**20, 2**62):
        assert FORMATS[extension].container(slow.LEAST, record, bool(record)).payload == 1
    for size in range(slow.LEAST, slow.LEAST + 200):
        for record in (None, 1, 3, 2**62):
            check(slow, extension, size, record, size % 2 == 0)


@by_format
@settings(max_examples=300)
@given(
    sizes=st.integers(0, MOST) | NEAR_EDGES,
    record=st.none() | st.integers(1, 2000) | NEAR_EDGES.filter(bool) | st.integers(1, MOST),
    repeats=st.booleans(),
)
def test_bytes(
    extension: str, slow: ModuleType, sizes: int, record: int | None, repeats: bool
) -> None:
    size = min(MOST, max(slow.LEAST, sizes))
    check(slow, extension, size, None if record is None else max(1, record), repeats)


LARGE_FILES = [
    ("hdf5", 2**40, None),
    ("hdf5", 2**63 - 1, 1),
    ("hdf5", 2**63 - 1, 2**63 - 1),
    ("parquet", 2**40, None),
    ("parquet", 10**15 + 1, 2**20),
    ("parquet", 2**50, 2**31 - 1),
    ("safetensors", 2**40, 10**7),
    ("safetensors", 2**63 - 1, None),
    ("safetensors", 2**63 - 1, 10**14),
]


@pytest.mark.parametrize(("extension", "size", "record"), LARGE_FILES)
def test_large_files_are_few_runs(extension: str, size: int, record: int | None) -> None:
    container = FORMATS[extension].container(size, record, True)
    well_formed(container, size)
    assert len(container.runs) < 10


@by_format
@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("record", [2**16, 2**16 + 1, 2**17 + 3, 10**6])
def test_large_records_stand_on_pages(
    extension: str, slow: ModuleType, record: int, repeats: bool
) -> None:
    assert slow
    stand_on_pages(FORMATS[extension].container(10**9 + 7, record, repeats), repeats)


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("record", [64, 1001, 4096])
def test_large_pages_of_parquet_do_with_small_records(record: int, repeats: bool) -> None:
    stand_on_pages(FORMATS["parquet"].container(10**9 + 7, record, repeats), repeats)


def stand_on_pages(container: Container, repeats: bool) -> None:
    """Each hole starts where pages do, or, with repeats, as far behind that as in the content."""
    for start, run in zip(container.starts, container.runs, strict=True):
        if run.payload is not None:
            for k in {0, 1, run.count - 1} & set(range(run.count)):
                offset = start + k * run.stride + len(run.head)
                assert (offset - (run.payload + k * run.hole if repeats else 0)) % 4096 == 0


@pytest.mark.parametrize(
    ("extension", "size", "record"),
    [
        ("parquet", 2**40, 1000),
        ("parquet", 2**48, None),
        ("parquet", 2**50, 2**30 + 1),
        ("safetensors", 2**30, 10),
        ("safetensors", 2**40, 2**16),
        ("safetensors", 2**63 - 1, 10**12),
    ],
)
def test_too_many_records(extension: str, size: int, record: int | None) -> None:
    make = FORMATS[extension].container
    with pytest.raises(ContainerError, match=f"at most 100.* and {size} bytes") as caught:
        make(size, record, False)
    enough = int(re.findall(r"name an r of (?:at least )?(\d+)", str(caught.value))[0])
    assert make(size, enough, False).size == size
    with pytest.raises(ContainerError, match=rf"name an r of (at least )?{enough}\b"):
        make(size, enough - 1, False)


@pytest.mark.parametrize(
    ("size", "record", "message"),
    [
        (2**33, 2**31, "a value of parquet has at most 2147483647 bytes, .* 2147483648 has more"),
        (2**62, 2**20, "at most 1000000 row groups, .*; no parquet file is above 1.9 PiB$"),
    ],
)
def test_what_parquet_has_no_room_for(size: int, record: int, message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        FORMATS["parquet"].container(size, record, False)


VECTORS = [vector for slow in ORACLES.values() for vector in slow.VECTORS.items()]


@pytest.mark.parametrize(("name", "sha256"), VECTORS)
def test_vectors(name: str, sha256: str) -> None:
    extension = name.rsplit(".", 1)[1]
    size, record, repeats, content = contents.named(name)
    data = ORACLES[extension].file(size, record, repeats, content)
    assert hashlib.sha256(data).hexdigest() == sha256
    assert expand(FORMATS[extension].container(size, record, repeats), content) == data
