"""What dgenfs verify says and exits with where something cannot be read or written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DGENFS = str(Path(sys.executable).with_name("dgenfs"))


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command.replace("dgenfs", DGENFS, 1)],
        cwd=cwd,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"], "COLUMNS": "200"},
    )


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    assert shell("dgenfs gen 4K", tmp_path).returncode == 0
    assert shell("dgenfs gen 3x5000", tmp_path).returncode == 0
    return tmp_path


def test_what_is_no_file_does_not_hide_the_others(copies: Path) -> None:
    os.mkfifo(copies / "pipe")
    done = shell("dgenfs verify pipe 4K --as 4K", copies)
    assert done.returncode == 2
    assert done.stdout == "4K: identical, 4 KiB\n"
    assert done.stderr == "dgenfs: pipe: is neither a regular file nor a block device\n"
    done = shell("dgenfs verify /proc/version 4K --as 4K --direct --json", copies)
    assert done.returncode == 2
    assert [one["path"] for one in json.loads(done.stdout)["reports"]] == ["4K"]
    assert done.stderr.startswith("dgenfs: /proc/version: its file system has no O_DIRECT")


def test_a_trees_file_is_known_by_the_directories_above_it(tmp_path: Path) -> None:
    assert shell("dgenfs gen 6x1000_f2", tmp_path).returncode == 0
    tree = tmp_path / "6x1000_f2"
    inside = tree / "0001"
    for path in ("000002.bin", "../0000/000001.bin", "../../6x1000_f2/0000/../0002/000005.bin"):
        done = shell(f"dgenfs verify {path}", inside)
        assert (done.returncode, done.stdout) == (0, f"{path}: identical, 1000 B\n")
    # Through a link, .. is not where the link stands, and the link's own name counts.
    other = tmp_path / "other"
    other.mkdir()
    (other / "0001").symlink_to(inside)
    assert shell("dgenfs verify other/0001/../0000/000001.bin", tmp_path).returncode == 0
    tree.rename(tmp_path / "renamed")
    tree.symlink_to("renamed")
    assert shell("dgenfs verify 6x1000_f2/0000/000001.bin", tmp_path).returncode == 0


def test_unreadable_files_of_a_tree(copies: Path) -> None:
    (copies / "3x5000" / "000001.bin").unlink()
    (copies / "3x5000" / "000001.bin").symlink_to("000001.bin")
    done = shell("dgenfs verify 3x5000", copies)
    assert done.returncode == 2
    assert "2 of 3 files identical, 0 different, 0 missing, 0 unexpected, 1 unread" in done.stdout
    assert "unreadable: 000001.bin: Too many levels of symbolic links" in done.stdout
    (report,) = json.loads(shell("dgenfs verify 3x5000 --json", copies).stdout)["reports"]
    assert (report["identical"], report["unreadable_paths"]) == (False, 1)
    assert report["unreadable"][0]["path"] == "000001.bin"


def test_paths_that_cannot_be_reached(copies: Path) -> None:
    long = "x" * 300
    (copies / "loop").symlink_to("loop")
    done = shell(f"dgenfs verify {long} loop/3x5000 4K --as 4K", copies)
    assert done.returncode == 2
    assert done.stdout == "4K: identical, 4 KiB\n"
    assert done.stderr == (
        f"dgenfs: {long}: File name too long\n"
        "dgenfs: loop/3x5000: Too many levels of symbolic links\n"
    )


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("dgenfs verify 4K >/dev/full", 2, "No space left on device"),
        ("dgenfs verify 4K --json >/dev/full", 2, "No space left on device"),
        ("dgenfs verify 4K >&-", 2, "is closed"),
        ("dgenfs verify 4K --json >&-", 2, "is closed"),
        ("dgenfs explain 4K >/dev/full", 1, "No space left on device"),
        ("dgenfs analyze 4K --json >/dev/full", 1, "No space left on device"),
        ("dgenfs --version >/dev/full", 1, "No space left on device"),
        ("dgenfs gen 1K -o - >&-", 1, "is closed"),
        ("dgenfs gen 1K -o - >/dev/full", 1, "No space left on device"),
    ],
)
def test_a_report_that_cannot_be_written(
    copies: Path, command: str, code: int, message: str
) -> None:
    done = shell(command, copies)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"dgenfs: standard output: {message}\n"


def test_a_reader_that_leaves(copies: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [DGENFS, "verify", "4K"], cwd=copies, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (2, b"dgenfs: standard output: Broken pipe\n")
