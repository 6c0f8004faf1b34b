"""The command line.

Each command imports what it needs when it runs: help, a usage error and the meaning of a name need
no compiler, which takes longer to load than all the rest.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.text import Text

from dgenfs import logs
from dgenfs.cli.interruption import TO_CLEAN_UP, TO_STOP, end_when_signaled
from dgenfs.cli.merge import merge
from dgenfs.cli.options import Dask, Part, Profile, Scale
from dgenfs.cli.running import run
from dgenfs.cli.terminal import (
    FAILED,
    UNREAD,
    USAGE,
    errors,
    print_error,
    print_json,
    print_text,
    progress,
)
from dgenfs.cli.verify import verify
from dgenfs.mount.io_mode import Io
from dgenfs.mount.options import MAX_WORKERS, parse

if TYPE_CHECKING:
    pass

UNFORESEEN = 2  # as 1 of verify says that a copy is different

app = typer.Typer(
    help="Test data with an exact deduplication and compression ratio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> NoReturn:
    """Run the command line and end the process."""
    run(_run, UNFORESEEN)


def _run() -> str | int | None:
    """Run a command and return its exit code."""
    try:
        with errors():
            logs.configure()
            return app(standalone_mode=False)  # type: ignore[no-any-return]
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        return FAILED
    except Exception as error:
        # Of Typer, which shows none of its base classes in all versions.
        if not hasattr(error, "format_message"):
            raise
        if message := error.format_message():  # none behind the help of no command
            context = getattr(error, "ctx", None)
            hint = f"; see {context.command_path} --help" if context else ""
            print_error(message.rstrip(".") + hint)
        return USAGE


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        with errors():
            import dgenfs
            from dgenfs.content.layout import FORMAT

            print_text(Text(f"dgenfs {dgenfs.__version__}, content format v{FORMAT}"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show it and the format's."
        ),
    ] = False,
) -> None:
    """Test data with an exact deduplication and compression ratio."""
    if context.invoked_subcommand != "mount":  # which unmounts first
        end_when_signaled(TO_CLEAN_UP if context.invoked_subcommand == "gen" else TO_STOP)


@app.command()
def gen(
    name: Annotated[
        str | None,
        typer.Argument(help="10G_d4_c2.bin, 1000x1M_d2, or a tree's file 1000x1M_d2/000017.bin"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="A path or a URL; - is standard output. Default: NAME, here."
        ),
    ] = None,
    offset: Annotated[str, typer.Option(help="First byte to write, such as 4096 or 1.5G.")] = "0",
    length: Annotated[str | None, typer.Option(help="Bytes to write. Default: to the end.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    part: Part = "1/1",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Leave what is there and right, and write over the rest, in place."
        ),
    ] = False,
    dask: Dask = None,
    profile: Profile = None,
    scale: Scale = "1",
) -> None:
    """Write NAME's content, or a profile's data set, to a file, a directory or standard output."""
    from dgenfs.cli.arguments import data_set_of
    from dgenfs.cli.generation import Generation
    from dgenfs.names.share import Share

    with errors():
        data_set = data_set_of(profile, scale)
        if (name is None) == (data_set is None):
            raise ValueError("gen takes a NAME, or --profile: one of them; see dgenfs gen --help")
        share = Share.parse(part)
        generation = Generation(output, offset, length, force, share, resume, dask)
        if data_set is not None:
            generation.write_directory(data_set.name, data_set.top)
        else:
            assert name is not None
            generation.write(name)


app.command()(verify)
app.command()(merge)


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
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Any files or directories of files, and URLs such as s3://bucket/prefix/.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Report in JSON.")] = False,
) -> None:
    """Measure how well files deduplicate and compress, at the chunk sizes of storage."""
    from dgenfs.cli import render
    from dgenfs.verifying.analyze import analyze as measure
    from dgenfs.verifying.analyze import total_size

    with errors():
        size = total_size(paths)
        with progress("analyze", size) as advance:
            analysis = measure(
                paths, size, advance, lambda what: print_error(f"{what.path}: {what.reason}")
            )
        if as_json:
            print_json(render.analysis_as_json(analysis))
        elif analysis.files or not analysis.unreadable_paths:
            print_text(render.analysis_as_text(analysis))
    if analysis.unreadable_paths:
        raise typer.Exit(UNREAD)


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
    typer.Option(
        min=0,
        max=MAX_WORKERS,
        help="Threads on each NUMA node; 0 is one a CPU and one more.",
    ),
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
    Path | None,
    typer.Option(readable=False, help="Where to log in the background. Default: nowhere."),
]
Options = Annotated[
    list[str] | None,
    typer.Option("-o", metavar="OPTION", help="As mount(8) takes them; ro is the default."),
]


@app.command()
def mount(
    mountpoint: Annotated[Path, typer.Argument(readable=False, help="An empty directory.")],
    names: Names = None,
    foreground: Foreground = False,
    allow_other: AllowOther = False,
    workers_per_node: WorkersPerNode = 0,
    cache: CacheSize = None,
    io: DataFilesIo = Io.AUTO,
    data_plane: Plane = DataPlane.COMPILED,
    log_file: LogFile = None,
    options: Options = None,
    profile: Profile = None,
    scale: Scale = "1",
) -> None:
    """Mount the file system: every name is a file."""
    from dgenfs.cli.arguments import data_set_of
    from dgenfs.cli.mounting import start
    from dgenfs.names.grammar import parse_size

    with errors():
        data_set = data_set_of(profile, scale)
        settings = {
            "allow_other": allow_other,
            "workers_per_node": workers_per_node,
            "cache_bytes": None if cache is None else parse_size(cache),
            "io": io,
            "compiled": data_plane is DataPlane.COMPILED,
            "log_file": log_file,
        }
        given = parse(options or ())
        start(
            mountpoint,
            tuple(names or ()),
            given,
            settings,
            data_set=data_set,
            foreground=foreground,
        )


@app.command()
def umount(
    mountpoint: Annotated[
        Path, typer.Argument(readable=False, help="Where the file system is mounted.")
    ],
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
    from dgenfs.cli.helper_links import FOLDER, install, uninstall

    with errors():
        print_text(*(uninstall(FOLDER) if remove else install(FOLDER)))
