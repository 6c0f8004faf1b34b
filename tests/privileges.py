"""What only root may do, for the tests that need a device or a full disk."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from dgenfs.kernels import code_cache
from dgenfs.kernels.jit import warm_up

# What runs a command that may read no more than modes let their owner, as root may.
_RIGHTS = "-dac_override,-dac_read_search"
BY_THE_MODE = (
    ("setpriv", f"--inh-caps={_RIGHTS}", f"--bounding-set={_RIGHTS}") if os.geteuid() == 0 else ()
)


AS_ROOT = () if os.geteuid() == 0 else ("sudo", "--non-interactive")
NOBODY = 65534


def user_command(number: int) -> tuple[str, ...]:
    """What runs a command as a user without groups, by its number."""
    return ("setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups")


# As a user without rights; but Python may lie in root's own folder, which only this one opens.
AS_NOBODY = (
    *user_command(NOBODY),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def as_nobody() -> AbstractContextManager[None]:
    """Do without root's rights, where the tests have them."""
    return as_user(NOBODY) if os.geteuid() == 0 else nullcontext()


def as_root(*command: str) -> str:
    """Run a command as root and return its standard output."""
    done = subprocess.run([*AS_ROOT, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def file_system(kind: str, folder: Path, options: str = "") -> Iterator[Path]:
    """A new folder on a file system of its own, such as tmpfs, that everybody may write to."""
    folder.mkdir()
    mode = f"mode=1777,{options}".rstrip(",")
    as_root("mount", "-t", kind, "-o", mode, "none", str(folder))
    try:
        yield folder
    finally:
        as_root("umount", "-l", str(folder))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A new folder that holds no more than ``size``, such as 64k."""
    with file_system("tmpfs", folder, f"size={size}") as disk:
        yield disk


@contextmanager
def block_device(image: Path) -> Iterator[Path]:
    """A device of ours whose content is that of a file."""
    device = Path(as_root("losetup", "--find", "--show", str(image)))
    try:
        as_root("chown", str(os.geteuid()), str(device))
        yield device
    finally:
        as_root("losetup", "--detach", str(device))


@contextmanager
def as_user(user: int) -> Iterator[None]:
    """Do it in this process with no more rights than a user has; what is open stays open."""
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(user, user, 0)
    os.setresuid(user, user, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@contextmanager
def folder_of_nobody() -> Iterator[Path]:
    """A folder of nobody's that everybody reaches, with compiled code in ``numba``."""
    folder = Path(tempfile.mkdtemp(prefix="dgenfs-nobody-"))
    try:
        folder.chmod(0o755)
        os.chown(folder, NOBODY, NOBODY)
        give_compiled_code(folder / "numba")
        yield folder
    finally:
        shutil.rmtree(folder)


def give_compiled_code(folder: Path) -> None:
    """Make nobody a folder for NUMBA_CACHE_DIR with what we have compiled: it takes long."""
    warm_up()
    shutil.copytree(code_cache.folder(), folder / "dgenfs")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
