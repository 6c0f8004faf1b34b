import hashlib

import pytest
from containers import tfrecord as oracle
from containers.contents import SAMPLE, named
from containers.expanding import expand
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dgenfs.content.containers import tfrecord
from dgenfs.content.containers.formats import FORMATS
from dgenfs.content.containers.frames import LARGE, PAGE, Container, ContainerError

LEAST = 55
HUGE = 2**63 - 1
SIZES = st.integers(LEAST, 400) | st.integers(LEAST, 300_000) | st.integers(64_000, 1_100_000)
RECORDS = st.none() | st.integers(1, 300) | st.integers(1, 400_000) | st.sampled_from([LARGE, HUGE])


def payload_starts(container: Container) -> list[tuple[int, int]]:
    """Where each record's payload starts, in the file and in the payload."""
    return [
        (start + k * run.stride + len(run.head), run.payload + k * run.hole)
        for start, run in zip(container.starts, container.runs, strict=True)
        for k in range(run.count)
        if run.payload is not None
    ]


@settings(max_examples=150)
@given(SIZES, RECORDS, st.booleans())
@example(LEAST, 1, False)
@example(LARGE, LARGE, False)
@example(LARGE - 1, LARGE, False)
@example(LARGE + 8192, LARGE, True)
@example(1_000_000, 100_000, True)
@example(1_000_000, 100_000, False)
def test_a_file_is_that_of_the_oracle(size: int, record: int | None, repeats: bool) -> None:
    container = tfrecord.container(size, record, repeats)
    data = oracle.file(size, record, repeats, SAMPLE)
    assert expand(container, SAMPLE) == data
    assert container.size == len(data) == size
    assert container.rest == 0
    assert container.payload == container.record * (container.records - 1) + container.last
    index = tfrecord.index(size, record, repeats)
    lines = oracle.index(data)
    assert expand(index, b"") == lines
    assert index.records == container.records == lines.count(b"\n")


@settings(max_examples=100)
@given(st.integers(LARGE, 3_000_000), st.integers(LARGE, 300_000), st.booleans())
def test_large_records_start_on_pages(size: int, record: int, repeats: bool) -> None:
    record = min(record, size)
    for at, payload in payload_starts(tfrecord.container(size, record, repeats)):
        assert (at - payload if repeats else at) % PAGE == 0


def test_the_smallest_file_has_a_byte_of_payload() -> None:
    for record in (None, 1, LARGE, HUGE):
        assert tfrecord.LEAST == LEAST
        assert tfrecord.container(LEAST, record, False).payload == 1


@pytest.mark.parametrize("size", [2**40, 2**40 + 1, HUGE - 1, HUGE])
@pytest.mark.parametrize("record", [None, 1, 65535, LARGE, 10**6 + 1, 1000 << 20])
@pytest.mark.parametrize("repeats", [False, True])
def test_huge_files_are_few_runs(size: int, record: int | None, repeats: bool) -> None:
    container = tfrecord.container(size, record, repeats)
    index = tfrecord.index(size, record, repeats)
    assert container.size == size
    assert len(container.runs) <= 3
    assert len(index.runs) <= 21
    # Lines of the index, one below the other, end where the file does.
    last = index.runs[-1]
    assert last.count == 1
    offset, length = last.fields[0], last.head.split()[1]
    assert getattr(offset, "base") + int(length) == size  # noqa: B009


def test_a_record_that_no_parser_takes_is_refused() -> None:
    with pytest.raises(ContainerError, match=r"3221221372 bytes.*2147479552.*1048576000"):
        tfrecord.container(3 << 30, HUGE, False)
    with pytest.raises(ContainerError):
        tfrecord.index(3 << 30, HUGE, False)


@pytest.mark.parametrize("name", oracle.VECTORS)
def test_vectors(name: str) -> None:
    size, record, repeats, content = named(name)
    data = oracle.file(size, record, repeats, content)
    assert hashlib.sha256(data).hexdigest() == oracle.VECTORS[name]
    container = FORMATS["tfrecord"].container(size, record, repeats)
    assert expand(container, content) == data
