"""Views against the bytes that their segments give one after the other."""

import errno
import os
from pathlib import Path

import numpy as np
import oracle
import pytest
import segmented
from hypothesis import given
from hypothesis import strategies as st

import dgenfs
from dgenfs import DataGenerator, Spec
from dgenfs.api.publishing import write_file, write_tree
from dgenfs.content.view import Computed, ContentRange, Failing, Literal, Segment, View, Zeros
from dgenfs.names.catalog import Directory, File
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.verifier import Verifier

TREE = "7x3000_d2_c2"
PLAIN = "9M+5_d2_c2_s77"
FEW = "3x300000_d2_c2_s77"


@st.composite
def segments(draw: st.DrawFn) -> tuple[Segment, bytes]:
    """A segment and its bytes."""
    length = draw(st.integers(0, 3000))
    match draw(st.integers(0, 3)):
        case 0:
            data = draw(st.binary(max_size=50)) * draw(st.integers(0, 40))
            return Literal(data), data
        case 1:
            return Zeros(length), bytes(length)
        case 2:
            computed = bytes(i % 251 for i in range(length))
            return Computed(length, segmented.compute), computed
        case _:
            content = oracle.parse(TREE)
            start = draw(st.integers(0, content.files * content.size - length))
            data = oracle.read_all_files(content, start, length)
            return ContentRange(Spec.parse(TREE).layout, start, length), data


@given(st.lists(segments(), max_size=8), st.data())
def test_any_range_of_any_segments(parts: list[tuple[Segment, bytes]], data: st.DataObject) -> None:
    view = View.of(*(segment for segment, _ in parts))
    whole = b"".join(expected for _, expected in parts)
    assert view.size == len(whole)
    offset = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - offset))
    assert view.read(offset, length) == whole[offset : offset + length]
    assert view.read(offset, len(whole) + 1) == whole[offset:]
    part = view.part(offset, length)
    assert (part.size, part.read(0, length)) == (length, whole[offset : offset + length])
    inner = data.draw(st.integers(0, length))
    again = part.part(inner, length - inner)
    assert again.read(0, length) == whole[offset + inner : offset + length]


def test_only_what_a_row_describes_is_known_to_kernels() -> None:
    spec = Spec.parse("3x1M")
    view = spec.view(2)
    for part, start, length in ((view, 2 << 20, 1 << 20), (view.part(5, 7), (2 << 20) + 5, 7)):
        assert part.files is not None
        assert part.files.row is spec.row
        assert (part.files.start, part.files.length) == (start, length)
        ((_, segment, *_),) = part.pieces(0, length)
        assert segment == ContentRange(spec.layout, 2 << 20, 1 << 20)
    assert View.of(Literal(b"x"), ContentRange(spec.layout, 0, 5)).files is None
    assert View.of(Zeros(5)).files is None
    assert View.of().size == 0


def test_a_rule_for_more_segments_than_could_be_listed() -> None:
    """10^9 members of 512 B of head and 3000 B of content, as in an archive."""
    count, member = 10**9, 512 + 3000
    content = oracle.parse("1000000000x3000_d2_c2")
    layout = Spec.parse("1000000000x3000_d2_c2").layout

    def segment_at(offset: int) -> tuple[int, Segment]:
        number, within = divmod(offset, member)
        if within < 512:
            return number * member, Literal(str(number).encode().ljust(512, b"\0"))
        return number * member + 512, ContentRange(layout, number * 3000, 3000)

    view = View(count * member, segment_at)
    for number in (0, 1, 123_456_789, count - 1):
        head = str(number).encode().ljust(512, b"\0")
        data = oracle.read(content, number, 0, 3000)
        assert view.read(number * member, member) == head + data
        assert view.read(number * member + 500, 100) == (head + data)[500:600]
    assert view.read(count * member - 5, 100) == oracle.read(content, count - 1, 2995, 5)


def test_what_cannot_be_read() -> None:
    view = View.of(Literal(b"ab"), Failing(10, errno.EILSEQ), Literal(b"cd"))
    assert view.read(0, 2) == b"ab"
    assert view.read(12, 9) == b"cd"
    for offset, length in ((0, 3), (5, 1), (11, 3)):
        with pytest.raises(OSError, match="Invalid or incomplete") as failed:
            view.read(offset, length)
        assert failed.value.errno == errno.EILSEQ


