"""Trees of many files: every fault is reported and nothing else, and memory does not grow."""

import base64
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oracle
import pytest
from mounting import DGENFS
from privileges import BY_THE_MODE, file_system
from processes import run

NAME = "100000x4K_d2_c2_f7000"
CONTENT = oracle.parse(NAME)
SIZE = 4096
SEED = 77
OTHER = oracle.parse(NAME.replace("_f", f"_s{SEED}_f"))


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory: files are made and go fast, and all of them go."""
    with file_system("tmpfs", tmp_path / "memory") as folder:
        yield folder


def inside(*files: int) -> list[str]:
    return [oracle.tree_path(CONTENT, file) for file in files]


def right(file: int) -> bytes:
    return oracle.read(CONTENT, file, 0, SIZE)


# Bytes in the place of a file's, of the first and the last directory and those between.
CHANGED: dict[int, bytes] = {
    0: bytes(SIZE),
    6999: right(6999)[:2053] + bytes([right(6999)[2053] ^ 4]) + right(6999)[2054:],
    12_345: right(98_001),
    98_001: right(12_345),
    34_567: oracle.read(OTHER, 34_567, 0, SIZE),
    45_678: right(45_678)[:1000],
    56_789: right(56_789) + b"0123456789",
    97_999: b"",
}
FIFO, DIRECTORY, NO_FILE, TO_NOTHING = 66_000, 77_000, 88_000, 98_002
LOCKED, LOOP = 7000, 99_999
TO_THE_RIGHT_ONE = 50_000
UNEXPECTED = [
    os.fsdecode(b"0003/caf\xe9\n"),
    "0003/0021000.bin",
    "0003/021000.bin.bak",
    "0004/021000.bin",
    "000000.bin",
    "00003",
    "0015",
    "3",
    "notes.txt",
]


def plant(tree: Path) -> None:
    for file, data in CHANGED.items():
        (tree / oracle.tree_path(CONTENT, file)).write_bytes(data)
    fifo, directory, no_file, to_nothing, locked, loop, link = (
        tree / path
        for path in inside(FIFO, DIRECTORY, NO_FILE, TO_NOTHING, LOCKED, LOOP, TO_THE_RIGHT_ONE)
    )
    for path in (fifo, directory, no_file, to_nothing, loop):
        path.unlink()
    os.mkfifo(fifo)
    directory.mkdir()
    to_nothing.symlink_to("none")
    locked.chmod(0)
    loop.symlink_to(loop.name)
    link.rename(tree.parent / "kept")
    link.symlink_to(tree.parent / "kept")
    for name in UNEXPECTED:
        (tree / name).touch()


def check_bytes(report: dict[str, Any]) -> None:
    """Every wrong byte is counted once, and what is misplaced is where it is said to belong."""
    file = report["file"]
    data, expected = CHANGED[file], right(file)
    assert report["expected_size"] == SIZE
    assert report["size"] == len(data)
    wrong = [i for i, (one, other) in enumerate(zip(data, expected, strict=False)) if one != other]
    assert report["wrong_bytes"] == len(wrong) + abs(len(data) - SIZE)
    for extent in report["extents"]:
        if extent["belongs_at"] is None:
            continue
        start, end = extent["start"], extent["end"]
        content = CONTENT if extent["seed"] is None else OTHER
        there = oracle.read(content, extent["belongs_in"], extent["belongs_at"], end - start)
        assert there == data[start:end]


def test_every_fault_of_a_hundred_thousand_files(memory: Path) -> None:
    assert run(DGENFS, "gen", NAME, "-o", memory).out == b""
    plant(memory / NAME)
    command = (DGENFS, "verify", memory / NAME, "--seeds", f"{SEED - 7}-{SEED + 7}", "--json")
    done = run(*BY_THE_MODE, *command, code=2)
    assert done.err == ""
    found = json.loads(done.out)
    (report,) = found["reports"]
    assert not found["identical"]
    assert not report["identical"]
    assert report["missing"] == inside(FIFO, DIRECTORY, NO_FILE, TO_NOTHING)
    unexpected = [os.fsdecode(base64.b64decode(name)) for name in report["unexpected_b64"]]
    assert sorted(unexpected) == sorted(UNEXPECTED)
    assert [(one["path"], one["reason"]) for one in report["unreadable"]] == [
        (*inside(LOCKED), "Permission denied"),
        (*inside(LOOP), "Too many levels of symbolic links"),
    ]
    different = {one["file"]: one for one in report["different"]}
    assert list(different) == sorted(CHANGED)
    for one in different.values():
        check_bytes(one)
    kinds = {file: {e["kind"] for e in one["extents"]} for file, one in different.items()}
    assert kinds == {
        0: {"zeros"},
        6999: {"bit flips"},
        12_345: {"misplaced"},
        98_001: {"misplaced"},
        34_567: {"other seed"},
        45_678: {"missing tail"},
        56_789: {"excess tail"},
        97_999: {"missing tail"},
    }
    assert {e["seed"] for e in different[34_567]["extents"]} == {SEED}
    counts = ("identical_files", "different_files", "missing_files", "unexpected_files")
    assert [report[count] for count in (*counts, "unreadable_paths")] == [
        100_000 - len(CHANGED) - 4 - 2,
        len(CHANGED),
        4,
        len(UNEXPECTED),
        2,
    ]


PEAK = """
import re, sys
from pathlib import Path
from dgenfs import Spec
from dgenfs.api.publishing import write_tree
from dgenfs.names.catalog import Directory
from dgenfs.verifying.verifier import Verifier

spec = Spec.parse(sys.argv[2])
if sys.argv[1] == "gen":
    write_tree(spec, Path(sys.argv[3]), lambda _: None)
else:
    with Verifier() as verifier:
        report = verifier.verify_tree(Path(sys.argv[3]), Directory(spec))
        assert report.identical, report
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_memory_does_not_grow_with_the_files(memory: Path) -> None:
    """A list of the names of 180,000 files is 14 MiB, which the larger tree may not take."""
    peaks = {
        (command, files): int(
            run(sys.executable, "-c", PEAK, command, f"{files}x1", memory / str(files)).out
        )
        for files in (20_000, 200_000)
        for command in ("gen", "verify")
    }
    for command in ("gen", "verify"):
        assert peaks[command, 200_000] < peaks[command, 20_000] + (6 << 10), peaks
