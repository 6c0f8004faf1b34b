import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from privileges import block_device

from dgenfs import DataGenerator, Spec
from dgenfs.api.publishing import write_tree
from dgenfs.names.catalog import Directory, File
from dgenfs.verifying.comparing import CHUNK
from dgenfs.verifying.findings import MAX_EXTENTS, Extent, Kind
from dgenfs.verifying.reading import BLOCK
from dgenfs.verifying.reports import FileReport
from dgenfs.verifying.verifier import Verifier

Bytes = NDArray[np.uint8]

NAMES = ["9M+123_d1_c1", "9M+123_d3_c2_s7", "9M+123_d2_c20", "9M+123_d4_c1.5_b64K"]


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    with Verifier(seeds=[99, 100]) as verifier:
        yield verifier


def content(name: str) -> Bytes:
    generator = DataGenerator(name)
    data = np.empty(generator.size, np.uint8)
    generator.fill_chunk(data)
    return data


def check(verifier: Verifier, path: Path, name: str, data: Bytes) -> FileReport:
    """Verify ``data`` and compare the counts with those of a plain comparison of two arrays."""
    path.write_bytes(data.tobytes())
    report = verifier.verify_file(path, File(Spec.parse(name)))
    right = content(name)
    common = min(right.size, data.size)
    wrong = np.flatnonzero(right[:common] != data[:common])
    assert report.wrong_bytes == wrong.size + abs(right.size - data.size)
    assert report.wrong_sectors == np.unique(wrong // 512).size
    assert report.identical == (report.wrong_bytes == 0)
    covered = np.zeros(max(right.size, data.size), bool)
    for extent in report.extents:
        assert not covered[extent.start : extent.end].any(), "extents overlap"
        covered[extent.start : extent.end] = True
    assert report.omitted_extents or covered[wrong].all()
    bits = np.unpackbits(right[:common] ^ data[:common]).sum()
    assert sum(total.wrong_bits for total in report.totals.values()) == bits
    return report


@pytest.mark.parametrize("name", ["0", "1", "511", "4096", "4M", "4M+1", *NAMES, "13x5000_d2"])
def test_identical(verifier: Verifier, tmp_path: Path, name: str) -> None:
    if Spec.parse(name).tree:
        write_tree(Spec.parse(name), tmp_path / name, lambda _: None)
        tree = verifier.verify_tree(tmp_path / name, Directory(Spec.parse(name)))
        assert tree.identical
        assert tree.identical_files == 13
        return
    assert check(verifier, tmp_path / name, name, content(name)).identical


@pytest.mark.parametrize("name", NAMES)
def test_zeros(verifier: Verifier, tmp_path: Path, name: str) -> None:
    data = content(name)
    start, end = CHUNK - 65536, CHUNK + 131072
    data[start:end] = 0
    (extent,) = check(verifier, tmp_path / "copy", name, data).extents
    assert extent.kind is Kind.ZEROS
    assert start <= extent.start < start + 512
    assert end - 512 < extent.end <= end


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [1, 511, 512, 5 << 20, (9 << 20) + 123])
def test_missing_tail(verifier: Verifier, tmp_path: Path, name: str, cut: int) -> None:
    data = content(name)
    report = check(verifier, tmp_path / "copy", name, data[: data.size - cut])
    assert report.extents == [Extent(data.size - cut, data.size, Kind.MISSING, cut)]


def test_excess_tail(verifier: Verifier, tmp_path: Path) -> None:
    data = content(NAMES[0])
    longer = np.concatenate([data, data[:7]])
    report = check(verifier, tmp_path / "copy", NAMES[0], longer)
    assert report.extents == [Extent(data.size, data.size + 7, Kind.EXCESS, 7)]


