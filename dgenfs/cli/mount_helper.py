"""What mount(8) runs for a line of fstab(5): ``mount.fuse.dgenfs SOURCE MOUNTPOINT -o OPTIONS``."""

import getopt
import sys
from pathlib import Path
from typing import NoReturn

import typer

from dgenfs.cli.mounting import start
from dgenfs.cli.terminal import (
    USAGE,
    errors,
    leave,
    open_standard_streams,
    print_error,
    print_unforeseen,
)
from dgenfs.mount.mountpoint import MountError
from dgenfs.mount.options import parse

PROGRAMS = ("mount.dgenfs", "mount.fuse.dgenfs")  # for -t dgenfs and -t fuse.dgenfs
FOLDER = Path("/sbin")  # the only place where mount(8) looks

# Of mount(8).
_USAGE = 1
_FAILED = 32


def main() -> NoReturn:
    """Mount as the arguments say; the exit code is mount(8)'s."""
    from dgenfs import logs

    try:
        open_standard_streams()
        logs.configure()
        with errors():
            _mount(sys.argv[1:])
    except logs.LogConfigError as error:
        print_error(str(error))
        leave(_USAGE)
    except typer.Exit as end:
        leave(_USAGE if end.exit_code == USAGE else _FAILED)
    except Exception as error:
        print_unforeseen(error)
        leave(_FAILED)
    leave(0)


def _mount(arguments: list[str]) -> None:
    """Take what mount(8) gives: a source, a mountpoint, and -o, -s, -f, -n, -v and -t."""
    try:
        given, places = getopt.gnu_getopt(arguments, "o:sfnvt:")
    except getopt.GetoptError as error:
        raise ValueError(str(error)) from error
    if len(places) != 2:
        raise ValueError(
            "mount.dgenfs SOURCE MOUNTPOINT [-o OPTIONS]: names for a listing, or none"
        )
    source, mountpoint = places
    flags = [flag for flag, _ in given]
    lists = [value for flag, value in given if flag == "-o"]
    parts = [part for one in lists for part in one.split(",")]
    if "remount" not in parts:
        # mount(8) says rw wherever nobody says ro, so it is not what somebody asked for.
        lists = [",".join(part for part in one.split(",") if part != "rw") for one in lists]
    options = parse([f"fsname={_escaped(source)}", *lists], unknown_too="-s" in flags)
    if "-f" not in flags:
        start(Path(mountpoint), names_of(source), options, {})


def _escaped(source: str) -> str:
    return source.replace("\\", "\\\\").replace(",", "\\,")


def names_of(source: str) -> tuple[str, ...]:
    """Return the names that a source lists, such as ``1G_d4_c2.bin,1000x1M``; none for examples."""
    if source in ("none", "dgenfs"):
        return ()
    return tuple(filter(None, source.split(",")))


def install(folder: Path, *, remove: bool = False) -> list[str]:
    """Link the programs that mount(8) runs, or remove the links; nothing else is touched.

    Args:
        folder: where mount(8) looks.
        remove: whether to undo it.

    Returns:
        What was done, a line each.

    Raises:
        MountError: something else stands there, or this is no installed package.
        OSError: the folder cannot be written to.
    """
    links = [folder / name for name in PROGRAMS]
    for link in links:
        _check_ours(link)
    if remove:
        there = [link for link in links if link.is_symlink()]
        for link in there:
            link.unlink()
        return [f"{link}: removed" for link in there]
    done = []
    for link in links:
        program = Path(sys.executable).with_name(link.name)
        if not program.exists():
            raise MountError(f"{program}: is missing: install dgenfs with pip")
        if link.is_symlink() and link.readlink() == program:
            done.append(f"{link}: leads to {program} already")
            continue
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        done.append(f"{link}: leads to {program} now")
    return done


def _check_ours(link: Path) -> None:
    if link.is_symlink():
        if link.readlink().name != link.name:
            raise MountError(f"{link}: leads to {link.readlink()}: move it away first")
    elif link.exists():
        raise MountError(f"{link}: is there, and no link of dgenfs: move it away first")
