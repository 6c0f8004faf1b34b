import hashlib
import tarfile

import pytest
from containers import tar as oracle
from containers.contents import SAMPLE, named
from containers.expanding import ends, expand
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dgenfs.content.containers import tar
from dgenfs.content.containers.formats import FORMATS
from dgenfs.content.containers.frames import LARGE, PAGE, Run

LEAST = 3072
HUGE = 2**63 - 1
SIZES = st.integers(LEAST, 20_000) | st.integers(LEAST, 300_000) | st.integers(64_000, 1_100_000)
RECORDS = (
    st.none() | st.integers(1, 3000) | st.integers(1, 400_000) | st.sampled_from([LARGE, HUGE])
)


@settings(max_examples=150)
@given(SIZES, RECORDS, st.booleans())
@example(LEAST, 1, False)
@example(LEAST + 511, 512, False)
@example(LARGE, LARGE, False)
@example(1_000_000, 102_400, True)
@example(1_000_000, 102_400, False)
@example(1_000_000, 100_000, True)
def test_a_file_is_that_of_the_oracle(size: int, record: int | None, repeats: bool) -> None:
    container = tar.container(size, record, repeats)
    data = oracle.file(size, record, repeats, SAMPLE)
    assert expand(container, SAMPLE) == data
    assert container.size == len(data) == size
    assert container.rest == 0
    assert container.payload == container.record * (container.records - 1) + container.last


@settings(max_examples=100)
@given(st.integers(LARGE, 3_000_000), st.integers(LARGE, 300_000), st.booleans())
@example(3_000_000, 102_400, True)
def test_large_records_start_on_pages(size: int, record: int, repeats: bool) -> None:
    record = min(record, size)
    container = tar.container(size, record, repeats)
    for start, run in zip(container.starts, container.runs, strict=True):
        if run.payload is None:
            continue
        for k in range(run.count):
            at = start + k * run.stride + len(run.head)
            where = run.payload + k * run.hole if repeats and record % 512 == 0 else 0
            assert (at - where) % PAGE == 0


def test_the_smallest_file_has_a_block_of_payload() -> None:
    for record in (None, 1, LARGE, HUGE):
        assert tar.LEAST == LEAST
        assert tar.container(LEAST, record, False).payload == 512


def members(run: Run, k: int) -> list[tarfile.TarInfo]:
    """The last headers of head and tail; Python's reader checks their checksums."""
    head, tail = ends(run, k, b"")
    return [
        tarfile.TarInfo.frombuf(end, "ascii", "strict") for end in (head[-512:], tail[-1024:-512])
    ]


@pytest.mark.parametrize("size", [2**40, 2**40 + 1, HUGE - 1, HUGE])
@pytest.mark.parametrize("record", [None, 1, 65535, LARGE, 10**6 + 1, 1 << 33, HUGE])
@pytest.mark.parametrize("repeats", [False, True])
def test_huge_files_are_few_runs(size: int, record: int | None, repeats: bool) -> None:
    container = tar.container(size, record, repeats)
    assert container.size == size
    assert len(container.runs) <= 4
    first = 0
    digits = max(6, len(str(container.records - 1)))
    for run in container.runs[:-1]:
        for k in {0, run.count // 3, run.count - 1}:
            payload, label = members(run, k)
            assert payload.name == f"{first + k:0{digits}}.bin"
            assert label.name == f"{first + k:0{digits}}.cls"
            assert (payload.size, label.size) == (run.hole, 1)
        first += run.count
    assert first == container.records


def test_a_size_with_no_eleven_octal_digits() -> None:
    for length in (2**33 - 512, 2**33, 10**18 // 512 * 512):
        size = length + 4096 + 2048
        run, footer = tar.container(size, HUGE, False).runs
        wanted = oracle.pax(length, 3072) + oracle.header("000000.bin", length, "0")
        assert ends(run, 0, b"")[0] == wanted
        assert footer.size == 1024


@pytest.mark.parametrize("name", oracle.VECTORS)
def test_vectors(name: str) -> None:
    size, record, repeats, content = named(name)
    data = oracle.file(size, record, repeats, content)
    assert hashlib.sha256(data).hexdigest() == oracle.VECTORS[name]
    container = FORMATS["tar"].container(size, record, repeats)
    assert expand(container, content) == data
