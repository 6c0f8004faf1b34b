"""Data sets written by gen, and copies of them compared by verify."""

import filecmp
import json
import os
import subprocess
from pathlib import Path

import pytest
from mounting import DGENFS
from profile_sets import SETS

from dgenfs.api.chunks import CHUNK
from dgenfs.api.publishing import write_data_set
from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.profile import read
from dgenfs.verifying.findings import Kind
from dgenfs.verifying.reports import TreeReport
from dgenfs.verifying.verifier import Verifier

PROFILE = (
    f"seed = 9\n{SETS}"
    + """
[[set]]
name = "notes-{index}.txt"
files = 9
size = { distribution = "list", sizes = [0, 5000, "9M"] }

[[set]]
directory = "empty/below"
files = 0
size = 0
"""
)


@pytest.fixture
def data_set(tmp_path: Path) -> DataSet:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE)
    return read(str(path))


@pytest.fixture
def copy(tmp_path: Path, data_set: DataSet) -> Path:
    copy = tmp_path / "copy"
    write_data_set(data_set.top, copy, lambda _: None)
    return copy


def verified(path: Path, directory: ProfileDirectory) -> TreeReport:
    with Verifier(exclude=["lost+found"]) as verifier:
        return verifier.verify_tree(path, directory)


def test_every_file_is_there_with_its_bytes(copy: Path, data_set: DataSet) -> None:
    nodes = {node.path: node for node in data_set.top.walk()}
    assert {str(path.relative_to(copy)) for path in copy.rglob("*")} == nodes.keys()
    sizes = set()
    for path, node in nodes.items():
        if isinstance(node, ProfileFile):
            assert (copy / path).read_bytes() == node.view().read(0, node.size + 1)
            sizes.add(node.size)
    assert {0, 9 << 20} <= sizes
    assert max(sizes) > CHUNK
    report = verified(copy, data_set.top)
    assert report.identical
    assert (report.files, report.identical_files) == (48, 48)


def test_progress_counts_all_bytes(tmp_path: Path, data_set: DataSet) -> None:
    nodes = data_set.top.walk()
    size = sum(node.size for node in nodes if isinstance(node, ProfileFile))
    written: list[int] = []
    compared: list[int] = []
    write_data_set(data_set.top, tmp_path / "copy", written.append)
    with Verifier() as verifier:
        verifier.verify_tree(tmp_path / "copy", data_set.top, compared.append)
    assert sum(written) == sum(compared) == size


def test_faults_are_found(copy: Path, data_set: DataSet) -> None:
    large = max(copy.glob("notes-*"), key=lambda path: path.stat().st_size)
    with large.open("r+b") as file:
        file.seek(large.stat().st_size - 700)
        file.write(bytes(600))
    (copy / "train/3/img_03_of_30.npy").unlink()
    (copy / "train/0/img_00_of_30.npy").rename(copy / "train/0/img_04_of_30.npy")
    (copy / "valid/img_1_of_3.indexed_binary.off.idx").write_bytes(bytes(80))
    (copy / "valid/img_2_of_3.indexed_binary").write_bytes(b"")
    (copy / "valid/more").touch()
    (copy / "train/3/lost+found").mkdir()
    (copy / "empty/below").rmdir()
    report = verified(copy, data_set.top)
    found = {str(Path(one.path).relative_to(copy)): set(one.totals) for one in report.different}
    assert found.pop(large.name) == {Kind.ZEROS}
    assert found.pop("valid/img_1_of_3.indexed_binary.off.idx")
    assert found.pop("valid/img_2_of_3.indexed_binary") == {Kind.MISSING}
    assert found.keys() == {"train/0/img_04_of_30.npy"}
    assert report.missing == [
        "train/0/img_00_of_30.npy",
        "train/3/img_03_of_30.npy",
        "empty/below/",
    ]
    assert report.unexpected == ["valid/more"]
    assert report.excluded == ["train/3/lost+found"]
    assert report.identical_files == 48 - 4 - 2
    assert report.files == 49  # with an empty directory that is missing


