"""How programs run: without a traceback, and with an exit code, whatever happens."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from dgenfs.cli.terminal import leave, open_standard_streams, print_unforeseen
from dgenfs.machine.endings import ending_signals

log = logging.getLogger(__name__)


def run(command: Callable[[], str | int | None], unforeseen: int) -> NoReturn:
    """Run a command and end the process.

    Args:
        command: returns its exit code, as for sys.exit.
        unforeseen: the exit code if it fails for a reason that nobody foresaw.
    """
    code: str | int | None = unforeseen
    try:
        open_standard_streams()
        for number in ending_signals():
            if number != signal.SIGINT:  # which Python raises as KeyboardInterrupt
                signal.signal(number, lambda number, _: sys.exit(128 + number))
        logging.raiseExceptions = False  # of a log that cannot be written
        sys.unraisablehook = lambda ignored: log.debug("ignored", exc_info=ignored.exc_value)
        threading.excepthook = lambda ended: print_unforeseen(ended.exc_value or SystemExit())
        code = command()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        print_unforeseen(error)
    finally:
        leave(code)
