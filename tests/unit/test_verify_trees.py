"""Trees as verify sees them: around the limits of its batches, and with rights missing."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from mounting import DGENFS
from privileges import BY_THE_MODE
from processes import run
from profile_sets import SETS
from writing import ignore, write

from dgenfs import Spec
from dgenfs.api.publishing import write_data_set, write_tree
from dgenfs.cli.verification import Options, Verification
from dgenfs.names.catalog import Directory
from dgenfs.names.profile import read
from dgenfs.names.spec import BATCH
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.reports import TreeReport, Unreadable
from dgenfs.verifying.trees import LISTED
from dgenfs.verifying.verifier import Verifier


def written(folder: Path, name: str) -> tuple[Path, Spec]:
    spec = Spec.parse(name)
    write_tree(spec, folder / name, ignore)
    return folder / name, spec


def verified(path: Path, spec: Spec, *, direct: bool = False) -> TreeReport:
    with Verifier(seeds=[7], direct=direct) as verifier:
        return verifier.verify_tree(path, Directory(spec))


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("size", ["1", "4095", "4M-1", "4M", "4M+1", "8M", "8M+1"])
@pytest.mark.parametrize("limit", ["", "_f2"])
@pytest.mark.parametrize("direct", [False, True])
def test_the_last_byte(tmp_path: Path, size: str, limit: str, direct: bool) -> None:
    path, spec = written(tmp_path, f"5x{size}_d2_c2{limit}")
    assert verified(path, spec, direct=direct).identical_files == 5
    flip(path / spec.path(4), spec.size - 1)
    report = verified(path, spec, direct=direct)
    assert (report.identical_files, report.different_files) == (4, 1)
    (different,) = report.different
    assert different.file == 4
    assert different.path == path / spec.path(4)
    assert different.extents == [Extent(spec.size - 1, spec.size, Kind.BIT_FLIPS, 1, 1)]


@pytest.mark.parametrize("files", [BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 1])
def test_the_ends_of_batches(tmp_path: Path, files: int) -> None:
    path, spec = written(tmp_path, f"{files}x3000_f100")
    wrong = sorted({0, BATCH - 1, BATCH, 2 * BATCH, files - 1} & set(range(files)))
    for file in wrong:
        flip(path / spec.path(file), 1500)
    report = verified(path, spec)
    assert [different.file for different in report.different] == wrong
    assert report.identical_files == files - len(wrong)


def test_empty_files(tmp_path: Path) -> None:
    path, spec = written(tmp_path, "7x0_f3")
    assert verified(path, spec).identical_files == 7
    for file in range(1, 6):
        (path / spec.path(file)).unlink()
    os.mkfifo(path / spec.path(1))
    (path / spec.path(2)).mkdir()
    (path / spec.path(3)).symlink_to("/dev/null")
    (path / spec.path(4)).write_bytes(b"x")
    report = verified(path, spec)
    assert report.missing == [spec.path(file) for file in (1, 2, 3, 5)]
    (different,) = report.different
    assert (different.file, different.extents) == (4, [Extent(0, 1, Kind.EXCESS, 1)])
    assert (report.identical_files, report.unexpected_files) == (2, 0)


def test_links_to_what_is_right(tmp_path: Path) -> None:
    path, spec = written(tmp_path, "9x5000_f4")
    path.rename(tmp_path / "kept")
    path.symlink_to("kept")
    (path / spec.path(5)).rename(tmp_path / "file")
    (path / spec.path(5)).symlink_to(tmp_path / "file")
    (path / "0002").rename(tmp_path / "folder")
    (path / "0002").symlink_to(tmp_path / "folder")
    assert verified(path, spec).identical


def test_names_of_all_kinds_in_directories_of_many(tmp_path: Path) -> None:
    path, spec = written(tmp_path, "2500x1_f1200")
    odd = [os.fsdecode(bytes([byte])) for byte in range(1, 256) if byte not in b"./"]
    more = [f"{number:06}.bi" for number in range(LISTED)]
    wrong = ["002400.bin", "001199.bin", "00001200.bin", "1200.bin", "001200.BIN", "x" * 255]
    for name in (*odd, *more, *wrong):
        (path / "0001" / name).touch()
    for name in (*odd, "0003", "00", "000000.bin"):
        (path / name).mkdir()
    report = verified(path, spec)
    assert report.identical_files == 2500
    inside = [f"0001/{name}" for name in (*odd, *more, *wrong)]
    assert sorted(report.unexpected) == sorted([*inside, *odd, "0003", "00", "000000.bin"])


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, Spec]:
    """A tree with faults of many kinds."""
    path, spec = written(tmp_path, "300x5000_d2_c2_f70")
    for file in range(0, 300, 9):
        one = path / spec.path(file)
        if file % 4 == 0:
            flip(one, file * 16)
        elif file % 4 == 1:
            os.truncate(one, 4096)
        elif file % 4 == 2:
            one.unlink()
        else:
            shutil.copy(path / spec.path(file + 1), one)
    (path / spec.path(2)).unlink()
    (path / spec.path(2)).symlink_to("/proc/version")
    (path / "0003").rename(path / "3")
    return path, spec


@pytest.mark.parametrize("direct", [False, True])
def test_the_same_without_compiled_code(
    damaged: tuple[Path, Spec], monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    report = verified(*damaged, direct=direct)
    assert min(report.identical_files, report.different_files, report.missing_files) > 5
    assert report.unreadable_paths == 1  # a file of /proc has no O_DIRECT and no end
    monkeypatch.setattr(Spec, "is_compiled", False)
    assert verified(*damaged, direct=direct) == report


class StopError(Exception):
    pass


def test_a_caller_that_stops_leaves_nothing_open(damaged: tuple[Path, Spec]) -> None:
    path, spec = damaged

    def stop(_: int) -> None:
        raise StopError

    with Verifier() as verifier:
        before = set(Path("/proc/self/fd").iterdir())
        with pytest.raises(StopError):
            verifier.verify_tree(path, Directory(spec), stop)
        assert len(set(Path("/proc/self/fd").iterdir())) == len(before)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A tree with directories that its owner may not enter, list, or both."""
    path, spec = written(tmp_path, "12x5000_f3")
    (path / spec.path(4)).chmod(0)
    for directory, mode in ((0, 0), (2, 0o111), (3, 0o444)):
        (path / spec.directory_name(directory)).chmod(mode)
    yield path
    for folder in path.iterdir():
        folder.chmod(0o700)


