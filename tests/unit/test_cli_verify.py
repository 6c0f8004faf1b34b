"""What dgenfs verify says and exits with where something cannot be read or written."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounting import DGENFS
from privileges import BY_THE_MODE

from dgenfs import DataGenerator, Spec
from dgenfs.api.publishing import write_tree


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
    data = bytearray(4096)
    DataGenerator("4K").fill_chunk(data)
    (tmp_path / "4K").write_bytes(data)
    write_tree(Spec.parse("3x5000"), tmp_path / "3x5000", lambda _: None)
    return tmp_path


def test_what_is_no_file_does_not_hide_the_others(copies: Path) -> None:
    os.mkfifo(copies / "pipe")
    done = shell("dgenfs verify pipe 4K --as 4K", copies)
    assert done.returncode == 2
    assert done.stdout == "4K: identical, 4 KiB\n"
    assert done.stderr == "dgenfs: pipe: nobody writes to it: start its writer first\n"
    done = shell("dgenfs verify /proc/version 4K --as 4K --direct --json", copies)
    assert done.returncode == 2
    assert [one["path"] for one in json.loads(done.stdout)["reports"]] == ["4K"]
    assert done.stderr.startswith("dgenfs: /proc/version: its file system has no O_DIRECT")


RULE = "a name starts with a size, such as 10G, 1.5M, 4096 or 4K-1"
KELVIN = "10\u212aB"  # whose lower case is 10kb
BAD_PATHS = [
    ("locked.bin", "Permission denied"),
    ("none.bin", "No such file or directory"),
    ("4K/none", "Not a directory"),
    ("closed/4K", "Permission denied"),
    ("loop", "Too many levels of symbolic links"),
    ("*", "No such file or directory: the pattern matched nothing"),
    ("notes.img", f"'notes.img' is not a name: 'notes': {RULE}; say what it holds: --as NAME"),
    (
        "4K-c2.bin",
        f"'4K-c2.bin' is not a name: '4K-c2': {RULE};"
        " say what it holds: --as NAME, such as --as 4K_d1_c2.bin",
    ),
    (KELVIN, f"'{KELVIN}' is not a name: '{KELVIN}': {RULE}; say what it holds: --as NAME"),
    ("closed", "Permission denied"),
    ("open", f"'open' is not a name: 'open': {RULE}; say what it holds: --as NAME"),
    ("7K", "is a directory, and 7K_d1_c1.bin is not a tree"),
    ("9K", "nobody writes to it: start its writer first"),
    ("5K", "is neither a regular file nor a block device"),
]


@pytest.fixture
def bad_paths(copies: Path) -> Iterator[Path]:
    (copies / "locked.bin").write_bytes(b"x")
    (copies / "locked.bin").chmod(0)
    (copies / "4K.bin").symlink_to("locked.bin")
    (copies / "closed").mkdir()
    (copies / "open").mkdir()
    (copies / "loop").symlink_to("loop")
    (copies / "notes.img").touch()
    (copies / "4K-c2.bin").touch()
    (copies / KELVIN).touch()
    (copies / "7K").mkdir()
    os.mkfifo(copies / "9K")
    (copies / "5K").symlink_to("/dev/null")
    (copies / "closed").chmod(0)
    yield copies
    (copies / "closed").chmod(0o700)


@pytest.mark.parametrize("place", [0, 14])
def test_a_bad_path_hides_no_other(bad_paths: Path, place: int) -> None:
    """As a user: root reads what has mode 0."""
    (bad_paths / "locked.bin").rename(bad_paths / "1.bin")
    bad = [("1.bin", why) if path == "locked.bin" else (path, why) for path, why in BAD_PATHS]
    paths = [path for path, _ in bad]
    paths.insert(place, "4K")
    paths.append("3x5000")
    command = [*BY_THE_MODE, DGENFS, "verify", *paths]
    done = subprocess.run(command, cwd=bad_paths, capture_output=True, check=False, text=True)
    assert done.stdout == (
        "4K: identical, 4 KiB\n"
        "3x5000: 3 of 3 files identical, 0 different, 0 missing, 0 unexpected\n"
    )
    assert sorted(done.stderr.splitlines()) == sorted(f"dgenfs: {p}: {why}" for p, why in bad)
    assert done.returncode == 2
    as_json = [*command, "--json"]
    done = subprocess.run(as_json, cwd=bad_paths, capture_output=True, check=False, text=True)
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert found["identical"] is False
    assert [report["path"] for report in found["reports"]] == ["4K", "3x5000"]
    told = [(one["path"], one["reason"]) for one in found["unchecked"]]
    assert sorted(told) == sorted(bad)


def test_a_tree_whose_directory_cannot_be_read(copies: Path) -> None:
    (copies / "3x5000").chmod(0)
    command = [*BY_THE_MODE, DGENFS, "verify", "3x5000", "4K"]
    done = subprocess.run(command, cwd=copies, capture_output=True, check=False, text=True)
    (copies / "3x5000").chmod(0o700)
    assert done.returncode == 2
    head, *rest = done.stdout.splitlines()
    assert head == (
        "3x5000: 0 of 3 files identical, 0 different, 0 missing, 0 unexpected, 4 unreadable"
    )
    assert "unreadable: .: Permission denied" in rest
    assert rest[-1] == "4K: identical, 4 KiB"


def test_a_name_that_suits_one_of_two(copies: Path) -> None:
    done = shell("dgenfs verify 4K 3x5000 --as 3x5000", copies)
    assert done.returncode == 2
    assert done.stdout.startswith("3x5000: 3 of 3 files identical")
    assert done.stderr == (
        "dgenfs: 4K: '3x5000' is not a name: '3x5000': is a tree;"
        " name a file in it, such as 3x5KB_d1_c1/000000.bin\n"
    )
    done = shell("dgenfs verify 4K 3x5000 --as 4K", copies)
    assert done.returncode == 2
    assert done.stdout == "4K: identical, 4 KiB\n"
    assert done.stderr == "dgenfs: 3x5000: is a directory, and 4K_d1_c1.bin is not a tree\n"
    done = shell("dgenfs verify 4K 3x5000 --as 4K-d2", copies)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"dgenfs: '4K-d2' is not a name: '4K-d2': {RULE}; the nearest name is 4K_d2_c1.bin\n"
    )


def test_the_worst_gives_the_exit_code(copies: Path) -> None:
    (copies / "different").write_bytes(bytes(4096))
    assert shell("dgenfs verify 4K different --as 4K", copies).returncode == 1
    assert shell("dgenfs verify none different 4K --as 4K", copies).returncode == 2


def test_a_lone_file_of_a_tree(copies: Path) -> None:
    lone = "/backup/3x5000/old/000001.bin"
    for folder, tree in (("backup/3x5000/old", "3x5KB_d1_c1"), ("lone", "TREE")):
        (copies / folder).mkdir(parents=True)
        (copies / folder / "000001.bin").write_bytes((copies / "3x5000/000001.bin").read_bytes())
        done = shell(f"dgenfs verify {folder}/000001.bin", copies)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            f"dgenfs: {folder}/000001.bin: has 5000 B, where its own name says 1 B;"
            f" if it is a file of a tree, say --as {tree}/000001.bin\n"
        )
    assert shell(f"dgenfs verify .{lone} --as 3x5KB_d1_c1/000001.bin", copies).returncode == 0
    for name in ("000001.parquet", "000001.abcdefghijk"):
        (copies / "lone" / name).write_bytes(bytes(300))
        done = shell(f"dgenfs verify lone/{name}", copies)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith(f"; if it is a file of a tree, say --as TREE/{name}\n")


def test_a_short_file(copies: Path) -> None:
    os.truncate(copies / "4K", 1000)
    done = shell("dgenfs verify 4K", copies)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == (
        "4K: different, 3.02 KiB missing at the end, the rest is identical;"
        " the file has 1000 B instead of 4096 B"
    )


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("", 1, "1 unexpected, 5 excluded"),
        ("--exclude notes*", 0, "0 unexpected, 6 excluded"),
        ("--exclude '' --exclude 'notes.*'", 1, "5 unexpected, 1 excluded"),
        ("--exclude ''", 1, "6 unexpected"),
        ("--exclude x --exclude '' --exclude '*'", 0, "0 unexpected, 6 excluded"),
    ],
)
def test_what_is_excluded(copies: Path, options: str, code: int, said: str) -> None:
    tree = copies / "3x5000"
    for name in ("lost+found", "@eaDir"):
        (tree / name).mkdir()
        (tree / name / "inside").touch()
    for name in (".DS_Store", "._000000.bin", ".nfs0000000000a1", "notes.txt"):
        (tree / name).touch()
    done = shell(f"dgenfs verify 3x5000 {options}", copies)
    assert done.returncode == code
    head = "3x5000: 3 of 3 files identical, 0 different, 0 missing, "
    assert done.stdout.splitlines()[0] == head + said
    if not options:
        (report,) = json.loads(shell("dgenfs verify 3x5000 --json", copies).stdout)["reports"]
        names = [".DS_Store", "._000000.bin", ".nfs0000000000a1", "@eaDir", "lost+found"]
        assert (sorted(report["excluded"]), report["excluded_files"]) == (names, 5)


def test_no_pattern_hides_a_trees_own(copies: Path) -> None:
    tree = copies / "3x5000"
    (tree / "000000.bin").unlink()
    (tree / "000001.bin").write_bytes(b"x" * 5000)
    (tree / "000002.bin").unlink()
    (tree / "000002.bin").mkdir()
    done = shell("dgenfs verify 3x5000 --exclude '*' --exclude '0*'", copies)
    assert done.returncode == 1
    assert done.stdout.startswith(
        "3x5000: 0 of 3 files identical, 1 different, 2 missing, 0 unexpected\n"
    )
    done = shell("dgenfs verify 3x5000 --exclude 0000/x", copies)
    assert done.returncode == 2
    assert done.stderr == "dgenfs: --exclude '0000/x': is the pattern of a name, without a slash\n"


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
