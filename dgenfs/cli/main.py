"""The command line.

Each command imports what it needs when it runs: help, a usage error and the meaning of a name need
no compiler, which takes longer to load than all the rest.
"""

import io
import signal
import sys
from enum import StrEnum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from dgenfs import logs
from dgenfs.cli.terminal import (
    USAGE,
    errors,
    leave,
    print_error,
    print_json,
    print_text,
    progress,
    reason,
    standard_output,
)
from dgenfs.mount.io_mode import Io

if TYPE_CHECKING:
    from dgenfs.names.catalog import Directory, File
    from dgenfs.verifying.reports import FileReport, TreeReport
    from dgenfs.verifying.verifier import Progress, Verifier

DIFFERENT = 1
UNREAD = 2

app = typer.Typer(
    help="Test data with an exact deduplication and compression ratio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line."""
    # Paths may have bytes that are no text; they are printed as they are.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    for number in (signal.SIGTERM, signal.SIGHUP):
        # What nohup has the process ignore stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        logs.configure()
    except logs.LogConfigError as error:
        print_error(str(error))
        sys.exit(USAGE)
    try:
        app()
    except SystemExit as end:
        leave(end.code)


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        with errors():
            import dgenfs

            print_text(Text(f"dgenfs {dgenfs.__version__}"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Test data with an exact deduplication and compression ratio."""


@app.command()
def gen(
    name: Annotated[
        str,
        typer.Argument(help="10G_d4_c2.bin, 1000x1M_d2, or a tree's file 1000x1M_d2/000017.bin"),
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="A path; - is standard output. Default: NAME, here."),
    ] = None,
    offset: Annotated[str, typer.Option(help="First byte to write, such as 4096 or 1.5G.")] = "0",
    length: Annotated[str | None, typer.Option(help="Bytes to write. Default: to the end.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    """Write NAME's content to a file, a directory (for a tree) or standard output."""
    from dgenfs.cli.arguments import part_of, require_own_name, target
    from dgenfs.names.catalog import Directory, find, find_file

    with errors():
        node = find_file(PurePath(name)) if "/" in name else find(name)
        if isinstance(node, Directory):
            if (offset, length) != ("0", None) or output == "-" or force:
                raise ValueError(
                    f"{name}: a tree is written whole, to a path that is not there: without "
                    "--offset, --length, --force and -o -"
                )
            from dgenfs.api.publishing import write_tree

            with progress(name, node.size) as advance:
                write_tree(node.spec, target(output, name), advance)
            return
        part = part_of(node, offset, length)
        from dgenfs.api.publishing import write_file, write_stream

        path = target(output, name)
        if output is None or (output != "-" and path != Path(output)):
            require_own_name(path, node, part, output)
        with progress(name, part.size) as advance:
            if output == "-":
                # As cat does: a reader that leaves ends us, without a word.
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                with standard_output() as out:
                    write_stream(part, out.fileno(), advance)
            else:
                write_file(part, path, advance, force=force)


@app.command()
def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Copies to check.")],
    as_name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="What they hold. Default: their name."),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Other seeds whose bytes to recognize, such as 0,7,100-199.")
    ] = "",
    direct: Annotated[
        bool, typer.Option("--direct", help="Never read through the page cache, or fail.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Report in JSON.")] = False,
) -> None:
    """Compare copies with what their names say.

    Exit code 0 if all are identical, 1 if one is different, 2 if one cannot be read, the report
    cannot be written or the usage is wrong.
    """
    from dgenfs.cli import render
    from dgenfs.cli.arguments import expected, parse_seeds
    from dgenfs.verifying.reports import TreeReport

    with errors(failed=UNREAD):
        others = parse_seeds(seeds)
        unread = False
        work = []
        for path in paths:
            try:
                work.append((path, expected(path, as_name)))
            except OSError as error:
                print_error(reason(error, path))
                unread = True
        from dgenfs.verifying.verifier import Verifier

        reports: list[FileReport | TreeReport] = []
        with (
            Verifier(seeds=others, direct=direct) as verifier,
            progress("verify", sum(node.size for _, node in work)) as advance,
        ):
            for path, node in work:
                try:
                    reports.append(_verified(verifier, path, node, advance))
                except (OSError, ValueError) as error:
                    print_error(reason(error, path))
                    unread = True
        identical = not unread and all(one.identical for one in reports)
        if as_json:
            print_json({"identical": identical, "reports": [render.as_json(r) for r in reports]})
        else:
            print_text(*(render.as_text(one) for one in reports))
    if unread or any(isinstance(one, TreeReport) and one.unreadable_paths for one in reports):
        raise typer.Exit(UNREAD)
    if not identical:
        raise typer.Exit(DIFFERENT)


