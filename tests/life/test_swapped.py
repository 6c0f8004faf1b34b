"""The owner of a mountpoint's parent puts another directory in its place while it is mounted."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounting import cleaned, environment_of
from privileges import folder_of_nobody
from processes import Done, daemons_of, eventually, run

from dgenfs.mount.mountpoint import mounted_at, prepare
from life.faults import with_fault
from life.test_refusals import nobody_in, with_device

MOVED = "was moved while it was mounted on: unmounted again"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with folder_of_nobody() as folder:
        yield folder


def swapped(path: Path, before: tuple[str, ...] = ()) -> Done:
    for name in (path.name, f"{path.name}-other"):
        path.with_name(name).mkdir(exist_ok=True)
        os.chown(path.with_name(name), path.parent.stat().st_uid, -1)
    (path.with_name(f"{path.name}-other") / "precious").touch()
    command = (*before, *with_fault("swapped", path), "mount", path)
    return run(*command, code=None, environment=environment_of({"DGENFS_LOG": "off"}))


def test_nothing_is_mounted_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "mnt"
    with cleaned(path):
        done = swapped(path)
        assert (done.code, done.out, done.err.count("\n")) == (1, b"", 1), done
        assert f"{path}: {MOVED}" in done.err
        eventually(lambda: daemons_of(path) == [])
        for where in (path, path.with_name("mnt-moved")):
            assert mounted_at(where) is None
        assert [entry.name for entry in path.iterdir()] == ["precious"]


def test_as_a_user_without_rights(open_folder: Path) -> None:
    path = open_folder / "mnt"
    then = ("sh", "-c", '"$@"; status=$?; cat /proc/self/mounts; exit $status', "sh")
    before = (*with_device(open_folder), *then, *nobody_in(open_folder))
    done = swapped(path, before=before)
    assert done.code == 1, done
    assert f"{path}: {MOVED}" in done.err
    assert b" fuse.dgenfs " not in b"".join(
        line for line in done.out.splitlines() if os.fsencode(open_folder) in line
    )


def test_a_link_that_takes_its_place(tmp_path: Path) -> None:
    """What was looked at is held, whatever its path leads to by now."""
    path, moved = tmp_path / "mnt", tmp_path / "moved"
    path.mkdir()
    place = prepare(path)
    try:
        path.rename(moved)
        path.symlink_to("/")
        assert place.target().stat().st_ino == moved.stat().st_ino
        assert place.is_empty()
    finally:
        place.close()
