"""Verification through mounts: in order, many files side by side, and not what a cache holds."""

import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from mounting import DGENFS, mounted
from processes import eventually

from dgenfs import Spec
from dgenfs.api.publishing import write_tree
from dgenfs.machine.file_systems import is_served
from dgenfs.names.catalog import Directory, File
from dgenfs.verifying.verifier import Verifier

TREE = Spec.parse("4x13M_d2")
READ = re.compile(r" READ \((\d+), (\d+), (\d+)\)")
TRACED = {"DGENFS_LOG": "mount.operations=trace,info"}
RCLONE = str(Path(DGENFS).with_name("rclone"))


def reads(log: str) -> dict[str, list[tuple[int, int]]]:
    """What was read by each handle of a data file, in order: where, and how much."""
    found = defaultdict(list)
    for handle, offset, size in READ.findall(log):
        found[handle].append((int(offset), int(size)))
    return found


def is_in_order(some: list[tuple[int, int]]) -> bool:
    return all(before[0] + before[1] == after[0] for before, after in pairwise(some))


def interrupt(_: int) -> None:
    raise RuntimeError


def test_reads_are_in_order(tmp_path: Path) -> None:
    options = ("--data-plane", "pyfuse3", "--io", "direct", TREE.name)
    with mounted(tmp_path, *options, environment=TRACED) as mount:
        assert is_served(mount.path)
        path = mount.path / TREE.name
        with Verifier(threads=3) as verifier:
            assert verifier.verify_tree(path, Directory(TREE)).identical
            handles = reads(mount.log)
            assert len(handles) == TREE.files
            assert all(map(is_in_order, handles.values()))
            first = READ.findall(mount.log)
            turns = sum(a[0] != b[0] for a, b in pairwise(first))
            assert turns > TREE.files  # side by side, not one after the other

            done = len(mount.log)
            assert verifier.verify_file(path / TREE.path(3), File(TREE, 3)).identical
            (alone,) = reads(mount.log[done:]).values()
            assert is_in_order(alone)

        done = len(mount.log)
        with Verifier(threads=2) as verifier, pytest.raises(RuntimeError):
            verifier.verify_tree(path, Directory(TREE), interrupt)
        read = sum(size for some in reads(mount.log[done:]).values() for _, size in some)
        assert read < TREE.total_size / 2  # the other thread ends too, not only at its file's end

        done = len(mount.log)
        with Verifier(threads=3, direct=True) as verifier:
            assert verifier.verify_tree(path, Directory(TREE)).identical
        assert not all(map(is_in_order, reads(mount.log[done:]).values()))


@contextmanager
def rclone_mount(source: Path, folder: Path) -> Iterator[Path]:
    """A folder that rclone mounts, without a cache of its own."""
    path = folder / "mnt"
    path.mkdir()
    options = ["--read-only", "--vfs-cache-mode", "off", "--local-no-check-updated"]
    process = subprocess.Popen(
        [RCLONE, "mount", str(source), str(path), *options, "--cache-dir", str(folder / "cache")],
        env={**os.environ, "RCLONE_CONFIG": "/dev/null"},
    )
    try:
        eventually(path.is_mount)
        yield path
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(path)], check=True)
        assert process.wait(20) == 0


def test_an_rclone_mount(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_tree(TREE, source / TREE.name, lambda _: None)
    with rclone_mount(source, tmp_path) as path, Verifier() as verifier:
        assert is_served(path)
        assert verifier.verify_tree(path / TREE.name, Directory(TREE)).identical

        with (source / TREE.name / TREE.path(2)).open("r+b") as file:
            file.seek(5 << 20)
            file.write(b"?")
        (report,) = verifier.verify_tree(path / TREE.name, Directory(TREE)).different
        assert report.file == 2
        assert [extent.start for extent in report.extents] == [5 << 20]


def test_what_a_cache_holds_is_read_anew(tmp_path: Path) -> None:
    with mounted(tmp_path, "--io", "cached", TREE.name) as mount:

        def read_bytes(verifier: Verifier) -> int:
            before = mount.settled()["read_bytes"]
            assert verifier.verify_tree(mount.path / TREE.name, Directory(TREE)).identical
            done: int = mount.settled()["read_bytes"] - before
            return done

        with Verifier() as anew, Verifier(buffered=True) as cached:
            assert read_bytes(anew) == TREE.total_size
            assert read_bytes(cached) == 0
            assert read_bytes(anew) > 0.9 * TREE.total_size


@pytest.mark.parametrize("size", ["64K", "9M"])
@pytest.mark.parametrize("how", [{}, {"buffered": True}, {"direct": True}, {"threads": 1}], ids=str)
def test_every_way(tmp_path: Path, size: str, how: dict[str, int]) -> None:
    """On storage of the kernel's own."""
    tree = Spec.parse(f"3x{size}_c2")
    write_tree(tree, tmp_path / tree.name, lambda _: None)
    with Verifier(**how) as verifier:  # type: ignore[arg-type]
        assert verifier.verify_tree(tmp_path / tree.name, Directory(tree)).identical
        with (tmp_path / tree.name / tree.path(1)).open("r+b") as file:
            file.write(b"???")
        (report,) = verifier.verify_tree(tmp_path / tree.name, Directory(tree)).different
    assert (report.file, report.wrong_sectors) == (1, 1)