@pytest.mark.parametrize("name", NAMES)
def test_bit_flips(verifier: Verifier, tmp_path: Path, name: str) -> None:
    data = content(name)
    flips = [(0, 1), (2000, 128), (CHUNK - 1, 16), (CHUNK, 4), (7_000_001, 2), (data.size - 1, 64)]
    for at, bit in flips:
        data[at] ^= bit
    report = check(verifier, tmp_path / "copy", name, data)
    assert {extent.kind for extent in report.extents} == {Kind.BIT_FLIPS}
    assert report.totals[Kind.BIT_FLIPS].wrong_bits == len(flips)
    found = [(extent.start, extent.end) for extent in report.extents]
    assert found == [
        (0, 1),
        (2000, 2001),
        (CHUNK - 1, CHUNK + 1),
        (7_000_001, 7_000_002),
        (data.size - 1, data.size),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", [0, 8 << 20])
def test_misplaced_blocks(verifier: Verifier, tmp_path: Path, name: str, source: int) -> None:
    data = content(name)
    start, length = (4 << 20) - 32768, 65536
    data[start : start + length] = content(name)[source : source + length]
    (extent,) = check(verifier, tmp_path / "copy", name, data).extents
    assert extent.kind is Kind.MISPLACED
    # Bytes at the ends may be the same by chance, or zeros in both places.
    assert start <= extent.start < start + 8
    assert start + length - 512 < extent.end <= start + length
    assert extent.belongs_at is not None
    assert extent.belongs_in == 0
    right = content(name)
    begin = source + extent.start - start
    there = right[extent.belongs_at : extent.belongs_at + 60000]
    assert np.array_equal(there, right[begin : begin + 60000])
    # Of all the places that hold these bytes, the nearest one is named.
    layout = Spec.parse(name).layout
    assert abs(extent.belongs_at - start) <= min(layout.period, abs(source - start))


@pytest.mark.parametrize("shift", [1, 4, 8, 100, 513])
def test_inserted_bytes_shift_the_rest(verifier: Verifier, tmp_path: Path, shift: int) -> None:
    name = "3M_d1_c2"
    right = content(name)
    at = 1 << 20
    data = np.concatenate([right[:at], np.full(shift, 7, np.uint8), right[at:-shift]])
    report = check(verifier, tmp_path / "copy", name, data)
    misplaced = [extent for extent in report.extents if extent.kind is Kind.MISPLACED]
    assert {(e.belongs_at or 0) - e.start for e in misplaced} == {-shift}
    assert report.totals[Kind.MISPLACED].wrong_bytes > 0.99 * report.wrong_bytes


def test_another_seed(verifier: Verifier, tmp_path: Path) -> None:
    name = "9M+123_d2_c2_s7"
    data = content(name)
    data[4096:1052672] = content("9M+123_d2_c2_s100")[4096:1052672]
    data[2 << 20 : 3 << 20] = content("9M+123_d2_c2_s99")[1 << 20 : 2 << 20]
    data[5 << 20 : 6 << 20] = content("9M+123_d2_c2_s98")[5 << 20 : 6 << 20]
    report = check(verifier, tmp_path / "copy", name, data)
    kinds = [(e.kind, e.seed, e.start, e.belongs_at) for e in report.extents]
    assert kinds == [
        (Kind.OTHER_SEED, 100, 4096, 4096),
        (Kind.OTHER_SEED, 99, 2 << 20, 1 << 20),
        (Kind.UNKNOWN, None, 5 << 20, None),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_unknown(verifier: Verifier, tmp_path: Path, name: str) -> None:
    data = content(name)
    data[100_000:300_000] = np.random.default_rng(1).integers(0, 256, 200_000, np.uint8)
    report = check(verifier, tmp_path / "copy", name, data)
    assert {extent.kind for extent in report.extents} == {Kind.UNKNOWN}
    assert len(report.extents) == 1


def test_extents_beyond_the_limit_are_counted(verifier: Verifier, tmp_path: Path) -> None:
    name = "16M"
    data = content(name)
    data[:: 2 * 512] ^= 1
    report = check(verifier, tmp_path / "copy", name, data)
    assert len(report.extents) == MAX_EXTENTS
    assert report.totals[Kind.BIT_FLIPS].extents == (16 << 20) // 1024
    assert report.omitted_extents == (16 << 20) // 1024 - MAX_EXTENTS


@pytest.mark.parametrize("start", [12 << 20, 14 << 20])
def test_an_extent_beyond_the_limit_is_one(verifier: Verifier, tmp_path: Path, start: int) -> None:
    """However many chunks it spans."""
    name = "24M"
    data = content(name)
    data[: start : 2 * 512] ^= 1
    data[start:] = 0
    report = check(verifier, tmp_path / "copy", name, data)
    assert len(report.extents) == MAX_EXTENTS
    assert report.totals[Kind.BIT_FLIPS].extents == start // 1024
    assert report.totals[Kind.ZEROS].extents == 1
    assert report.last is not None
    assert (report.last.start, report.last.end) == (start, 24 << 20)


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, Spec]:
    spec = Spec.parse("30x5000_d2_c2_f7")
    write_tree(spec, tmp_path / spec.name, lambda _: None)
    return tmp_path / spec.name, spec


def test_damaged_tree(verifier: Verifier, tree: tuple[Path, Spec]) -> None:
    path, spec = tree
    (path / spec.path(3)).unlink()
    (path / spec.path(9)).write_bytes((path / spec.path(11)).read_bytes())
    (path / "0001" / "extra").write_bytes(b"")
    (path / "000001.bin").mkdir()
    report = verifier.verify_tree(path, Directory(spec))
    assert not report.identical
    assert (report.identical_files, report.different_files) == (28, 1)
    assert report.missing == [spec.path(3)]
    assert sorted(report.unexpected) == ["000001.bin", "0001/extra"]
    (different,) = report.different
    (extent,) = different.extents
    assert (different.file, extent.kind) == (9, Kind.MISPLACED)
    assert (extent.belongs_in, extent.belongs_at) == (11, 0)


def test_a_tree_with_other_things_in_the_place_of_files(
    verifier: Verifier, tree: tuple[Path, Spec]
) -> None:
    path, spec = tree
    (path / spec.path(5)).unlink()
    (path / spec.path(5)).mkdir()
    (path / spec.path(6)).unlink()
    os.mkfifo(path / spec.path(6))
    shutil.rmtree(path / "0002")
    (path / "0002").write_bytes(b"")
    report = verifier.verify_tree(path, Directory(spec))
    assert report.missing == [spec.path(file) for file in (5, 6, *range(14, 21))]
    assert report.unexpected == ["0002"]
    assert (report.identical_files, report.different_files) == (21, 0)


def test_progress_of_a_tree_comes_to_its_size(verifier: Verifier, tree: tuple[Path, Spec]) -> None:
    path, spec = tree
    (path / spec.path(3)).unlink()
    steps: list[int] = []
    verifier.verify_tree(path, Directory(spec), steps.append)
    assert sum(steps) == spec.layout.total_size


def test_a_tree_of_large_files(verifier: Verifier, tmp_path: Path) -> None:
    spec = Spec.parse("3x9M_d2")
    path = tmp_path / spec.name
    write_tree(spec, path, lambda _: None)
    with (path / spec.path(1)).open("r+b") as file:
        file.seek(5 << 20)
        file.write(bytes(4096))
    (different,) = verifier.verify_tree(path, Directory(spec)).different
    assert (different.file, different.extents[0].kind) == (1, Kind.ZEROS)


def test_a_tree_that_is_not_there(verifier: Verifier, tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError):
        verifier.verify_tree(tmp_path / "none", Directory(Spec.parse("3x1K")))


@pytest.mark.parametrize("direct", [False, True])
def test_device(tmp_path: Path, direct: bool) -> None:
    """A block device longer than the content: what follows is not ours to judge."""
    spec = Spec.parse("5M+77_d2_c2")
    image = tmp_path / "image"
    image.write_bytes(content(spec.name).tobytes())
    os.truncate(image, 8 << 20)
    with block_device(image) as path, Verifier(direct=direct) as verifier:
        assert stat.S_ISBLK(path.stat().st_mode)
        assert verifier.verify_file(path, File(spec)).identical


def test_direct_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with Verifier(direct=True) as verifier:
        with pytest.raises(ValueError, match="O_DIRECT"):
            verifier.verify_file(Path("/proc/version"), File(Spec.parse("1K")))
        path = tmp_path / "4M"
        path.write_bytes(content("4M").tobytes())
        assert verifier.verify_file(path, File(Spec.parse("4M"))).identical


def test_unreadable_blocks(
    verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad medium, stood in for by a read that fails wherever it touches two bad blocks."""
    name = "9M_d1_c2"
    path = tmp_path / name
    path.write_bytes(content(name).tobytes())
    bad = [5 * BLOCK, CHUNK + 3 * BLOCK]
    preadv: Callable[..., int] = os.preadv

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if any(offset < block + BLOCK and block < offset + len(buffers[0]) for block in bad):
            raise OSError(5, "Input/output error")
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    report = verifier.verify_file(path, File(Spec.parse(name)))
    assert report.extents == [Extent(block, block + BLOCK, Kind.UNREADABLE, BLOCK) for block in bad]


def test_paths_that_are_no_files(verifier: Verifier, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, error in (
        (tmp_path / "none", FileNotFoundError),
        (tmp_path / "fifo", ValueError),
        (tmp_path, ValueError),
    ):
        with pytest.raises(error):
            verifier.verify_file(path, File(Spec.parse("1K")))


@pytest.mark.parametrize("file", [0, 500_000_000, 999_999_999])
@pytest.mark.parametrize("distance", [-(1 << 20), 1 << 20])
def test_misplaced_in_a_tree_of_the_largest_period(
    verifier: Verifier, tmp_path: Path, file: int, distance: int
) -> None:
    """Whole units are more than the tree's bytes: sums of two content offsets pass 2^64."""
    spec = Spec.parse("1000000000x9223372036")
    assert spec.layout.period > 1 << 63
    data = np.empty(4 << 20, np.uint8)
    generator = DataGenerator(spec, file=file)
    generator.fill_chunk(data)
    start, length = 2 << 20, 128 << 10
    data[start : start + length] = data[start + distance : start + distance + length]
    generator.set_seed(99)
    generator.read_into(data[-4096:], 4096)
    (tmp_path / "copy").write_bytes(data.tobytes())
    misplaced, other_seed, missing = verifier.verify_file(
        tmp_path / "copy", File(spec, file)
    ).extents
    assert (misplaced.kind, misplaced.start, misplaced.end) == (
        Kind.MISPLACED,
        start,
        start + length,
    )
    assert (misplaced.belongs_in, misplaced.belongs_at) == (file, start + distance)
    assert (other_seed.kind, other_seed.seed) == (Kind.OTHER_SEED, 99)
    assert (other_seed.belongs_in, other_seed.belongs_at) == (file, 4096)
    assert missing.kind is Kind.MISSING


def test_bits_that_flip_are_of_no_seed(tmp_path: Path) -> None:
    """The words between them are right: that the content's own seed is listed says nothing."""
    name = "1M_d1_c1_s7"
    data = content(name)
    data[5000] ^= 1
    data[5100] ^= 1
    with Verifier(seeds=range(10)) as verifier:
        report = check(verifier, tmp_path / "copy", name, data)
    assert report.extents == [Extent(5000, 5101, Kind.BIT_FLIPS, 2, 2)]


def test_a_hundred_thousand_seeds(tmp_path: Path) -> None:
    """One look-up finds a seed, however many there are: each on its own would take minutes."""
    name = "8M_d1_c1"
    data = np.random.default_rng(1).integers(0, 256, 8 << 20, np.uint8)
    data[1 << 20 : 2 << 20] = content(f"{name}_s77777")[1 << 20 : 2 << 20]
    used = time.process_time()
    with Verifier(seeds=range(1, 100_000)) as verifier:
        report = check(verifier, tmp_path / "copy", name, data)
    assert time.process_time() - used < 20
    assert [(one.kind, one.seed) for one in report.extents] == [
        (Kind.UNKNOWN, None),
        (Kind.OTHER_SEED, 77_777),
        (Kind.UNKNOWN, None),
    ]


def test_sectors_in_any_order(verifier: Verifier, tmp_path: Path) -> None:
    name = "12M_d1_c1"
    sectors = content(name).reshape(-1, 512)
    order = np.random.default_rng(1).permutation(len(sectors))
    report = check(verifier, tmp_path / "copy", name, sectors[order].reshape(-1))
    assert len(report.extents) == MAX_EXTENTS
    for extent in report.extents:
        assert extent.belongs_at is not None
        assert extent.belongs_at // 512 == order[extent.start // 512]
    apart = np.diff(order[order != np.arange(order.size)]) != 1
    assert report.totals.keys() == {Kind.MISPLACED}
    assert report.totals[Kind.MISPLACED].extents == 1 + apart.sum()
