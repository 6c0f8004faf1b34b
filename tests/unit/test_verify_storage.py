"""Verification of storage that fails in one way or another: what it says is not lost."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dgenfs import DataGenerator, Spec
from dgenfs.api.publishing import write_tree
from dgenfs.cli.verification import Options, Verification
from dgenfs.names.catalog import Directory, File
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.reading import BLOCK
from dgenfs.verifying.reports import TreeReport, Unreadable
from dgenfs.verifying.verifier import Verifier

NAME = "64K_c2"


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    with Verifier() as verifier:
        yield verifier


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    data = bytearray(64 << 10)
    DataGenerator(NAME).fill_chunk(data)
    data[100] ^= 1
    (tmp_path / "copy").write_bytes(data)
    return tmp_path / "copy"


def reads_fail(monkeypatch: pytest.MonkeyPatch, number: int, *, at: int) -> None:
    """Let reads that touch the block ``at`` fail with an errno."""
    preadv: Callable[..., int] = os.preadv

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset < at + BLOCK and at < offset + len(buffers[0]):
            raise OSError(number, os.strerror(number))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)


@pytest.mark.parametrize(
    "number",
    [
        errno.EIO,
        errno.EILSEQ,
        errno.EUCLEAN,
        errno.ETIMEDOUT,
        errno.ENOLINK,
    ],
    ids=errno.errorcode.__getitem__,
)
def test_a_read_that_fails_is_damage(
    verifier: Verifier, copy: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    reads_fail(monkeypatch, number, at=8 * BLOCK)
    assert verifier.verify_file(copy, File(Spec.parse(NAME))).extents == [
        Extent(100, 101, Kind.BIT_FLIPS, 1, 1),
        Extent(8 * BLOCK, 9 * BLOCK, Kind.UNREADABLE, BLOCK),
    ]


def test_what_cannot_be_read_gives_exit_code_2(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = Spec.parse("2x64K_c2")
    write_tree(tree, copy.parent / tree.name, lambda _: None)
    copy_of_one = copy.parent / tree.name / tree.path(1)
    copy_of_one.chmod(0o600)
    copy_of_one.write_bytes(copy.read_bytes())  # which is not the same: Python looks at it
    for path, name in ((copy, NAME), (copy.parent / tree.name, tree.name)):
        verification = Verification(Options(name, (), False, ()))
        verification.check([str(path)])
        assert verification.code == 1
        with monkeypatch.context() as patch:
            reads_fail(patch, errno.EIO, at=8 * BLOCK)
            verification = Verification(Options(name, (), False, ()))
            verification.check([str(path)])
            assert verification.code == 2
    (report,) = verification.reports
    assert isinstance(report, TreeReport)
    assert (report.different_files, report.unreadable_bytes) == (1, BLOCK)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN], ids=errno.errorcode.__getitem__)
def test_storage_that_is_gone_is_not_asked_for_each_block(
    verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    data = bytearray(12 << 20)
    DataGenerator("12M").fill_chunk(data)
    (tmp_path / "copy").write_bytes(data)
    calls: list[int] = []
    preadv: Callable[..., int] = os.preadv

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        calls.append(offset)
        if offset >= 4 << 20:
            raise OSError(number, os.strerror(number))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    extents = verifier.verify_file(tmp_path / "copy", File(Spec.parse("12M"))).extents
    assert extents == [Extent(4 << 20, 12 << 20, Kind.UNREADABLE, 8 << 20)]
    assert len(calls) == 4  # one tries O_DIRECT


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN], ids=errno.errorcode.__getitem__)
def test_storage_that_is_gone_at_the_end_loses_no_report(
    verifier: Verifier, copy: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(_: int) -> os.stat_result:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        report = verifier.verify_file(
            copy, File(Spec.parse(NAME)), progress=lambda _: patch.setattr(os, "fstat", fail)
        )
    assert (report.changed, report.size) == (True, 64 << 10)
    assert report.extents == [Extent(100, 101, Kind.BIT_FLIPS, 1, 1)]


@pytest.mark.parametrize(
    "number", [errno.EBADF, errno.EFAULT, errno.EINVAL], ids=errno.errorcode.__getitem__
)
def test_a_read_that_is_wrong_is_not(
    verifier: Verifier, copy: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    reads_fail(monkeypatch, number, at=8 * BLOCK)
    with pytest.raises(OSError, match=os.strerror(number)):
        verifier.verify_file(copy, File(Spec.parse(NAME)))


def test_files_of_a_tree_that_cannot_be_opened(
    verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = Spec.parse("9x5000_f4")
    path = tmp_path / spec.name
    write_tree(spec, path, lambda _: None)
    loop, damaged, locked = (path / spec.path(file) for file in (2, 5, 7))
    loop.unlink()
    loop.symlink_to(loop.name)
    damaged.write_bytes(b"x" * 5000)
    locked.write_bytes(b"x" * 5000)  # what is identical is not opened by os.open
    (path / "0002").rename(path / "kept")
    (path / "0002").symlink_to("0002")
    os_open: Callable[..., int] = os.open

    def opened(opened_path: Path, flags: int) -> int:
        if opened_path == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(locked))
        return os_open(opened_path, flags)

    monkeypatch.setattr(os, "open", opened)
    report = verifier.verify_tree(path, Directory(spec))
    assert not report.identical
    assert (report.identical_files, report.different_files, report.missing_files) == (5, 1, 0)
    assert report.different[0].path == damaged
    links = "Too many levels of symbolic links"
    assert report.unreadable == [
        Unreadable("0000/000002.bin", links),
        Unreadable("0001/000007.bin", "Permission denied"),
        Unreadable("0002/000008.bin", links),
        Unreadable("0002", links),
    ]
    assert (report.unreadable_paths, report.unexpected) == (4, ["kept"])


def test_links_to_nothing_in_the_place_of_directories(verifier: Verifier, tmp_path: Path) -> None:
    spec = Spec.parse("9x5000_f4")
    path = tmp_path / spec.name
    write_tree(spec, path, lambda _: None)
    (path / "0002").rename(tmp_path / "kept")
    (path / "0002").symlink_to("none")
    report = verifier.verify_tree(path, Directory(spec))
    assert (report.missing, report.unexpected) == (["0002/000008.bin"], ["0002"])


def test_a_tree_on_a_file_system_without_direct_reads(tmp_path: Path) -> None:
    spec = Spec.parse("2x5000")
    path = tmp_path / spec.name
    write_tree(spec, path, lambda _: None)
    (path / spec.path(0)).unlink()
    (path / spec.path(0)).symlink_to("/proc/version")
    with Verifier(direct=True) as verifier:
        report = verifier.verify_tree(path, Directory(spec))
    assert report.identical_files == 1
    assert report.unreadable[0].path == "000000.bin"
    assert "O_DIRECT" in report.unreadable[0].reason
