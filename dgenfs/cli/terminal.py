"""What the command line says: reports on standard output, errors and progress on standard error."""

import errno
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

import typer
from rich.console import Console, RenderableType

from dgenfs.mount.mountpoint import MountError
from dgenfs.names.grammar import SpecError
from dgenfs.names.suggest import nearest_name
from dgenfs.verifying.codecs import MissingLibraryError

FAILED = 1
USAGE = 2

# Where no terminal sets a width, whoever reads the lines wants them whole.
stdout = Console(width=None if sys.stdout and sys.stdout.isatty() else 1 << 16)  # None: closed
stderr = Console(stderr=True)


def print_error(message: str) -> None:
    """Print one line to standard error."""
    stderr.print(f"dgenfs: {message}", style="red", highlight=False, soft_wrap=True, markup=False)


@contextmanager
def errors(failed: int = FAILED) -> Iterator[None]:
    """Turn what users can cause into one line and an exit code, ``failed`` for other OSErrors."""
    try:
        yield
    except SpecError as error:
        # Of a path the rule says what is there.
        nearest = None if "/" in error.name else nearest_name(error.name)
        print_error(f"{error}" + (f"; the nearest name is {nearest}" if nearest else ""))
        raise typer.Exit(USAGE) from error
    except OSError as error:
        print_error(reason(error))
        usage = isinstance(error, FileNotFoundError | FileExistsError | NotADirectoryError)
        raise typer.Exit(USAGE if usage else failed) from error
    except (ValueError, MissingLibraryError) as error:
        print_error(str(error))
        raise typer.Exit(USAGE) from error
    except MountError as error:
        print_error(str(error))
        raise typer.Exit(FAILED) from error


def reason(error: OSError | ValueError, path: Path | None = None) -> str:
    """Return what went wrong, without the number that Python puts in front.

    Args:
        error: one of our own says where by itself.
        path: where, if the system's does not.
    """
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    where = error.filename or path
    return f"{where}: {error.strerror}" if where else error.strerror


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Yield standard output and flush it; OSErrors name it."""
    where = "standard output"
    if sys.stdout is None:
        raise OSError(errno.EBADF, "is closed", where)
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        # The interpreter's end would try again, and fail again.
        with Path(os.devnull).open("wb") as null:
            os.dup2(null.fileno(), sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, where) from error


def print_text(*texts: RenderableType) -> None:
    """Print for people; OSError if that fails."""
    # Captured, as the console would end the process by itself where a reader has left.
    with stdout.capture() as captured:
        for text in texts:
            stdout.print(text)
    with standard_output() as out:
        out.write(captured.get())


def print_json(value: object) -> None:
    """Print a value as JSON, indented; OSError if that fails."""
    with standard_output() as out:
        out.write(json.dumps(value, indent=2) + "\n")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error if it is a terminal; yield what advances it by bytes."""
    if not stderr.is_terminal:
        yield lambda _: None
        return
    from rich.progress import (  # here, as it takes a while to load
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
    )
    task = bar.add_task(what, total=total)
    with bar:
        yield lambda advance: bar.advance(task, advance)


def leave(code: str | int | None) -> NoReturn:
    """End the process at once: to take down the compiler that it loaded lasts 0.2 s.

    Args:
        code: as for sys.exit.
    """
    if isinstance(code, str):
        print_error(code)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # None where it was closed
            with suppress(OSError):  # what was to be said was flushed where it was said
                stream.flush()
    logging.shutdown()
    os._exit(code if isinstance(code, int) else int(code is not None))
