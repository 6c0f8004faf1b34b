"""Verification of files that somebody writes to, or replaces, while they are read."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import eventually

from dgenfs import Spec
from dgenfs.api.publishing import write_file
from dgenfs.verifying.reports import Extent, Kind
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

    report = verifier.verify_file(path, spec, progress=progress)
    assert report.changed
    assert not report.identical
    assert report.size == spec.size + (change is grow) - (change is shrink)
    if change is grow:
        assert report.extents == [Extent(spec.size, spec.size + 1, Kind.EXCESS, 1)]


def settled(path: Path) -> None:
    """The file system's clock ticks, so that a change from now on shows in the file's times."""
    before = path.stat().st_ctime_ns
    clock = path.with_name("clock")

    def ticked() -> bool:
        clock.touch()
        return clock.stat().st_ctime_ns > before

    eventually(ticked)
