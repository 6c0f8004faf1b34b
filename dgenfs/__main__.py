"""The programs, from the first line of them that runs."""

import importlib
import logging
import os
import re
import signal
from contextlib import suppress

from dgenfs.escapes import escaped

_SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")  # read by Rich and Typer, which trust them


def main() -> None:
    """Load the command line and run it."""
    _run("dgenfs.cli.main", 2)


def mount_helper() -> None:
    """Load what mount(8) runs, and run it."""
    _run("dgenfs.cli.mount_helper", 32)


def _run(module: str, failed: int) -> None:
    """Load a module and run its ``main``; ``failed`` is the exit code if it cannot be loaded."""
    for name in _SIZES:
        if not re.fullmatch("[1-9][0-9]{0,3}", os.environ.get(name, "1")):
            del os.environ[name]
    # There is nothing to clean up yet: an interrupt ends us by itself, without a word.
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # hashlib, for one, logs with a traceback what it could not load.
    logging.getLogger().addHandler(nowhere := logging.NullHandler())
    try:
        run = importlib.import_module(module).main
    except Exception as error:
        message = escaped(f"dgenfs: cannot start: {type(error).__name__}: {error}")
        with suppress(OSError):
            os.write(2, f"{message}\n".encode())
        os._exit(failed)
    logging.getLogger().removeHandler(nowhere)
    signal.signal(signal.SIGINT, interrupt)
    run()


if __name__ == "__main__":
    main()