def _verified(
    verifier: "Verifier", path: Path, node: "File | Directory", progress: "Progress"
) -> "FileReport | TreeReport":
    from dgenfs.names.catalog import Directory

    if isinstance(node, Directory):
        return verifier.verify_tree(path, node.spec, progress)
    return verifier.verify_file(path, node.spec, node.number, progress)


@app.command()
def explain(name: Annotated[str, typer.Argument(help="A name, good or bad.")]) -> None:
    """Show what NAME means and what storage will make of it, or which rule it breaks."""
    from dgenfs.cli.explanation import explanation
    from dgenfs.names.catalog import find

    with errors():
        print_text(explanation(find(name).spec))


@app.command()
def analyze(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Any files or directories of files.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Report in JSON.")] = False,
) -> None:
    """Measure how well files deduplicate and compress, at the chunk sizes of storage."""
    from dgenfs.cli import render
    from dgenfs.verifying.analyze import analyze as measure
    from dgenfs.verifying.analyze import find_files

    with errors():
        files = list(find_files(paths))
        with progress("analyze", sum(size for _, size in files)) as advance:
            analysis = measure(files, advance)
        if as_json:
            print_json(render.analysis_as_json(analysis))
        else:
            print_text(render.analysis_as_text(analysis))


class DataPlane(StrEnum):
    """What answers reads."""

    COMPILED = "compiled"
    PYFUSE3 = "pyfuse3"


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="What ls shows; any other name opens too."),
]
Foreground = Annotated[bool, typer.Option("-f", "--foreground", help="Stay in the foreground.")]
AllowOther = Annotated[bool, typer.Option("--allow-other", help="Let other users read.")]
WorkersPerNode = Annotated[
    int,
    typer.Option(min=0, max=256, help="Threads on each NUMA node; 0 is one a CPU and one more."),
]
CacheSize = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Block cache of each NUMA node, such as 64M; 0 is none. "
        "Default: half its share of the processor's last-level cache.",
    ),
]
DataFilesIo = Annotated[
    Io,
    typer.Option(
        help="Whether data files are read past the kernel's page cache (direct) or through it and "
        "kept there (cached). Default: by their size, and none is kept there."
    ),
]
Plane = Annotated[
    DataPlane, typer.Option(help="What answers reads; pyfuse3 is slow, and traces each.")
]
LogFile = Annotated[
    Path | None, typer.Option(help="Where to log in the background. Default: nowhere.")
]
Options = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="OPTION", help="As mount(8) takes them; ro is the default."),
]


@app.command()
def mount(
    mountpoint: Annotated[Path, typer.Argument(help="An empty directory.")],
    names: Names = None,
    foreground: Foreground = False,
    allow_other: AllowOther = False,
    workers_per_node: WorkersPerNode = 0,
    cache: CacheSize = None,
    io: DataFilesIo = Io.AUTO,
    data_plane: Plane = DataPlane.COMPILED,
    log_file: LogFile = None,
    options: Options = None,
) -> None:
    """Mount the file system: every name is a file."""
    from dgenfs.cli.mounting import start
    from dgenfs.mount.background import open_standard_descriptors
    from dgenfs.mount.options import parse
    from dgenfs.names.grammar import parse_size

    open_standard_descriptors()
    with errors():
        settings = {
            "allow_other": allow_other,
            "workers_per_node": workers_per_node,
            "cache_bytes": None if cache is None else parse_size(cache),
            "io": io,
            "compiled": data_plane is DataPlane.COMPILED,
            "log_file": log_file,
        }
        given = parse(options or ())
        start(mountpoint, tuple(names or ()), given, settings, foreground=foreground)


@app.command()
def umount(
    mountpoint: Annotated[Path, typer.Argument(help="Where the file system is mounted.")],
) -> None:
    """Unmount the file system; its process ends."""
    from dgenfs.mount.mountpoint import FSTYPE, MountError, mounted_at, unmount

    with errors():
        # Not resolved by asking the file system: a dead one would not answer.
        path = mountpoint.parent.resolve() / mountpoint.name
        mounted = mounted_at(path)
        if mounted is None:
            path = path.resolve()
            mounted = mounted_at(path)
        if mounted is None or mounted.fstype != FSTYPE:
            raise MountError(f"{mountpoint}: no dgenfs is mounted there")
        unmount(path)


@app.command("install-helper")
def install_helper(
    remove: Annotated[bool, typer.Option("--remove", help="Remove them again.")] = False,
) -> None:
    """Link into /sbin what mount(8) and fstab(5) need for `-t fuse.dgenfs`."""
    from dgenfs.cli.mount_helper import FOLDER, install

    with errors():
        print_text(*install(FOLDER, remove=remove))
