"""What can be written to, and that nothing else looks as if it could."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clients import NAME, right
from control_files import settings_of, write
from mounting import DGENFS, RETUNED, Mount, mounted
from privileges import NOBODY
from processes import Done, run

TREE = "5x1K"
PATHS = ("", NAME, TREE, f"{TREE}/000000.bin", ".stats", ".metrics", "5x1K/none", "1G_c2")
SETTINGS = json.dumps({"workers_per_node": 3}).encode()

# access(2), opens and what follows from their rights, each with its errno or 0.
_LOOK = """
import errno, json, os, sys
def number_of(call, *arguments):
    try:
        done = call(*arguments)
    except OSError as error:
        return error.errno
    if type(done) is int:
        os.close(done)
    return 0 if done is not False else "no"
user = int(os.environ["USER_ID"])  # not from the start: Python may lie where only root looks
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
os.chdir(os.environ["ROOT"])
print(json.dumps({
    path: [
        number_of(os.access, path, os.F_OK),
        number_of(os.access, path, os.R_OK),
        number_of(os.access, path, os.W_OK),
        number_of(os.access, path, os.X_OK),
        number_of(os.open, path, os.O_RDONLY),
        number_of(os.open, path, os.O_WRONLY),
    ]
    for path in sys.argv[1:]
}))
"""


@pytest.fixture(scope="module", params=[(), RETUNED], ids=["ro", "rw"])
def any_mount(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    folder = tmp_path_factory.mktemp("any")
    with mounted(folder, NAME, TREE, "--allow-other", *request.param, limit=120) as mount:
        yield mount


@pytest.fixture
def writable(tmp_path: Path) -> Iterator[Mount]:
    with mounted(tmp_path, NAME, "--allow-other", *RETUNED) as mount:
        yield mount


def rights(mount: Mount, user: int, *paths: str) -> dict[str, list[int | str]]:
    root = os.open(mount.path, os.O_PATH)  # the folders above are the owner's only
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK, *(path or "." for path in paths)],
            env={**os.environ, "ROOT": f"/proc/self/fd/{root}", "USER_ID": str(user)},
            pass_fds=[root],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        os.close(root)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[int | str]] = json.loads(done.stdout)
    return found


def mount_options(mount: Mount) -> list[str]:
    return run("findmnt", "-n", "-o", "OPTIONS", mount.path).out.decode().strip().split(",")


def test_read_only_by_default(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME) as mount:
        assert "ro" in mount_options(mount)
        assert os.statvfs(mount.path).f_flag & os.ST_RDONLY
        assert rights(mount, 0, ".topology")[".topology"] == [0, 0, "no", "no", 0, errno.EROFS]
        with pytest.raises(OSError, match="Read-only file system"):
            write(mount.path / ".topology", SETTINGS)
        right(mount.path / NAME)


@pytest.mark.parametrize("user", [0, NOBODY])
def test_nothing_looks_writable(any_mount: Mount, user: int) -> None:
    """As to Java's isWritable, test -w and access(2), with the rights of root too."""
    for path, found in rights(any_mount, user, *PATHS).items():
        if path == "5x1K/none":
            assert found[:3] == ["no", "no", "no"]
            continue
        directory = path in (".", TREE)
        assert found[:3] == [0, 0, "no"], path
        assert found[3] == (0 if directory else "no"), path
        assert found[4] == 0, path
        refused = errno.EISDIR if directory else errno.EROFS
        assert found[5] in (refused, errno.EACCES if user else refused), path


def test_topology_is_its_owners(writable: Mount) -> None:
    for user, expected in ((0, [0, 0, 0, "no", 0, 0]), (NOBODY, [0, "no", "no", "no", 13, 13])):
        assert rights(writable, user, ".topology")[".topology"] == expected
    write(writable.path / ".topology", SETTINGS)
    assert settings_of(writable)[0] == 3


def remount(mount: Mount, options: str) -> Done:
    return run(DGENFS, "mount", mount.path, "-o", f"remount,{options}", code=None)


def test_remount(tmp_path: Path) -> None:
    """To be written to and back, as reads go on, by dgenfs and by mount(8)."""
    with mounted(tmp_path, NAME) as mount, (mount.path / NAME).open("rb") as file:
        for command in (
            (DGENFS, "mount", mount.path, "-o"),
            ("mount", "-i", mount.path, "-o"),
        ):
            run(*command, "remount,rw")
            assert "rw" in mount_options(mount)
            write(mount.path / ".topology", SETTINGS)
            assert settings_of(mount)[0] == 3
            assert file.read(5)
            with pytest.raises(OSError, match="Read-only file system"):
                os.open(mount.path / NAME, os.O_RDWR)
            run(*command, "remount,ro")
            options = mount_options(mount)
            assert {"ro", "nosuid", "nodev"} <= set(options)
            with pytest.raises(OSError, match="Read-only file system"):
                write(mount.path / ".topology", SETTINGS)
        right(mount.path / NAME)


def test_remount_that_cannot_be(writable: Mount, tmp_path: Path) -> None:
    fd = os.open(writable.path / ".topology", os.O_WRONLY)
    try:
        busy = remount(writable, "ro")
    finally:
        os.close(fd)
    assert "cannot be remounted: Device or resource busy" in busy.err
    without_rights = ("setpriv", "--inh-caps=-all", "--bounding-set=-sys_admin")
    user = run(*without_rights, DGENFS, "mount", writable.path, "-o", "remount,ro", code=1)
    assert "cannot be remounted: Operation not permitted" in user.err
    assert "rw" in mount_options(writable)
    nothing = run(DGENFS, "mount", tmp_path, "-o", "remount,ro", code=1)
    assert "no dgenfs is mounted there" in nothing.err
