import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from clients import NAME, reference, right
from mounting import DGENFS, END_SECONDS, ended_afterwards, mounted
from privileges import AS_NOBODY, NOBODY, folder_of_nobody, user_command
from processes import Done, eventually, run, session_of

from dgenfs.mount.mountpoint import mounted_at

CLIENT_AS_NOBODY = user_command(NOBODY)


def mount(path: Path, *arguments: object, before: tuple[object, ...] = ()) -> Done:
    return run(*before, DGENFS, "mount", path, *arguments, code=None)


def refused(done: Done, message: str) -> None:
    assert message in done.err, done
    assert done.code in (1, 2), done
    assert (done.out, done.err.count("\n")) == (b"", 1), done
    assert done.err.startswith("dgenfs: "), done


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """A directory that nothing is mounted on, before and after."""
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    found = mounted_at(path)
    if found is not None:
        run("umount", "-l", path)
    assert found is None
    assert list(path.iterdir()) == []


@pytest.fixture(scope="module")
def open_folder() -> Iterator[Path]:
    """A folder of nobody's that everybody reaches, for as long as this module."""
    with folder_of_nobody() as folder:
        yield folder


def test_mountpoint_of_dgenfs_and_within(tmp_path: Path) -> None:
    tree = "1000x1M_f10"
    with mounted(tmp_path, NAME, tree) as there:
        refused(mount(there.path), "is mounted already: dgenfs umount")
        refused(mount(there.path, "-f"), "is mounted already")
        refused(mount(there.path / tree / "0003"), "is not empty")
        refused(mount(there.path / NAME), "is not a directory")
        right(there.path / NAME)


def test_mountpoint_of_others(empty: Path) -> None:
    run("mount", "-t", "tmpfs", "none", empty)
    try:
        refused(mount(empty), "a tmpfs file system is mounted there")
        refused(run(DGENFS, "umount", empty, code=None), "no dgenfs is mounted there")
    finally:
        run("umount", empty)


def test_mountpoint_missing(empty: Path) -> None:
    for missing in (empty / "missing", empty / "missing" / "too"):
        refused(mount(missing), "No such file or directory")
    refused(run(DGENFS, "umount", empty / "missing", code=None), "no dgenfs is mounted there")


def test_mountpoint_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    refused(mount(tmp_path / "file"), "is not a directory")
    assert (tmp_path / "file").read_text() == "precious"


def test_mountpoint_not_empty(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    refused(mount(tmp_path), "is not empty")


def test_umount_where_nothing_is_mounted(empty: Path) -> None:
    refused(run(DGENFS, "umount", empty, code=None), "no dgenfs is mounted there")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["10G-d4"], "10G_d4_c1.bin"),
        (["1G.sha256", "-f"], "checksum"),
        (["-o", "bogus"], "-o bogus: is no option of dgenfs"),
        (["-o", "ro,subtype=x"], "-o subtype=x: dgenfs knows its mounts by subtype=dgenfs"),
        (["-o", "nofial"], "-o nofial: is no option of dgenfs; the nearest is nofail"),
        (["-o", "allow_root"], "-o allow_root: only libfuse would enforce it"),
        (["-o", "max_read=4096"], "-o max_read=4096: requests have up to 1 MiB"),
        (["-o", "io=slow"], "-o io=slow: io takes one of auto, direct, cached"),
        (["-o", "cache"], "-o cache: say cache=VALUE"),
        (["-o", "ro=1"], "-o ro=1: ro takes no value"),
        (["-o", "remount,rw"], "no dgenfs is mounted there"),
        (["--cache", "lots"], "'lots'"),
        (["--cache", "17T"], "16 TiB"),
        (["--log-file", "none/log"], "none/log: No such file or directory"),
    ],
)
def test_bad_arguments(empty: Path, arguments: list[str], message: str) -> None:
    refused(mount(empty, *arguments), message)


def test_a_log_where_others_may_write(empty: Path, tmp_path: Path) -> None:
    """Nobody's link is not followed, and nobody's FIFO not waited for."""
    folder, precious = tmp_path / "shared", tmp_path / "precious"
    folder.mkdir()
    folder.chmod(0o1777)
    precious.write_text("kept")
    (folder / "link").symlink_to(precious)
    os.mkfifo(folder / "fifo")
    for planted, what in (("link", "link"), ("fifo", "file")):
        os.chown(folder / planted, NOBODY, NOBODY, follow_symlinks=False)
        done = mount(empty, f"--log-file={folder / planted}")
        refused(done, f"{folder / planted}: another user's {what}, where others may write")
    refused(mount(empty, "-o", f"log_file={folder / 'link'}"), "another user's link")
    assert precious.read_text() == "kept"


@pytest.mark.parametrize("where", [(), ("-f",)])
def test_no_device(empty: Path, where: tuple[str, ...]) -> None:
    script = 'mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3; exec "$@"'
    done = mount(empty, *where, before=("unshare", "-m", "sh", "-ec", script, "sh"))
    refused(done, "/dev/fuse is missing")


def test_something_else_for_a_device(empty: Path) -> None:
    script = 'mount --bind /dev/null /dev/fuse; exec "$@"'
    done = mount(empty, before=("unshare", "-m", "sh", "-ec", script, "sh"))
    refused(done, "cannot be mounted")