def test_directories_without_rights(locked: Path) -> None:
    done = run(*BY_THE_MODE, DGENFS, "verify", locked, "--json", code=2)
    assert done.err == ""
    (report,) = json.loads(done.out)["reports"]
    files = [f"{file // 3:04}/{file:06}.bin" for file in (0, 1, 2, 4, 9, 10, 11)]
    unreadable = [(one["path"], one["reason"]) for one in report["unreadable"]]
    assert unreadable[:7] == [(path, "Permission denied") for path in files]
    assert sorted(unreadable[7:]) == [(path, "Permission denied") for path in ("0000", "0002")]
    assert report["identical_files"] == 5
    assert report["missing"] == report["unexpected"] == report["different"] == []


def test_a_tree_that_may_not_be_entered(tmp_path: Path) -> None:
    path, spec = written(tmp_path, "3x5000")
    path.chmod(0o444)
    try:
        done = run(*BY_THE_MODE, DGENFS, "verify", path, "--json", code=2)
    finally:
        path.chmod(0o700)
    (report,) = json.loads(done.out)["reports"]
    assert [one["path"] for one in report["unreadable"]] == [spec.path(file) for file in range(3)]
    assert report["identical_files"] == report["missing_files"] == report["unexpected_files"] == 0


@pytest.fixture
def keys() -> Iterator[MemoryFileSystem]:
    """A store that is empty before and after."""
    memory = MemoryFileSystem()
    memory.store.clear()
    yield memory
    memory.store.clear()


def put(memory: MemoryFileSystem, key: str) -> None:
    """Add an object whatever other keys begin with its own, as object stores do."""
    memory.store[key] = MemoryFile(memory, key, b"more")


def test_keys_that_begin_with_an_objects(keys: MemoryFileSystem, tmp_path: Path) -> None:
    """What stands in a store beside an object, or a prefix, of the same name is unexpected."""
    write("6x3000_f2", tmp_path / "tree")
    (tmp_path / "mine.toml").write_text(SETS)
    top = read(str(tmp_path / "mine.toml")).top
    write_data_set(top, tmp_path / "set", ignore)
    keys.put(f"{tmp_path}/tree", "/", recursive=True)
    keys.put(f"{tmp_path}/set", "/", recursive=True)
    spec = Spec.parse("6x3000_f2")
    with Verifier() as verifier:
        assert verifier.verify_tree("memory://tree", Directory(spec)).identical
        assert verifier.verify_tree("memory://set", top).identical
        file = next(iter(top.members()))[0]
        for key in ("tree/0000/000001.bin/x", "tree/0002", f"set/{file}/x", "set/train"):
            put(keys, f"/{key}")
        tree = verifier.verify_tree("memory://tree", Directory(spec))
        some = verifier.verify_tree("memory://set", top)
    assert (tree.identical_files, sorted(tree.unexpected)) == (6, ["0000/000001.bin/", "0002"])
    assert (some.identical_files, sorted(some.unexpected)) == (top.files, ["train", f"{file}/"])


@pytest.mark.parametrize("name", [None, "train/", "train"])
def test_a_data_set_in_a_store(keys: MemoryFileSystem, tmp_path: Path, name: str | None) -> None:
    (tmp_path / "mine.toml").write_text(SETS)
    data_set = read(str(tmp_path / "mine.toml"))
    write_data_set(data_set.top, tmp_path / "set", ignore)
    keys.put(f"{tmp_path}/set", "/", recursive=True)
    verification = Verification(Options(name, (), False, (), data_set=data_set))
    verification.check([f"memory://set/{name or ''}"])
    assert (verification.unchecked, verification.code) == ([], 0)


def test_a_tree_that_cannot_be_reached_hides_no_other(tmp_path: Path) -> None:
    names = ("1x3000", "2x3000", "3x3000")
    for name in names:
        write(name, tmp_path / name)

    def remove(_: int) -> None:
        shutil.rmtree(tmp_path / "2x3000", ignore_errors=True)

    with Verifier() as verifier:
        found = verifier.verify_directory(tmp_path, remove)
    assert [Path(one.path).name for one in found.reports] == ["1x3000", "3x3000"]
    why = "No such file or directory"
    assert found.unchecked == [Unreadable(str(tmp_path / "2x3000"), why)]
