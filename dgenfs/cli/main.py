"""The command line."""

import io
import re
import signal
import sys
from enum import StrEnum
from pathlib import Path, PurePath
from typing import Annotated

import typer
from rich.text import Text

import dgenfs
from dgenfs import logs
from dgenfs.api.publishing import Range, write_file, write_stream, write_tree
from dgenfs.cli import render
from dgenfs.cli.terminal import (
    USAGE,
    errors,
    print_error,
    print_json,
    print_text,
    progress,
    reason,
    standard_output,
)
from dgenfs.mount.mountpoint import FSTYPE, MountError, check_answers, mounted_at, unmount
from dgenfs.names.spec import MAX_SEED, Spec, find_file, parse_size
from dgenfs.verifying.analyze import analyze as measure
from dgenfs.verifying.analyze import find_files
from dgenfs.verifying.reports import FileReport, TreeReport
from dgenfs.verifying.verifier import Verifier, is_directory

DIFFERENT = 1
UNREAD = 2
MAX_SEEDS = 1000

_SEEDS = re.compile("([0-9]{1,20})(?:-([0-9]{1,20}))?")  # as many digits as MAX_SEED

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
    app()


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        with errors():
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
    with errors():
        if "/" not in name and (tree := Spec.parse(name)).tree:
            if (offset, length) != ("0", None) or output == "-" or force:
                raise ValueError(f"{name}: a tree is written whole, to a path that is not there")
            with progress(name, tree.layout.total_size) as advance:
                write_tree(tree, target(output, name), advance)
            return
        spec, file = find_file(PurePath(name))
        source = byte_range(spec, file, offset, length)
        path = target(output, name)
        if output is None or (output != "-" and path != Path(output)):
            require_own_name(path, source)
        with progress(name, source.length) as advance:
            if output == "-":
                # As cat does: a reader that leaves ends us, without a word.
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                with standard_output() as out:
                    write_stream(source, out.fileno(), advance)
            else:
                write_file(source, path, advance, force=force)


def target(output: str | None, name: str) -> Path:
    """Return where to write: like cp, into a directory that is there."""
    base = PurePath(name).name
    if output is None:
        return Path(base)
    return Path(output, base) if Path(output).is_dir() else Path(output)


def require_own_name(path: Path, source: Range) -> None:
    """Raise ValueError if verify would take ``path``, which nobody chose, for other content."""
    if source.length != source.spec.size:
        raise ValueError(f"{path}: names the whole content, not a range; give a file's path as -o")
    if find_file(absolute(path)) != (source.spec, source.file):
        raise ValueError(
            f"{path}: names other content outside of {source.spec}; give a file's path as -o"
        )


def absolute(path: Path) -> Path:
    """Return the path from the root, whose components name what is there.

    What leads to a ``..`` is resolved, as its parent need not be what stands before it. Links
    behind stay: their names count.
    """
    parts = path.parts
    up = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    return Path(*parts[:up]).resolve().joinpath(*parts[up:])


def byte_range(spec: Spec, file: int, offset: str, length: str | None) -> Range:
    """Read the options of a range; ValueError if it is not in the file."""
    start = parse_size(offset)
    count = max(0, spec.size - start) if length is None else parse_size(length)
    if start + count > spec.size:
        raise ValueError(f"offset {start} and length {count}: {spec} ends at {spec.size}")
    return Range(spec, file, start, count)


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
    with errors(failed=UNREAD):
        unread = False
        work = []
        for path in paths:
            try:
                work.append((path, *expected(path, as_name)))
            except OSError as error:
                print_error(reason(error, path))
                unread = True
        total = sum(
            spec.layout.total_size if spec.tree and file is None else spec.size
            for _, spec, file in work
        )
        reports: list[FileReport | TreeReport] = []
        with (
            Verifier(seeds=parse_seeds(seeds), direct=direct) as verifier,
            progress("verify", total) as advance,
        ):
            for path, spec, file in work:
                try:
                    if file is None:
                        reports.append(verifier.verify_tree(path, spec, advance))
                    else:
                        reports.append(verifier.verify_file(path, spec, file, advance))
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


def expected(path: Path, name: str | None) -> tuple[Spec, int | None]:
    """Return what ``path`` should hold and the file's number, None for a whole tree."""
    if is_directory(path):
        spec = Spec.parse(name or path.resolve().name)
        if not spec.tree:
            raise ValueError(f"{path}: is a directory, and {spec} is not a tree")
        return spec, None
    return find_file(PurePath(name) if name else absolute(path))


