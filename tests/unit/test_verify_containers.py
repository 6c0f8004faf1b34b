"""Damage of containers: each of their parts is named, and content is traced to file offsets."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
from containers import tfrecord
from containers.regions import Region, regions
from mounting import DGENFS
from processes import run

from dgenfs import Spec
from dgenfs.api.publishing import write_tree
from dgenfs.names.catalog import Directory, File
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.reports import FileReport
from dgenfs.verifying.verifier import Verifier

PARTS: dict[str, set[str | None]] = {
    "100000_d2_c2.npy": {None, "header"},
    "100000_c1.5_r1000.npz": {
        *(None, "header", "data descriptor", "CRC", "labels", "central directory", "padding"),
    },
    "100000_c3_r700.tfrecord": {None, "record header", "CRC"},
    "300000_r70000.tfrecord": {None, "record header", "CRC"},
    "100000_r70.tfrecord.idx": {"index"},
    "100000_r3000.h5": {None, "header", "padding", "labels"},
    "100000_d2_r300.hdf5": {None, "header", "padding", "labels"},
    "300000_r100.parquet": {None, "header", "page header", "footer"},
    "100000_c2_r2500.safetensors": {None, "header", "padding"},
    "100000_d3_c2_r1500.tar": {None, "record header", "footer"},
}
# Formats with records of their own: where the payload of each is.
OF_RECORDS = ("100000_c3_r700.tfrecord", "300000_r70000.tfrecord", "100000_d1_c2_r1500.tar")


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(seeds=[99]) as verifier:
        yield verifier


def right(name: str) -> bytearray:
    content = oracle.parse(name.removesuffix(".idx"))
    data = oracle.read(content, 0, 0, content.size)
    return bytearray(tfrecord.index(data) if name.endswith(".idx") else data)


def of(name: str) -> list[Region]:
    container = Spec.parse(name).container
    assert container is not None
    return regions(container)


def verified(verifier: Verifier, path: Path, name: str, data: bytes | bytearray) -> FileReport:
    path.write_bytes(data)
    return verifier.verify_file(path, File(Spec.parse(name)))


@pytest.mark.parametrize("name", PARTS)
def test_a_bit_of_every_part(verifier: Verifier, tmp_path: Path, name: str) -> None:
    """Byte exact, each by itself, and no CRC for what it covers."""
    data = right(name)
    assert verified(verifier, tmp_path / "copy", name, data).identical
    expected = []
    for region in of(name):
        at = (region.start + region.end) // 2
        data[at] ^= 16
        expected.append(Extent(at, at + 1, Kind.BIT_FLIPS, 1, 1, part=region.part))
    report = verified(verifier, tmp_path / "copy", name, data)
    assert report.extents == expected
    assert {extent.part for extent in report.extents} == PARTS[name]
    assert report.wrong_sectors == len({extent.start // 512 for extent in expected})


@pytest.mark.parametrize("name", PARTS)
def test_first_and_last_byte_of_each_part(verifier: Verifier, tmp_path: Path, name: str) -> None:
    seen: dict[str | None, Region] = {}
    for region in of(name):
        seen.setdefault(region.part, region)
    for region in seen.values():
        for at in {region.start, region.end - 1}:
            data = right(name)
            data[at] ^= 128
            expected = [Extent(at, at + 1, Kind.BIT_FLIPS, 1, 1, part=region.part)]
            assert verified(verifier, tmp_path / "copy", name, data).extents == expected


@pytest.mark.parametrize("name", [name for name in PARTS if None in PARTS[name]])
def test_zeros_and_noise_over_parts(verifier: Verifier, tmp_path: Path, name: str) -> None:
    """No extent goes over the end of a part, however much is wrong."""
    for noise in (False, True):
        data = right(name)
        start, end = len(data) // 5, len(data)
        data[start:end] = random.Random(1).randbytes(end - start) if noise else bytes(end - start)
        report = verified(verifier, tmp_path / "copy", name, data)
        wrong = [i for i, (a, b) in enumerate(zip(data, right(name), strict=True)) if a != b]
        assert report.wrong_bytes == len(wrong)
        assert report.wrong_sectors == len({at // 512 for at in wrong})
        covered = 0
        for region in of(name):
            inside = [one for one in report.extents if region.start <= one.start < region.end]
            assert all(one.end <= region.end and one.part == region.part for one in inside)
            if region.part is None:
                kinds = {Kind.UNKNOWN, Kind.BIT_FLIPS} if noise else {Kind.ZEROS, Kind.BIT_FLIPS}
                assert {one.kind for one in inside} <= kinds
            covered += len(inside)
        assert covered == len(report.extents)


@pytest.mark.parametrize("name", OF_RECORDS)
def test_records_that_were_exchanged(verifier: Verifier, tmp_path: Path, name: str) -> None:
    """Payload belongs at offsets of the file, and the CRCs of both records are others."""
    payloads = [one for one in of(name) if one.part is None]
    one, other = payloads[1], payloads[2]
    data = right(name)
    length = one.end - one.start
    data[one.start : one.end] = right(name)[other.start : other.end]
    data[other.start : other.end] = right(name)[one.start : one.end]
    report = verified(verifier, tmp_path / "copy", name, data)
    misplaced = [(e.start, e.end, e.kind, e.belongs_at, e.part) for e in report.extents]
    # Words that are zero in both places are right.
    wrong = [at for at in range(length) if data[one.start + at] != data[other.start + at]]
    first, end = wrong[0], wrong[-1] + 1
    assert misplaced == [
        (here + first, here + end, Kind.MISPLACED, there + first, None)
        for here, there in ((one.start, other.start), (other.start, one.start))
    ]


@pytest.mark.parametrize("name", [name for name in PARTS if None in PARTS[name]])
def test_content_from_elsewhere(verifier: Verifier, tmp_path: Path, name: str) -> None:
    payload = max(
        (one for one in of(name) if one.part is None), key=lambda one: one.end - one.start
    )
    half = (payload.end - payload.start) // 16 * 8
    data = right(name)
    data[payload.start : payload.start + half] = data[payload.start + half :][:half]
    (extent,) = verified(verifier, tmp_path / "copy", name, data).extents
    start = next(at for at, byte in enumerate(right(name)) if data[at] != byte)
    assert (extent.kind, extent.start, extent.part) == (Kind.MISPLACED, start, None)
    # Of all places with these bytes, the nearest.
    assert extent.belongs_at is not None
    there = right(name)[extent.belongs_at : extent.belongs_at + 64]
    assert there == data[start : start + 64]
    assert abs(extent.belongs_at - start) <= half


@pytest.mark.parametrize("name", ["100000_d2_c2.npy", "100000_c3_r700.tfrecord"])
def test_another_seed(verifier: Verifier, tmp_path: Path, name: str) -> None:
    data = right(name)
    stem, extension = name.split(".")
    other = right(f"{stem}_s99.{extension}")
    payload = [one for one in of(name) if one.part is None][-1]
    data[payload.start : payload.end] = other[payload.start : payload.end]
    (extent,) = verified(verifier, tmp_path / "copy", name, data).extents
    assert (extent.kind, extent.seed, extent.belongs_at) == (
        Kind.OTHER_SEED,
        99,
        payload.start,
    )


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("cut", [1, 700, 50_000])
def test_too_short_and_too_long(verifier: Verifier, tmp_path: Path, name: str, cut: int) -> None:
    data = right(name)
    cut = min(cut, len(data))
    end = len(data) - cut
    report = verified(verifier, tmp_path / "copy", name, data[:end])
    assert report.extents == [Extent(end, len(data), Kind.MISSING, cut)]
    report = verified(verifier, tmp_path / "copy", name, data + b"x" * cut)
    assert report.extents == [Extent(len(data), len(data) + cut, Kind.EXCESS, cut)]


@pytest.mark.parametrize("name", ["9M_r2M.tfrecord", "9M_r1000.npz", "9M_r5K.tar", "9M.parquet"])
def test_over_the_ends_of_chunks(verifier: Verifier, tmp_path: Path, name: str) -> None:
    """A CRC of what another thread reads, and an extent that goes on in the next chunk."""
    whole = bytearray(Spec.parse(name).view(0).read(0, 9 << 20))
    assert verified(verifier, tmp_path / "copy", name, whole).identical
    for edge in (4 << 20, 8 << 20):
        region = next(one for one in of(name) if one.start < edge < one.end)
        start, end = max(region.start, edge - 5000), min(region.end, edge + 5000)
        whole[start:end] = bytes(byte ^ 255 for byte in whole[start:end])
        report = verified(verifier, tmp_path / "copy", name, whole)
        last = report.extents[-1]
        assert (last.start, last.end, last.part) == (start, end, region.part)
        assert last.wrong_bytes == end - start


def test_what_the_command_says(tmp_path: Path) -> None:
    wrong = {}
    for name in PARTS:
        data = right(name)
        wrong[name] = [one for one in of(name) if one.part is not None][-1]
        data[wrong[name].start] ^= 1
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in PARTS]
    found = json.loads(run(DGENFS, "verify", *paths, "--json", code=1).out)
    assert found["identical"] is False
    text = run(DGENFS, "verify", *paths, code=1).out.decode()
    told = [" ".join(line.split()) for line in text.splitlines()]
    assert told.count("offset end kind wrong where it belongs part") == len(wrong)
    for report, own in zip(found["reports"], wrong.values(), strict=True):
        assert report["extents"] == [
            {
                "start": own.start,
                "end": own.start + 1,
                "kind": "bit flips",
                "wrong_bytes": 1,
                "wrong_bits": 1,
                "belongs_at": None,
                "belongs_in": None,
                "seed": None,
                "part": own.part,
                "region": report["extents"][0]["region"],
            }
        ]
        assert own.start - report["extents"][0]["region"] in range(own.end)
        totals = {"bit flips": {"extents": 1, "wrong_bytes": 1, "wrong_bits": 1}}
        assert report["totals"] == totals
        assert f"{own.start} {own.start + 1} bit flips 1 bit {own.part}" in told
    for name, path in zip(PARTS, paths, strict=True):
        path.write_bytes(right(name))
    assert run(DGENFS, "verify", *paths).out.count(b": identical, ") == len(PARTS)


EACH = ("npy", "npz", "tfrecord", "h5", "hdf5", "parquet", "safetensors", "tar")


@pytest.mark.parametrize("size", ["20000", "4M"])
@pytest.mark.parametrize("extension", EACH)
def test_a_tree_of_small_files(
    verifier: Verifier, tmp_path: Path, extension: str, size: str
) -> None:
    """Of up to 4 MiB, which compiled code compares."""
    spec = Spec.parse(f"5x{size}_d2_c2_r1000_f2.{extension}")
    path = tmp_path / "tree"
    write_tree(spec, path, lambda _: None)
    report = verifier.verify_tree(path, Directory(spec))
    assert (report.identical, report.identical_files) == (True, 5)
    copied = path / spec.path(3)
    shutil.copy(path / spec.path(2), copied)
    with (path / spec.path(4)).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte[0] ^ 64]))
    report = verifier.verify_tree(path, Directory(spec))
    files = {one.file: one for one in report.different}
    assert files[4].extents[0].start == spec.size - 1
    assert files.keys() <= {3, 4}
    if 3 in files:  # it is the same where whole files repeat
        found = [one for one in files[3].extents if one.kind is Kind.MISPLACED]
        assert found[0].belongs_in == 2
        assert found[0].belongs_at == found[0].start


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


IN_PLACE_OF_AN_INDEX: dict[str, tuple[Callable[[Path, bytes], object], str]] = {
    "the index": (put, ""),
    "a wrong one": (lambda path, data: path.write_bytes(b"9" + data[1:]), "different"),
    "a short one": (lambda path, data: path.write_bytes(data[:-1]), "different"),
    "a directory": (lambda path, _: path.mkdir(), "unexpected"),
    "a link to nothing": (lambda path, _: path.symlink_to("none"), "unexpected"),
    "a loop": (lambda path, _: path.symlink_to(path.name), "unreadable"),
}


@pytest.mark.parametrize("thing", IN_PLACE_OF_AN_INDEX)
def test_indexes_beside_a_trees_files(verifier: Verifier, tmp_path: Path, thing: str) -> None:
    """One that is not there is not missing, and one that is there is no stranger."""
    make, found = IN_PLACE_OF_AN_INDEX[thing]
    spec = Spec.parse("5x100000_r1000_f2.tfrecord")
    path = tmp_path / "tree"
    write_tree(spec, path, lambda _: None)
    index = path / f"{spec.path(3)}.idx"
    make(index, bytes(right("100000_r1000.tfrecord.idx")))
    report = verifier.verify_tree(path, Directory(spec))
    assert report.identical_files == 5
    assert report.missing_files == 0
    assert report.identical is (found == "")
    assert report.unexpected == [f"{spec.path(3)}.idx"] * (found == "unexpected")
    assert [one.path for one in report.unreadable] == [f"{spec.path(3)}.idx"] * (
        found == "unreadable"
    )
    assert [(one.path, one.file) for one in report.different] == [(index, 3)] * (
        found == "different"
    )


def test_indexes_of_no_file(verifier: Verifier, tmp_path: Path) -> None:
    for name in ("3x20000.tfrecord", "3x20000.tar"):
        write_tree(Spec.parse(name), tmp_path / name, lambda _: None)
        strangers = ["000003.tfrecord.idx", "000000.idx", "000000.tar.idx"]
        for stranger in strangers:
            (tmp_path / name / stranger).touch()
        report = verifier.verify_tree(tmp_path / name, Directory(Spec.parse(name)))
        assert sorted(report.unexpected) == sorted(strangers)
