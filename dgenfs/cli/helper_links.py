"""Links to what mount(8) runs: it looks in one folder only."""

import stat
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from dgenfs.mount.mountpoint import MountError

PROGRAMS = ("mount.dgenfs", "mount.fuse.dgenfs")  # for -t dgenfs and -t fuse.dgenfs
FOLDER = Path("/sbin")  # the only place where mount(8) looks


def install(folder: Path) -> list[str]:
    """Link the programs that mount(8) runs as root, if nobody else may write to them.

    Args:
        folder: where mount(8) looks.

    Returns:
        What was done, a line each.

    Raises:
        MountError: others may write to what would run, something else stands in the folder, or this
            is no installed package.
        OSError: the folder cannot be written to.
    """
    programs = installed()
    for path in (*programs, Path(sys.executable), Path(__file__)):
        require_roots(path)
    return link(folder, programs)


def installed() -> list[Path]:
    """Return where pip put the programs; MountError if it did not."""
    # Without a venv, they are not beside Python; and there are more places, such as a user's own.
    places = [Path(sysconfig.get_path("scripts")), Path(sys.argv[0]).absolute().parent]
    for place in places:
        found = [place / name for name in PROGRAMS]
        if all(program.exists() for program in found):
            return found
    raise MountError(f"{places[0] / PROGRAMS[0]}: is missing: install dgenfs with pip")


def require_roots(path: Path) -> None:
    """Raise MountError if somebody else than root can change what a path leads to.

    Raises:
        OSError: it leads nowhere.
    """
    path.resolve(strict=True)  # which its links may not do
    for part in _leading_to(path):
        found = part.lstat()
        mode = stat.S_IMODE(found.st_mode)
        # Of a sticky directory, others can neither move nor remove what is root's.
        held = stat.S_ISLNK(found.st_mode) or (stat.S_ISDIR(found.st_mode) and mode & stat.S_ISVTX)
        if found.st_uid != 0:
            who = f"belongs to user {found.st_uid}"
        elif mode & 0o022 and not held:
            who = f"can be written to by others (mode {mode:04o})"
        else:
            continue
        raise MountError(
            f"{part}: {who}, and leads to what mount(8) would run as root: only root may own or "
            "write to it; install dgenfs as root in a venv such as /opt/dgenfs"
        )


def _leading_to(path: Path) -> Iterator[Path]:
    """Yield each directory and link on the way to what a path leads to, and that itself."""
    at = Path("/")
    yield at
    parts = list(reversed(path.absolute().parts))
    while parts:
        part = parts.pop()
        if part in ("/", ".."):
            at = at.parent if part == ".." else Path("/")
            continue
        at /= part
        yield at
        if at.is_symlink():
            parts.extend(reversed(at.readlink().parts))
            at = at.parent


def link(folder: Path, programs: Sequence[Path]) -> list[str]:
    """Have links in a folder lead to programs, and return what was done; MountError as install."""
    links = [folder / program.name for program in programs]
    _require_ours(links)
    done = []
    for link, program in zip(links, programs, strict=True):
        if link.is_symlink() and link.readlink() == program:
            done.append(f"{link}: leads to {program} already")
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        done.append(f"{link}: leads to {program} now")
    return done


def uninstall(folder: Path) -> list[str]:
    """Remove the links, nothing else, and return what was done; MountError as install."""
    links = [folder / name for name in PROGRAMS]
    _require_ours(links)
    there = [link for link in links if link.is_symlink()]
    for link in there:
        link.unlink()
    return [f"{link}: removed" for link in there]


def _require_ours(links: Sequence[Path]) -> None:
    for link in links:
        if link.is_symlink():
            if link.readlink().name != link.name:
                raise MountError(f"{link}: leads to {link.readlink()}: move it away first")
        elif link.exists():
            raise MountError(f"{link}: is there, and no link of dgenfs: move it away first")
