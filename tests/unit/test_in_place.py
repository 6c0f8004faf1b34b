"""Parts of what a name says, written beside the others, and gone on with."""

import os
import random
from pathlib import Path

import oracle
import pytest
from writing import ignore, is_whole, write

from dgenfs.cli.generation import Generation
from dgenfs.distributed import writing
from dgenfs.distributed.writing import write_part
from dgenfs.names import share as shares
from dgenfs.names.catalog import Directory, File, find
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.profile import read
from dgenfs.names.share import WHOLE, Share
from dgenfs.verifying.verifier import Verifier


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (shares, writing):
        monkeypatch.setattr(module, "RANGE", 64 << 10)


def write_all(name: str, target: Path, count: int, *, resume: bool = False) -> int:
    """Write all parts in some order; return how many bytes were said to be done."""
    done = 0

    def advance(length: int) -> None:
        nonlocal done
        done += length

    numbers = list(range(1, count + 1))
    random.Random(count).shuffle(numbers)
    for number in numbers:
        share = Share(number, count)
        write_part(find(name), str(target), share, resume=resume, progress=advance)
    return done


@pytest.mark.parametrize("count", [1, 3, 11])
@pytest.mark.parametrize(
    "name", ["700001_d2_c2", "0", "1", "30x5000_d2_f7", "3x9M", "300000_r900.npz"]
)
def test_parts_are_the_whole(tmp_path: Path, name: str, count: int) -> None:
    done = write_all(name, tmp_path / "copy", count)
    assert is_whole(tmp_path / "copy", name)
    node = find(name)
    assert done == node.size
    before = {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert write_all(name, tmp_path / "copy", count, resume=True) == node.size
    for path, was in before.items():
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == was, "what is right is left alone"


def test_a_file_is_gone_on_with(tmp_path: Path) -> None:
    """Ranges that are right are not written: what stands beside them in memory proves it."""
    name = "700001_d2_c2"
    path = tmp_path / "copy"
    write(name, path)
    data = bytearray(path.read_bytes())
    data[70_000] ^= 1
    path.write_bytes(data[:400_000])
    written: list[int] = []
    plain = os.pwrite

    def pwrite(descriptor: int, rest: memoryview, at: int) -> int:
        written.append(at)
        return plain(descriptor, rest, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        write_part(find(name), str(path), WHOLE, resume=True, progress=ignore)
    assert is_whole(path, name)
    step = 64 << 10
    assert sorted(at // step for at in written) == [1, 6, 7, 8, 9, 10]


def test_a_tree_is_gone_on_with(tmp_path: Path) -> None:
    name = "40x9000_d2_f7"
    path = tmp_path / "copy"
    write(name, path)
    kept = tmp_path / "kept"
    content = oracle.parse(name)
    for file, change in ((3, "torn"), (8, "gone"), (20, "long"), (21, "link"), (30, "linked")):
        one = path / oracle.tree_path(content, file)
        data = one.read_bytes()
        one.unlink()
        if change == "torn":
            one.write_bytes(data[:5000])
        elif change == "long":
            one.write_bytes(data + b"more")
        elif change != "gone":
            kept.write_bytes(b"somebody's")
            (one.symlink_to if change == "link" else one.hardlink_to)(kept)
    untouched = (path / oracle.tree_path(content, 0)).stat().st_ino
    write_all(name, path, 4, resume=True)
    assert is_whole(path, name)
    assert kept.read_bytes() == b"somebody's"
    assert (path / oracle.tree_path(content, 0)).stat().st_ino == untouched


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    share = Share(2, 4)

    def part(name: str, target: Path, *, resume: bool = False) -> None:
        write_part(find(name), str(target), share, resume=resume, progress=ignore)

    path = tmp_path / "300000"
    path.write_bytes(b"of another size")
    with pytest.raises(FileExistsError, match=r"has 15 B instead of 300000 B; --resume"):
        part("300000", path)
    assert path.read_bytes() == b"of another size"
    path.write_bytes(b"x" * 300_000)
    with pytest.raises(FileExistsError, match="holds data from 65536 to 131072 already"):
        part("300000", path)
    assert path.read_bytes() == b"x" * 300_000
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        part("300000", path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="no regular file"):
        part("300000", pipe)
    tree = tmp_path / "8x5000"
    part("8x5000", tree)
    with pytest.raises(FileExistsError, match=r"000002\.bin: is there already; --resume goes on"):
        part("8x5000", tree)
    with pytest.raises(NotADirectoryError):
        part("8x5000", tree / "000002.bin", resume=True)
    with pytest.raises(FileNotFoundError):
        part("8x5000", tmp_path / "none" / "tree")


def test_an_error_names_the_file(tmp_path: Path) -> None:
    tree = tmp_path / "8x5000"
    tree.mkdir()
    plain = os.pwrite

    def pwrite(descriptor: int, rest: memoryview, at: int) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "000003.bin":
            raise OSError(28, "No space left on device")
        return plain(descriptor, rest, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        with pytest.raises(OSError, match=r"No space left.*8x5000/000003\.bin"):
            write_part(find("8x5000"), str(tree), WHOLE, resume=False, progress=ignore)
    write_part(find("8x5000"), str(tree), WHOLE, resume=True, progress=ignore)
    assert is_whole(tree, tree.name)


def test_other_names_of_a_file_keep_what_they_have(tmp_path: Path) -> None:
    path, snapshot = tmp_path / "300000", tmp_path / "snapshot"
    write(path.name, path)
    path.write_bytes(b"damaged")
    snapshot.hardlink_to(path)
    with pytest.raises(FileExistsError, match="has 2 names, all of which"):
        write_part(find("300000"), str(path), WHOLE, resume=True, progress=ignore)
    assert snapshot.read_bytes() == b"damaged"
    snapshot.unlink()
    write_part(find("300000"), str(path), WHOLE, resume=True, progress=ignore)
    assert is_whole(path, path.name)


def test_a_link_in_the_place_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/0001").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError, match="0001"):
        write_part(find("10x500_f3"), str(tmp_path / "tree"), WHOLE, resume=True, progress=ignore)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_second_part_goes_where_the_first_is(tmp_path: Path) -> None:
    """As the command is given: a directory that is there is the tree's, not one above it."""
    for number in (1, 2, 2):
        share = Share(number, 2)
        target = str(tmp_path / "run1")
        resume = (tmp_path / "run1").exists()
        Generation(target, "0", None, False, share, resume).write("10x500_f3")
    assert is_whole(tmp_path / "run1", "10x500_f3")


def test_a_data_set(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(
        "seed = 9\n"
        '[[set]]\ndirectory = "a/b"\nname = "x-{index}.bin"\nfiles = 9\nsize = 3000\n'
        '[[set]]\ndirectory = "empty"\nname = "y-{index}.bin"\nfiles = 0\nsize = 10\n'
    )
    top = read(str(profile), "1").top
    assert isinstance(top, ProfileDirectory)
    for number in (3, 1, 2):
        target = str(tmp_path / "copy")
        write_part(top, target, Share(number, 3), resume=False, progress=ignore)
    with Verifier() as verifier:
        assert verifier.verify_tree(tmp_path / "copy", top).identical
        (tmp_path / "copy/a/b/x-4.bin").write_bytes(b"")
        report = verifier.verify_tree(tmp_path / "copy", top, share=Share(2, 3))
        assert (report.files, report.different_files) == (3, 1)
        write_part(top, target, Share(2, 3), resume=True, progress=ignore)
        assert verifier.verify_tree(tmp_path / "copy", top).identical


def test_members(tmp_path: Path) -> None:
    del tmp_path
    node = find("10x5000_f3")
    assert isinstance(node, Directory)
    for count in (1, 3, 12):
        members = [
            member for number in range(count) for member in node.members(Share(number + 1, count))
        ]
        assert [inside for inside, _ in members] == [node.spec.path(file) for file in range(10)]
        assert [file for _, file in members] == [File(node.spec, file) for file in range(10)]
    below = node.child("0001")
    assert isinstance(below, Directory)
    assert [inside for inside, _ in below.members()] == [f"{file:06}.bin" for file in (3, 4, 5)]