def parse_seeds(text: str) -> list[int]:
    """Read a list such as ``0,7,100-199``; ValueError if it is none."""
    seeds: list[int] = []
    for part in filter(None, text.split(",")):
        found = _SEEDS.fullmatch(part)
        if found is None or int(found[1]) > (last := int(found[2] or found[1])):
            raise ValueError(f"--seeds {text!r}: {part!r} is no seed and no range such as 100-199")
        if last > MAX_SEED:
            raise ValueError(f"--seeds {text!r}: {part!r}: a seed is 0 to {MAX_SEED}")
        if len(seeds) + last - int(found[1]) >= MAX_SEEDS:
            raise ValueError(
                f"--seeds {text!r}: more than {MAX_SEEDS}; each is tried on every wrong sector"
            )
        seeds += range(int(found[1]), last + 1)
    return seeds


@app.command()
def explain(name: Annotated[str, typer.Argument(help="A name, good or bad.")]) -> None:
    """Show what NAME means and what storage will make of it, or which rule it breaks."""
    with errors():
        print_text(render.explanation(Spec.parse(name)))


@app.command()
def analyze(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Any files or directories of files.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Report in JSON.")] = False,
) -> None:
    """Measure how well files deduplicate and compress, at the chunk sizes of storage."""
    with errors():
        files = list(find_files(paths))
        with progress("analyze", sum(size for _, size in files)) as advance:
            analysis = measure(files, advance)
        if as_json:
            print_json(render.analysis_as_json(analysis))
        else:
            print_text(render.analysis_as_text(analysis))


class Io(StrEnum):
    """How the kernel reads data files."""

    DIRECT = "direct"
    CACHED = "cached"


class DataPlane(StrEnum):
    """What answers reads."""

    COMPILED = "compiled"
    PYFUSE3 = "pyfuse3"


@app.command()
def mount(
    mountpoint: Annotated[Path, typer.Argument(help="An empty directory.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="What ls shows; any other name opens too."),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("-f", "--foreground", help="Stay in the foreground.")
    ] = False,
    allow_other: Annotated[
        bool, typer.Option("--allow-other", help="Let other users read.")
    ] = False,
    workers_per_node: Annotated[
        int,
        typer.Option(
            min=0, max=256, help="Threads on each NUMA node; 0 is one a CPU and one more."
        ),
    ] = 0,
    cache: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Block cache of each NUMA node, such as 64M; 0 is none."),
    ] = None,
    io: Annotated[
        Io, typer.Option(help="Whether the kernel keeps pages of data files (cached) or not.")
    ] = Io.DIRECT,
    data_plane: Annotated[
        DataPlane, typer.Option(help="What answers reads; pyfuse3 is slow, and traces each.")
    ] = DataPlane.COMPILED,
    log_file: Annotated[
        Path | None, typer.Option(help="Where to log in the background. Default: nowhere.")
    ] = None,
    options: Annotated[
        list[str] | None, typer.Option("-o", metavar="OPTION", help="As mount(8) takes them.")
    ] = None,
) -> None:
    """Mount the file system: every name is a file."""
    # Imported here: the other commands do without libfuse, and start sooner.
    from dgenfs.mount.background import open_standard_descriptors, run_in_background
    from dgenfs.mount.session import MountConfig, run

    open_standard_descriptors()
    with errors():
        for name in names or ():
            Spec.parse(name).require_content()
        if log_file is not None:
            logs.configure(log_file=log_file)
        config = MountConfig(
            mountpoint=mountpoint.absolute(),
            names=tuple(names or MountConfig.names),
            allow_other=allow_other,
            workers_per_node=workers_per_node,
            cache_bytes=MountConfig.cache_bytes if cache is None else parse_size(cache),
            cached=io is Io.CACHED,
            compiled=data_plane is DataPlane.COMPILED,
            options=tuple(part for given in options or () for part in given.split(",") if part),
        )
        if foreground:
            run(config, lambda: None)
        else:
            run_in_background(lambda ready: run(config, ready))
            check_answers(config.mountpoint)


@app.command()
def umount(
    mountpoint: Annotated[Path, typer.Argument(help="Where the file system is mounted.")],
) -> None:
    """Unmount the file system; its process ends."""
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