def nobody_in(folder: Path, *more: str) -> tuple[str, ...]:
    """What runs a command as nobody, with a place for compiled code in ``folder``."""
    return (*AS_NOBODY, "env", f"NUMBA_CACHE_DIR={folder / 'numba'}", *more)


def with_device(folder: Path) -> tuple[str, ...]:
    """What runs a command in a mount namespace where anybody may open /dev/fuse."""
    script = """
        [ -c "$1" ] || mknod "$1" c 10 229
        chmod 666 "$1"
        mount --bind "$1" /dev/fuse
        shift
        exec "$@"
    """
    return ("unshare", "-m", "sh", "-ec", script, "sh", str(folder / "fuse"))


def test_no_permission(open_folder: Path, tmp_path: Path) -> None:
    path = open_folder / "forbidden"
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    script = 'cp -a /dev/fuse "$1"; chmod 600 "$1"; mount --bind "$1" /dev/fuse; shift; exec "$@"'
    before = ("unshare", "-m", "sh", "-ec", script, "sh", tmp_path / "fuse")
    done = mount(path, before=(*before, *nobody_in(open_folder)))
    refused(done, "/dev/fuse: no permission")
    assert mounted_at(path) is None


def test_no_fusermount3(open_folder: Path) -> None:
    path = open_folder / "without"
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    before = (*with_device(open_folder), *nobody_in(open_folder, "PATH=/nonexistent"))
    refused(mount(path, before=before), "fusermount3 is missing")


def test_mountpoint_of_somebody_else(open_folder: Path) -> None:
    path = open_folder / "roots"
    path.mkdir()
    done = mount(path, before=(*with_device(open_folder), *nobody_in(open_folder)))
    refused(done, f"user has no write access to mountpoint {path}")


@dataclass
class Hidden:
    """A mount of nobody's in a mount namespace that only its own processes see.

    Attributes:
        path: the mountpoint.
        daemon: in the foreground.
        log: its standard error.
        inside: what runs a command in the namespace, as root.
        as_nobody: what runs one there as nobody with the rights to umount.
        mounts: the namespace's table of mounts, also once the daemon is gone.
    """

    path: Path
    daemon: "subprocess.Popen[bytes]"
    log: Path
    inside: tuple[str, ...]
    as_nobody: tuple[str, ...]
    mounts: Path

    @property
    def is_mounted(self) -> bool:
        return f" {self.path} " in self.mounts.read_text()


@contextmanager
def hidden(folder: Path, name: str, log: Path) -> Iterator[Hidden]:
    path = folder / name
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    command = (*with_device(folder), *nobody_in(folder), DGENFS, "mount", "-f", path, NAME)
    with log.open("wb") as file:
        daemon = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "DGENFS_LOG": "info"},
        )
    with ended_afterwards(daemon, path):
        mounts = Path(f"/proc/{daemon.pid}/mountinfo")
        eventually(lambda: f" {path} " in mounts.read_text() or daemon.poll() is not None, 50)
        assert daemon.poll() is None, log.read_text()
        inside = ("nsenter", "-m", "-t", str(daemon.pid))
        holder = subprocess.Popen([*inside, "sleep", "60"])
        try:
            mounts = Path(f"/proc/{holder.pid}/mountinfo")
            yield Hidden(path, daemon, log, inside, (*inside, *nobody_in(folder)), mounts)
        finally:
            holder.kill()
            holder.wait(END_SECONDS)


def interrupted_while_busy(mount: Hidden) -> None:
    client = subprocess.Popen(
        [*mount.inside, *CLIENT_AS_NOBODY, "cat", str(mount.path / NAME)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    busy = run(*mount.as_nobody, DGENFS, "umount", mount.path, code=1)
    assert "busy" in busy.err
    mount.daemon.send_signal(signal.SIGINT)
    assert client.wait(END_SECONDS) == 1


ENDINGS: dict[str, Callable[[Hidden], object]] = {
    "SIGTERM": lambda mount: mount.daemon.terminate(),
    "fusermount3 -u": lambda mount: run(*mount.as_nobody, "fusermount3", "-u", mount.path),
    "dgenfs umount": lambda mount: run(*mount.as_nobody, DGENFS, "umount", mount.path),
    "busy": interrupted_while_busy,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_mount_of_a_user_without_rights(open_folder: Path, tmp_path: Path, ending: str) -> None:
    with hidden(open_folder, f"mnt-{ending.replace(' ', '-')}", tmp_path / "log") as mount:
        file_path = mount.path / NAME
        head = ("head", f"-c{1 << 20}", file_path)
        assert run(*mount.inside, *CLIENT_AS_NOBODY, *head).out == reference()[: 1 << 20]
        denied = run(*mount.inside, *head, code=1)
        assert "Permission denied" in denied.err  # root, without --allow-other
        assert b"nobody" in run(*mount.inside, *CLIENT_AS_NOBODY, "stat", "-c%U", file_path).out
        ENDINGS[ending](mount)
        assert mount.daemon.wait(END_SECONDS) == 0, mount.log.read_text()
        assert session_of(mount.daemon.pid) == []
        assert not mount.is_mounted
        assert "ERROR" not in mount.log.read_text()
