"""What is written appears whole, in its place only, and over nothing that is precious."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from privileges import block_device
from writing import ignore

from dgenfs import DataGenerator, Spec
from dgenfs.api import parts
from dgenfs.api.publishing import write_file, write_tree
from dgenfs.content.view import View
from dgenfs.machine import system_calls

SPEC = Spec.parse("800M_c2")
LONG = SPEC.view(0)  # more chunks than are under way when the first is done
SHORT = LONG.part(0, 10)
TREE = Spec.parse("3x1K")


def content(source: View) -> bytes:
    data = bytearray(source.size)
    DataGenerator(SPEC).read_into(data, 0)  # both are from the start on
    return bytes(data)


def not_offered(*_: object, **__: object) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def no_links(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=["all", "no new names only", "no links either"])
def _file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for one that renames over what is there, as NFS, or has no hard links, as FAT."""
    if request.param != "all":
        monkeypatch.setattr(parts, "rename_new", not_offered)
    if request.param == "no links either":
        monkeypatch.setattr(os, "link", no_links)


@pytest.mark.usefixtures("_file_system")
def test_a_file_that_was_made_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(FileExistsError, match="while its content was written"):
        write_file(SHORT, out, lambda _: out.symlink_to("precious"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert out.readlink() == Path("precious")
    out.unlink()
    write_file(SHORT, out, ignore)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [
        ("out", content(SHORT))
    ]


@pytest.mark.usefixtures("_file_system")
@pytest.mark.parametrize(
    "make",
    [
        lambda out: out.write_bytes(b"precious"),
        lambda out: out.symlink_to("precious"),
        lambda out: out.mkdir(0o700),
    ],
    ids=["file", "link", "empty directory"],
)
def test_a_tree_that_was_made_meanwhile_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    with pytest.raises(FileExistsError, match="is there already"):
        write_tree(TREE, out, lambda _: make(out))
    made = out.lstat()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    out.rename(tmp_path / "made")
    write_tree(TREE, out, ignore)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "out"]
    assert os.path.samestat((tmp_path / "made").lstat(), made)
    assert len(list(out.iterdir())) == TREE.files


def test_a_link_to_nothing_is_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.symlink_to("target")
    with pytest.raises(FileExistsError, match="--force"):
        write_file(SHORT, out, ignore)
    with pytest.raises(FileExistsError, match="is there already"):
        write_tree(TREE, out, ignore)
    assert out.readlink() == Path("target")
    write_file(SHORT, out, ignore, force=True)
    assert out.readlink() == Path("target")
    assert (tmp_path / "target").read_bytes() == content(SHORT)


def test_force_replaces_the_file_and_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, out = tmp_path / "folder" / "target", tmp_path / "out"
    target.write_bytes(b"old")
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 1234, 1234)
    before = target.stat()
    out.symlink_to("folder/target")
    write_file(SHORT, out, ignore, force=True)
    assert out.readlink() == Path("folder/target")
    assert target.read_bytes() == content(SHORT)
    after = target.stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_terminal_behind_a_link_is_written_to(tmp_path: Path) -> None:
    leader, follower = os.openpty()
    out = tmp_path / "out"
    out.symlink_to(os.ttyname(follower))
    write_file(LONG.part(0, 1), out, ignore, force=True)
    os.close(follower)
    assert os.read(leader, 10)
    os.close(leader)
    assert out.is_symlink()


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in ("folder", "socket"):
            with pytest.raises(FileExistsError, match="no file or device"):
                write_file(SHORT, tmp_path / name, ignore, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "socket"]


@pytest.mark.parametrize("there", ["fifo", "terminal"])
def test_a_stream_goes_only_to_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """And not to a file that somebody has put in its place just now."""
    out, precious = tmp_path / "out", tmp_path / "precious"
    precious.write_bytes(b"precious")
    if there == "fifo":
        os.mkfifo(out)
    else:
        out.symlink_to("/dev/null")
    look = Path.stat

    def look_and_replace(path: Path, **options: bool) -> os.stat_result:
        found = look(path, **options)
        if path == out:
            out.unlink()
            out.symlink_to(precious)
        return found

    monkeypatch.setattr(Path, "stat", look_and_replace)
    with pytest.raises(FileExistsError, match="replaced"):
        write_file(SHORT, out, ignore)
    assert precious.read_bytes() == b"precious"


def removes_once(path: Path) -> Callable[[int], None]:
    paths = iter([path])

    def remove(_: int) -> None:
        for path in paths:
            path.unlink()

    return remove


def test_a_part_that_is_removed_does_not_come_back_with_a_hole(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_file(LONG, tmp_path / "out", removes_once(tmp_path / "out.part"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_tree_that_is_removed_does_not_come_back_with_a_hole(tmp_path: Path) -> None:
    spec = Spec.parse("1x800M")
    with pytest.raises(FileNotFoundError):
        write_tree(spec, tmp_path / "out", removes_once(tmp_path / "out.part" / spec.path(0)))
    assert list(tmp_path.iterdir()) == []


def failing(_: int) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_a_file_that_does_not_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        write_file(SHORT, tmp_path / "out", ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_does_not_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        syncfs: Callable[[int], int] = staticmethod(lambda _: -1)

    monkeypatch.setattr(system_calls, "_libc", Libc)
    with pytest.raises(OSError, match=str(tmp_path)):
        write_tree(TREE, tmp_path / "out", ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_does_not_take_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    with block_device(image) as device:
        write_file(SHORT, device, ignore, force=True)
        assert device.is_block_device()
        with device.open("rb") as file:
            assert file.read(10) == content(SHORT)
        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="Input/output"):
            write_file(SHORT, device, ignore, force=True)
