"""Tar archives are read by the readers that others use."""

import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import webdataset
from containers import tar as oracle
from containers.contents import SAMPLE
from processes import run
from webdataset.tariterators import group_by_keys, tar_file_expander

CASES = [
    (3072, 1, False),
    (3583, None, True),
    (20_001, 1, False),
    (50_000, 600, True),
    (65_535, 65_535, False),
    (65_536, 65_536, False),
    (200_000, None, True),
    (700_001, 102_400, True),
    (700_002, 102_400, False),
    (700_003, 70_000, True),
]
TARS = [("tar",), ("busybox", "tar")]


def check(path: Path, size: int, record: int | None, content: bytes) -> None:
    """Every reader has the same payload of the file: what its content begins with."""
    payloads = by_tarfile(path, size)
    payload = b"".join(payloads)
    assert payload == content[: len(payload)]
    assert all(len(piece) == (record or 131_072) for piece in payloads[:-1])
    assert by_webdataset(path) == payloads
    for tar in TARS:
        assert by_command(path, *tar) == payloads


def by_tarfile(path: Path, size: int) -> list[bytes]:
    """Python's reader."""
    payloads = []
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert members[-1].offset_data + 512 + 1024 + size % 512 == size
        for index, (sample, label) in enumerate(zip(members[::2], members[1::2], strict=True)):
            assert (sample.name, label.name) == (f"{index:06}.bin", f"{index:06}.cls")
            assert sample.mtime == label.mtime == 1577836800
            data, zero = (archive.extractfile(member) for member in (sample, label))
            assert data is not None
            assert zero is not None
            payloads.append(data.read())
            assert zero.read() == b"0"
    return payloads


def by_webdataset(path: Path) -> list[bytes]:
    """WebDataset, which decodes labels as numbers."""
    # The stages of a WebDataset but for the one that opens files, which it does not close.
    with path.open("rb") as stream:
        samples = list(
            webdataset.DataPipeline(
                lambda: [{"url": str(path), "stream": stream}],
                tar_file_expander,
                group_by_keys,
                webdataset.decode(),
            )
        )
    assert [sample["__key__"] for sample in samples] == [f"{i:06}" for i in range(len(samples))]
    assert all(sample["cls"] == 0 for sample in samples)
    return [sample["bin"] for sample in samples]


def by_command(path: Path, *tar: str) -> list[bytes]:
    """A command that lists, also from a pipe, and extracts, all with no warning."""
    listed = run(*tar, "-tf", path)
    piped = run("sh", "-c", 'cat "$0" | "$@"', path, *tar, "-tf", "-")
    assert (listed.err, piped.err, piped.out) == ("", "", listed.out)
    names = listed.out.decode().split()
    with TemporaryDirectory() as name:
        into = Path(name)
        assert run(*tar, "-xf", path, "-C", into).err == ""
        assert sorted(names) == names == sorted(found.name for found in into.iterdir())
        assert all((into / name).stat().st_mode & 0o777 == 0o644 for name in names)
        assert all((into / name).read_bytes() == b"0" for name in names[1::2])
        return [(into / name).read_bytes() for name in names[::2]]


@pytest.mark.parametrize(("size", "record", "repeats"), CASES)
def test_readers(size: int, record: int | None, repeats: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(oracle.file(size, record, repeats, SAMPLE))
    check(path, size, record, SAMPLE)


def test_a_record_of_8_gib_is_listed_at_its_size(tmp_path: Path) -> None:
    path, length = tmp_path / "x.tar", 1 << 33
    label = oracle.header("000000.cls", 1, "0") + b"0" + bytes(511 + 1024)
    with path.open("wb") as file:
        file.write(oracle.pax(length, 3072) + oracle.header("000000.bin", length, "0"))
        file.seek(4096 + length)
        file.write(label)
    with tarfile.open(path) as archive:
        assert [member.size for member in archive] == [length, 1]
    for tar in TARS:
        listed = run(*tar, "-tvf", path)
        assert listed.err == ""
        assert [line.split()[2] for line in listed.out.decode().splitlines()] == [str(length), "1"]
