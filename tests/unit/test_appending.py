"""Logs are appended to what is the user's own, whatever others put in its place."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from privileges import as_user

from dgenfs.machine.appending import open_to_append

ME = os.geteuid()
SOMEBODY = 65534 if ME == 0 else 0
needs_root = pytest.mark.skipif(ME != 0, reason="only root can make another user's file")


def append(path: Path, text: bytes = b"line\n") -> None:
    descriptor = open_to_append(path)
    assert os.get_blocking(descriptor)
    assert not os.get_inheritable(descriptor)
    assert os.write(descriptor, text) == len(text)
    os.close(descriptor)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory as /tmp is."""
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(0o1777)
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that users other than root reach."""
    path = Path(tempfile.mkdtemp(prefix="dgenfs-append-"))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "precious"
    path.write_text("kept\n")
    return path


def test_new_and_old(shared: Path) -> None:
    path = shared / "log"
    append(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    append(path)
    assert path.read_text() == "line\nline\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_own_links(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (shared / "a").symlink_to("b")
    (shared / "b").symlink_to(tmp_path / "logs")
    (shared / "log").symlink_to("../shared/./a/../logs/log")
    append(shared / "log")
    append(shared / "a" / "log")
    assert (tmp_path / "logs" / "log").read_text() == "line\nline\n"


def test_links_without_an_end(shared: Path) -> None:
    (shared / "log").symlink_to("log")
    with pytest.raises(OSError, match="Too many levels") as failed:
        append(shared / "log")
    assert failed.value.filename == str(shared / "log")


def link(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def link_to_nothing(path: Path, precious: Path) -> None:
    path.symlink_to(precious.with_name("new"))


def fifo(path: Path, _precious: Path) -> None:
    os.mkfifo(path)


def file(path: Path, _precious: Path) -> None:
    path.write_text("theirs\n")


PLANTED = (link, link_to_nothing, fifo, file)


@needs_root
@pytest.mark.parametrize("sticky", [True, False])
@pytest.mark.parametrize("plant", PLANTED)
def test_what_others_put_there(
    shared: Path, precious: Path, plant: Callable[[Path, Path], None], sticky: bool
) -> None:
    if not sticky:
        os.chown(shared, SOMEBODY, SOMEBODY)
        shared.chmod(0o755)
    path = shared / "log"
    plant(path, precious)
    os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
    before = os.lstat(path)
    with pytest.raises(PermissionError, match=r"another user's (link|file)") as failed:
        append(path)
    assert failed.value.errno == errno.EACCES
    assert precious.read_text() == "kept\n"
    assert not precious.with_name("new").exists()
    assert os.lstat(path).st_size == before.st_size


@needs_root
def test_a_directory_that_is_anothers_link(shared: Path, precious: Path) -> None:
    (shared / "logs").symlink_to(precious.parent)
    os.chown(shared / "logs", SOMEBODY, SOMEBODY, follow_symlinks=False)
    for name in ("precious", "new"):
        with pytest.raises(PermissionError, match="another user's link"):
            append(shared / "logs" / name)
    assert precious.read_text() == "kept\n"


@needs_root
def test_a_link_of_ours_to_a_link_of_others(shared: Path, precious: Path, tmp_path: Path) -> None:
    (shared / "theirs").symlink_to(precious)
    os.chown(shared / "theirs", SOMEBODY, SOMEBODY, follow_symlinks=False)
    (tmp_path / "log").symlink_to(shared / "theirs")
    with pytest.raises(PermissionError, match="another user's link"):
        append(tmp_path / "log")
    assert precious.read_text() == "kept\n"


def test_another_name_of_a_file(shared: Path, precious: Path) -> None:
    (shared / "log").hardlink_to(precious)
    with pytest.raises(PermissionError, match="other names"):
        append(shared / "log")
    append(precious)  # nobody else may write there


@needs_root
def test_anothers_file_where_only_we_write(tmp_path: Path) -> None:
    """As logrotate(8) makes them."""
    path = tmp_path / "log"
    path.write_text("line\n")
    os.chown(path, SOMEBODY, SOMEBODY)
    append(path)
    assert path.read_text() == "line\nline\n"


@needs_root
def test_as_a_user_without_rights(precious: Path, open_folder: Path) -> None:
    """Of root's link and of an own one, none of a third's."""
    shared = open_folder
    (shared / "roots").symlink_to(shared / "log")
    (shared / "others").symlink_to(precious.rename(shared / "precious"))
    os.chown(shared / "others", 1, 1, follow_symlinks=False)
    (shared / "precious").chmod(0o666)
    with as_user(SOMEBODY):
        append(shared / "roots")
        with pytest.raises(PermissionError, match="another user's link"):
            append(shared / "others")
    assert (shared / "log").stat().st_uid == SOMEBODY
    assert (shared / "precious").read_text() == "kept\n"


def test_what_is_no_file(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    append(Path("/dev/stdout"), b"to standard output\n")
    assert capfd.readouterr().out == "to standard output\n"
    append(Path(os.devnull))
    os.mkfifo(shared / "own")
    for path, number in (
        (shared, errno.EISDIR),
        (Path("/"), errno.EISDIR),
        (shared / "own", errno.ENXIO),  # nobody reads it
        (shared / "none" / "log", errno.ENOENT),
        (shared / "own" / "log", errno.ENOTDIR),
    ):
        with pytest.raises(OSError, match=r".") as failed:
            append(path)
        assert failed.value.errno == number, path
        assert failed.value.filename == str(path)


def test_no_descriptor_is_left(shared: Path) -> None:
    append(shared / "log")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    append(shared / "log")
    with pytest.raises(OSError, match=r"."):
        append(shared / "none" / "log")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