@pytest.fixture
def _segmented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spec, "view", segmented.view)


@pytest.mark.usefixtures("_segmented")
def test_the_generator_and_open_know_views_only() -> None:
    expected = segmented.expected(PLAIN)
    generator = DataGenerator(PLAIN, file=0)
    data = bytearray(len(expected) + 1)
    assert generator.fill_chunk(data) == len(expected)
    assert data[:-1] == expected
    assert generator.read_into(data, 100_000) == len(expected) - 100_000
    with dgenfs.open(PLAIN) as file:
        file.seek(1000)
        assert file.read() == expected[1000:]


@pytest.mark.usefixtures("_segmented")
def test_large_buffers_of_segments_are_filled_by_all_threads() -> None:
    name = "40M_s77"
    one, all_cpus = (np.zeros(40 << 20, np.uint8) for _ in range(2))
    DataGenerator(name, file=0, threads=1).read_into(one, 0)
    DataGenerator(name, file=0).read_into(all_cpus, 0)
    assert np.array_equal(one, all_cpus)
    assert one[: 1 << 20].tobytes() == segmented.expected(name)[: 1 << 20]


@pytest.mark.usefixtures("_segmented")
def test_gen_and_verify_know_views_only(tmp_path: Path) -> None:
    spec = Spec.parse(PLAIN)
    write_file(spec.view(0), tmp_path / PLAIN, lambda _: None)
    assert (tmp_path / PLAIN).read_bytes() == segmented.expected(PLAIN)
    write_tree(Spec.parse(FEW), tmp_path / FEW, lambda _: None)
    for file in range(3):
        path = tmp_path / FEW / f"00000{file}.bin"
        assert path.read_bytes() == segmented.expected(FEW, file)
    with Verifier() as verifier:
        assert verifier.verify_file(tmp_path / PLAIN, File(spec)).identical
        assert verifier.verify_tree(tmp_path / FEW, Directory(Spec.parse(FEW))).identical


@pytest.mark.usefixtures("_segmented")
def test_damage_in_segments_of_each_kind(tmp_path: Path) -> None:
    spec = Spec.parse(PLAIN)
    right = segmented.expected(PLAIN)
    data = bytearray(right)
    head = len(segmented.HEAD)
    zeros = head + segmented.BEFORE
    computed = zeros + segmented.ZEROS
    after = computed + segmented.COMPUTED
    data[10] ^= 3
    data[600:700] = bytes(100)
    data[head + 5] ^= 1
    data[zeros + 100 : zeros + 140] = os.urandom(40)
    data[computed + 1000] ^= 0x80
    # Content that stood 8 KiB further on, and the same at a place in the file's other range.
    data[after + 4096 : after + 8192] = right[after + 12288 : after + 16384]
    (tmp_path / "copy").write_bytes(data)
    with Verifier() as verifier:
        report = verifier.verify_file(tmp_path / "copy", File(spec))
    wrong = sum(a != b for a, b in zip(data, right, strict=True))
    assert report.wrong_bytes == wrong
    kinds = [extent.kind for extent in report.extents]
    assert kinds[:3] == [Kind.BIT_FLIPS, Kind.ZEROS, Kind.BIT_FLIPS]
    assert report.extents[0] == Extent(10, 11, Kind.BIT_FLIPS, 1, 2)
    assert report.extents[2] == Extent(head + 5, head + 6, Kind.BIT_FLIPS, 1, 1)
    assert kinds[3] is Kind.UNKNOWN
    assert report.extents[-2] == Extent(computed + 1000, computed + 1001, Kind.BIT_FLIPS, 1, 1)
    moved = report.extents[-1]
    assert (moved.kind, moved.start) == (Kind.MISPLACED, after + 4096)
    assert (moved.belongs_in, moved.belongs_at) == (0, after + 12288)


@pytest.mark.usefixtures("_segmented")
def test_what_a_view_cannot_read_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = View.of(Literal(b"ab"), Failing(5000, errno.EIO), Literal(b"cd"))
    monkeypatch.setattr(Spec, "view", lambda *_: failing)
    (tmp_path / "copy").write_bytes(b"ab" + os.urandom(5000) + b"cX")
    with Verifier() as verifier:
        report = verifier.verify_file(tmp_path / "copy", File(Spec.parse("5004")))
    assert report.extents == [Extent(5003, 5004, Kind.BIT_FLIPS, 1, 4)]
