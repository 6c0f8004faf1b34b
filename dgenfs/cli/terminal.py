"""What the command line says: reports on standard output, errors and progress on standard error."""

import base64
import errno
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO

import typer
from rich.console import Console, RenderableType

from dgenfs.escapes import escaped
from dgenfs.machine.libraries import MissingLibraryError
from dgenfs.mount.mountpoint import MountError
from dgenfs.names.grammar import SpecError
from dgenfs.names.suggest import nearest_name
from dgenfs.verifying.reports import reason

log = logging.getLogger(__name__)

FAILED = 1
USAGE = 2
UNREAD = 2  # a copy or another file could not be read

# Where no terminal sets a width, whoever reads the lines wants them whole.
stdout = Console(width=None if sys.stdout and sys.stdout.isatty() else 1 << 16)  # None: closed
stderr = Console(stderr=True)


def open_standard_streams() -> None:
    """Make sure that 0, 1 and 2 are open, and that a report that cannot be printed is an OSError.

    Where one is closed, the next file opened would take its place, and get what is printed.
    """
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest that is free, so this one. Reports to a closed standard output must fail.
            os.set_inheritable(os.open(os.devnull, mode), True)
    sys.stdout = _stream(_StandardOutput(1, "w", closefd=False), sys.stdout)
    sys.stderr = _stream(io.FileIO(2, "w", closefd=False), sys.stderr)


def _stream(raw: io.FileIO, before: TextIO | None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else None,
        errors="backslashreplace",  # of what the encoding lacks
        line_buffering=True,
    )


def print_error(message: str) -> None:
    """Print one line to standard error, if that can be."""
    # Captured, as the console would close standard output where nobody reads standard error.
    with stderr.capture() as captured:
        line = f"dgenfs: {escaped(message)}"
        stderr.print(line, style="red", highlight=False, soft_wrap=True, markup=False)
    with suppress(OSError):
        sys.stderr.write(captured.get())
        sys.stderr.flush()


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
        print_error(_located(error))
        usage = isinstance(error, FileNotFoundError | FileExistsError | NotADirectoryError)
        raise typer.Exit(USAGE if usage else failed) from error
    except (ValueError, MissingLibraryError) as error:
        print_error(str(error))
        raise typer.Exit(USAGE) from error
    except MountError as error:
        print_error(str(error))
        raise typer.Exit(FAILED) from error


def _located(error: OSError) -> str:
    """Return what went wrong and where; one of our own says where by itself."""
    where = f"{error.filename}: " if error.strerror and error.filename else ""
    return where + reason(error)


@contextmanager
def standard_output() -> Iterator[TextIO]:
    """Yield standard output and flush it; OSErrors name it."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        raise _of_standard_output(error) from error


class _StandardOutput(io.FileIO):
    """Standard output, whose OSErrors name it, whoever prints."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise _of_standard_output(error) from error


def _of_standard_output(error: OSError) -> OSError:
    closed = error.errno == errno.EBADF  # the system's text says nothing to a user
    return OSError(error.errno, "is closed" if closed else error.strerror, "standard output")


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
        out.write(json.dumps(_in_utf8(value), indent=2) + "\n")


def _in_utf8(value: object) -> object:
    """Return a value whose texts are UTF-8, as JSON demands and paths need not be.

    Bytes that are none are escaped. Behind the key of such a text, or of a list that holds one,
    stands the key with ``_b64``: the same as it is, in Base64.
    """
    if isinstance(value, str):
        return _bytes_of(value).decode(errors="backslashreplace")
    if isinstance(value, list):
        return [_in_utf8(one) for one in value]
    if not isinstance(value, dict):
        return value
    told: dict[str, object] = {}
    for key, one in value.items():
        told[key] = _in_utf8(one)
        texts = [text for text in (one if isinstance(one, list) else [one]) if type(text) is str]
        if any(_bytes_of(text) != str(_in_utf8(text)).encode() for text in texts):
            coded = [base64.b64encode(_bytes_of(text)).decode() for text in texts]
            told[f"{key}_b64"] = coded if isinstance(one, list) else coded[0]
    return told


def _bytes_of(text: str) -> bytes:
    """Return a path as the system has it, or any other text in UTF-8."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace")


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
    task = bar.add_task(escaped(what), total=total)
    with bar:
        yield lambda advance: bar.advance(task, advance)


def print_unforeseen(error: BaseException) -> None:
    """Print an error that is our own mistake, or the machine's, in a line; the log has the rest."""
    if isinstance(error, MemoryError):
        message = "out of memory"
    else:
        log.debug("unforeseen", exc_info=error)
        what = escaped(f"{type(error).__name__}: {error}".removesuffix(": "))
        message = f"unforeseen: {what}; DGENFS_LOG=debug says where"
    with suppress(OSError):
        os.write(2, f"dgenfs: {message}\n".encode())  # Rich may be what has failed


def leave(code: str | int | None) -> NoReturn:
    """End the process at once: to take down the compiler that it loaded lasts 0.2 s.

    Args:
        code: as for sys.exit.
    """
    if isinstance(code, str):
        print_error(code)
    try:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # what was to be said was flushed where it was said
                stream.flush()
        logging.shutdown()
    finally:
        os._exit(code if isinstance(code, int) else int(code is not None))