def test_what_is_of_another_kind(copy: Path, data_set: DataSet) -> None:
    (copy / "notes-0.txt").unlink()
    (copy / "notes-0.txt").mkdir()
    for path in (copy / "valid").iterdir():
        path.unlink()
    (copy / "valid").rmdir()
    (copy / "valid").touch()
    report = verified(copy, data_set.top)
    assert report.missing_files == 1 + 9
    assert report.unexpected == ["valid"]
    assert report.identical_files == 48 - 10


def test_a_directory_of_a_data_set(copy: Path, data_set: DataSet) -> None:
    for path in ("train", "train/2", "valid"):
        directory = data_set.top.find(path.split("/"))
        assert isinstance(directory, ProfileDirectory)
        report = verified(copy / path, directory)
        assert report.identical
        assert report.files == report.identical_files == directory.files > 0
    with pytest.raises(NotADirectoryError):
        verified(copy / "notes-0.txt", data_set.top)


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path, data_set: DataSet) -> None:
    def fail(_: int) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_data_set(data_set.top, tmp_path / "copy", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
    (tmp_path / "copy").touch()
    with pytest.raises(FileExistsError, match="is there already"):
        write_data_set(data_set.top, tmp_path / "copy", lambda _: None)


def test_commands(tmp_path: Path, copy: Path) -> None:
    def dgenfs(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [DGENFS, *arguments, "--profile", "./mine.toml"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == code, done.stderr
        return done

    dgenfs("gen")  # where it is, by its name
    names = [str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()]
    assert filecmp.cmpfiles(copy, tmp_path / "mine", names, shallow=False)[0] == names
    file = "train/1/img_01_of_30.npy"
    assert "identical" in dgenfs("verify", f"copy/{file}", "mine").stdout
    os.rename(copy / file, tmp_path / "moved")  # noqa: PTH104
    said = dgenfs("verify", "moved", code=2).stderr
    assert said == "dgenfs: moved: no end of it is a path in mine; say what it holds: --as PATH\n"
    assert "identical" in dgenfs("verify", "moved", "--as", file).stdout
    found = json.loads(dgenfs("verify", "copy", "--json", code=1).stdout)
    assert [one["missing"] for one in found["reports"]] == [[file]]
    dgenfs("verify", "copy/train/2", "--as", "train/2/")
    said = dgenfs("verify", "copy/train/2", code=1).stdout.splitlines()[0]
    assert said.endswith("unexpected; if it is a copy of train/2, say --as train/2")
    said = dgenfs("verify", "copy/train/2", "--as", file, code=2).stderr
    assert said == f"dgenfs: copy/train/2: is a directory, unlike {file}\n"
    said = dgenfs("verify", "copy", "--as", "train/9", code=2).stderr
    assert said == "dgenfs: 'train/9' is not a name: '9': train holds 0 to 3\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gen"], "gen takes a NAME, or --profile: one of them"),
        (["gen", "1K", "--profile", "vm-images"], "gen takes a NAME, or --profile: one of them"),
        (
            ["gen", "--profile", "vm-images", "--force"],
            "vm-images: a tree or a data set is written whole",
        ),
        (
            ["gen", "--profile", "vm-images", "-o", "-"],
            "vm-images: a tree or a data set is written whole",
        ),
        (["gen", "1K", "--scale", "2"], "--scale 2: is of a profile: say --profile too"),
        (["verify", "/", "--profile", "x"], "--profile 'x': is none of home-directories, "),
        (["verify", "/", "--profile", "vm-images", "--scale", "0"], "--scale '0': is a number ab"),
        (["mount", "/", "--profile", "./x"], "x: No such file or directory"),
    ],
)
def test_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [DGENFS, *arguments], cwd=tmp_path, capture_output=True, check=False, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"dgenfs: {said}")
