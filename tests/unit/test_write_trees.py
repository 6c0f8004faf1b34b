"""Trees that dgenfs gen writes: right by the oracle, whole or not at all."""

import errno
import os
import signal
import subprocess
from pathlib import Path

import oracle
import pytest
from mounting import DGENFS
from privileges import BY_THE_MODE, small_disk
from processes import eventually
from writing import ignore

from dgenfs import Spec
from dgenfs.api.publishing import write_tree


def gen(name: str, cwd: Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*before, DGENFS, "gen", name]
    return subprocess.run(command, cwd=cwd, capture_output=True, check=False, text=True, timeout=60)


@pytest.mark.parametrize(
    "name",
    [
        "3x0",
        "3x0_f2",
        "1x1",
        "700x1_d3",
        "700x513_d2_c2_f37.x",
        "300x4097_c1.5_f299.abcdefghijk",
        "40x70000_d4_c3_b16K",
        "3x4M-1_d3_f1",
        "3x4M_d2_c2",
        "3x4M+1_d2_c2_f2",
        "2x8M-1_d2",
        "2x8M_c2_f1",
        "2x8M+1_d1.5",
        "2x9M+5_d2_c4_f1.dat",
    ],
)
def test_every_byte_of_every_file(tmp_path: Path, name: str) -> None:
    content = oracle.parse(name)
    steps: list[int] = []
    write_tree(Spec.parse(name), tmp_path / name, steps.append)
    assert sum(steps) == content.files * content.size
    found = {
        str(path.relative_to(tmp_path / name)): path for path in (tmp_path / name).rglob("*.*")
    }
    assert sorted(found) == [oracle.tree_path(content, file) for file in range(content.files)]
    for file in range(content.files):
        data = found[oracle.tree_path(content, file)].read_bytes()
        assert data == oracle.read(content, file, 0, content.size), file


@pytest.mark.parametrize("name", ["30x100K", "30x100K_f7", "300x100K_f100"])
def test_a_full_disk_names_the_file(tmp_path: Path, name: str) -> None:
    with small_disk(tmp_path / "disk", "2M") as disk:
        done = gen(name, disk)
        assert list(disk.iterdir()) == []
    path, _, reason = done.stderr.removeprefix("dgenfs: ").partition(": ")
    assert (done.returncode, done.stdout, reason) == (1, "", "No space left on device\n")
    content = oracle.parse(name)
    # Of 100 KiB 20 files fit in. Which is the first that does not is certain of one thread only.
    failing = [20] if content.files == 30 else range(content.files)
    assert path in [f"{name}.part/{oracle.tree_path(content, file)}" for file in failing]


@pytest.mark.parametrize(("name", "failing"), [("30x1", 18), ("30x1_f20", 16)])
def test_a_disk_without_inodes(tmp_path: Path, name: str, failing: int) -> None:
    """Twenty are there: the disk's own, the tree's, those of directories, and of files the rest."""
    with small_disk(tmp_path / "disk", "2M,nr_inodes=20") as disk:
        done = gen(name, disk)
        assert list(disk.iterdir()) == []
    path = f"{name}.part/{oracle.tree_path(oracle.parse(name), failing)}"
    assert (done.returncode, done.stderr) == (1, f"dgenfs: {path}: No space left on device\n")


def test_no_directory_to_write_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        done = gen("3x1K", tmp_path, BY_THE_MODE)
    finally:
        tmp_path.chmod(0o700)
    assert (done.returncode, done.stderr) == (1, "dgenfs: 3x1K.part: Permission denied\n")


@pytest.mark.parametrize("name", ["2000x1", "2000x1_f300"])
def test_a_file_that_was_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("dgenfs.names.spec.BATCH", 1)  # so that no thread is there yet
    last = tmp_path / "out.part" / oracle.tree_path(oracle.parse(name), 1999)
    with pytest.raises(FileExistsError) as failed:
        write_tree(Spec.parse(name), tmp_path / "out", lambda _: last.touch())
    assert (failed.value.errno, failed.value.filename) == (errno.EEXIST, str(last))
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_was_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgenfs.names.spec.BATCH", 1)
    name = "2000x1_f1999"
    last = tmp_path / "out.part" / oracle.tree_path(oracle.parse(name), 1999)

    def remove(_: int) -> None:
        if last.parent.exists():
            last.parent.rmdir()

    with pytest.raises(FileNotFoundError) as failed:
        write_tree(Spec.parse(name), tmp_path / "out", remove)
    assert failed.value.filename == str(last)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["1", "9M"])
@pytest.mark.parametrize(("umask", "mode"), [(0, 0o666), (0o027, 0o640), (0o077, 0o600)])
def test_modes(tmp_path: Path, size: str, umask: int, mode: int) -> None:
    tree = tmp_path / "out"
    before = os.umask(umask)
    try:
        write_tree(Spec.parse(f"3x{size}_f2"), tree, ignore)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o7777 for path in tree.rglob("*.bin")} == {mode}
    folders = {path.stat().st_mode & 0o7777 for path in (tree, *tree.iterdir())}
    assert folders == {0o777 & ~umask}


def ended_amid(name: str, cwd: Path, number: signal.Signals) -> int:
    """End a gen that is in the midst of its files, and return its exit code."""
    first = cwd / f"{name}.part" / oracle.tree_path(oracle.parse(name), 0)
    with subprocess.Popen([DGENFS, "gen", name], cwd=cwd, stderr=subprocess.DEVNULL) as child:
        eventually(first.exists, 30)
        child.send_signal(number)
        return child.wait(30)


LONG = "300000x1K_f1000"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_tree_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with small_disk(tmp_path / "disk", "2G") as disk:
        assert ended_amid(LONG, disk, number) == 128 + number
        assert list(disk.iterdir()) == []


def test_a_tree_that_is_killed_leaves_its_part(tmp_path: Path) -> None:
    """It is not taken for a tree, and the next run replaces it."""
    with small_disk(tmp_path / "disk", "2G") as disk:
        assert ended_amid(LONG, disk, signal.SIGKILL) == -signal.SIGKILL
        assert [path.name for path in disk.iterdir()] == [f"{LONG}.part"]
        done = subprocess.run([DGENFS, "gen", "2x1K", "-o", LONG], cwd=disk, check=False)
        assert done.returncode == 0
        assert [path.name for path in disk.iterdir()] == [LONG]
        assert sorted(path.name for path in (disk / LONG).iterdir()) == ["000000.bin", "000001.bin"]
