"""Verification of files that somebody writes to, or replaces, while they are read."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import eventually

from dgenfs import Spec
from dgenfs.api.publishing import write_file
from dgenfs.names.catalog import File
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.verifier import Verifier


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    with Verifier() as verifier:
        yield verifier


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def rewrite(path: Path) -> None:
    """As rsync does: what was written shows in no time but that of the change of state."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"x" * path.stat().st_size)
    other.replace(path)


@pytest.mark.parametrize("change", [grow, shrink, rewrite, replace])
@pytest.mark.parametrize("name", ["64K", "9M"])
def test_a_file_that_changes_while_it_is_read(
    verifier: Verifier, tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    spec = Spec.parse(name)
    write_file(spec.view(0), path, lambda _: None)
    settled(path)
    changes = iter([change])

    def progress(_: int) -> None:
        for one in changes:
            one(path)

    report = verifier.verify_file(path, File(spec), progress=progress)
    assert report.changed
    assert not report.identical
    assert report.size == spec.size + (change is grow) - (change is shrink)
    if change is grow:
        assert report.extents == [Extent(spec.size, spec.size + 1, Kind.EXCESS, 1)]
    if change is shrink:
        assert report.extents == [Extent(spec.size - 1, spec.size, Kind.MISSING, 1)]


@pytest.mark.parametrize("left", [0, 100_001, 1 << 20])
def test_a_file_that_is_cut_before_its_end_is_read(
    verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """Nothing failed to be read: the bytes are not there."""
    spec, last = Spec.parse("10M"), 8 << 20
    path = tmp_path / spec.name
    write_file(spec.view(0), path, lambda _: None)
    with path.open("r+b") as file:
        file.seek(last - 1)
        file.write(b"x")
    settled(path)
    preadv: Callable[..., int] = os.preadv

    def cut(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset == last:
            os.truncate(path, last + left)
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", cut)
    report = verifier.verify_file(path, File(spec))
    assert report.changed
    assert report.readable
    assert report.size == last + left
    damage, missing = report.extents
    assert (damage.start, damage.end) == (last - 1, last)
    end = last + left
    assert missing == Extent(end, spec.size, Kind.MISSING, spec.size - end)


def settled(path: Path) -> None:
    """The file system's clock ticks, so that a change from now on shows in the file's times."""
    before = path.stat().st_ctime_ns
    clock = path.with_name("clock")

    def ticked() -> bool:
        clock.touch()
        return clock.stat().st_ctime_ns > before

    eventually(ticked)
