"""What mount(8) runs for a line of fstab(5): ``mount.fuse.dgenfs SOURCE MOUNTPOINT -o OPTIONS``."""

import getopt
import sys
from pathlib import Path
from typing import NoReturn

import typer

from dgenfs import logs
from dgenfs.cli.mounting import start
from dgenfs.cli.running import run
from dgenfs.cli.terminal import USAGE, errors
from dgenfs.mount.options import escaped, parse, split

# Of mount(8).
_USAGE = 1
_FAILED = 32


def main() -> NoReturn:
    """Mount as the arguments say; the exit code is mount(8)'s."""
    run(_run, _FAILED)


def _run() -> int:
    """Mount and return the exit code."""
    try:
        with errors():
            logs.configure()
            _mount(sys.argv[1:])
    except typer.Exit as end:
        return _USAGE if end.exit_code == USAGE else _FAILED
    return 0


def _mount(arguments: list[str]) -> None:
    """Take what mount(8) gives: a source, a mountpoint, and -o, -s, -f, -n, -v, -t and -N."""
    try:
        given, places = getopt.gnu_getopt(arguments, "o:sfnvt:N:")
    except getopt.GetoptError as error:
        raise ValueError(str(error)) from error
    if len(places) != 2:
        raise ValueError(
            "mount.dgenfs SOURCE MOUNTPOINT [-o OPTIONS]: names for a listing, or none"
        )
    source, mountpoint = places
    flags = [flag for flag, _ in given]
    if "-N" in flags:
        # To mount in ours would be wrong, and in that one Python and dgenfs may not be there.
        raise ValueError("-N: dgenfs mounts where it runs: say nsenter --mount=NAMESPACE mount ...")
    parts = split(value for flag, value in given if flag == "-o")
    if "remount" not in parts:
        # mount(8) says rw wherever nobody says ro, so it is not what somebody asked for.
        parts = [part for part in parts if part != "rw"]
    options = parse([escaped(f"fsname={source}"), *parts], unknown_too="-s" in flags)
    if "-f" not in flags:
        start(Path(mountpoint), names_of(source), options, {})


def names_of(source: str) -> tuple[str, ...]:
    """Return the names that a source lists, such as ``1G_d4_c2.bin,1000x1M``; none for examples."""
    if source in ("none", "dgenfs"):
        return ()
    return tuple(filter(None, source.split(",")))
