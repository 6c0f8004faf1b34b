"""Logging set up from the environment variable DGENFS_LOG.

``DGENFS_LOG=debug`` sets everything, ``DGENFS_LOG=dgenfs.verifying=debug,info`` one package or
module and the rest; ``verifying=debug`` is short for ``dgenfs.verifying=debug``. Levels are trace,
debug, info, warning or warn, error and off, in any case.
"""

import logging
import os
import sys
from typing import Any, TextIO

from dgenfs.escapes import escaped

TRACE = 5  # below DEBUG: every request

_LEVELS = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}
_FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s [%(threadName)s] %(message)s"
_TIME = "%Y-%m-%dT%H:%M:%S"
_ROOT = "dgenfs"

logging.addLevelName(TRACE, "TRACE")
_handler: logging.Handler = logging.NullHandler()
_configured: set[str] = set()
logging.getLogger(_ROOT).addHandler(_handler)


class _Formatter(logging.Formatter):
    """Lines of the log, which may be read on a terminal and name what others named."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return escaped(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(map(escaped, super().formatException(ei).split("\n")))


class LogConfigError(ValueError):
    """A value of DGENFS_LOG with a part that is neither a level nor ``module=level``."""


def configure(value: str | None = None, *, log: TextIO | None = None) -> None:
    """Send the package's log to standard error or elsewhere; a second call replaces the first.

    The root logger and handlers that the application added are left alone.

    Args:
        value: levels as in DGENFS_LOG, None for that variable; warnings and errors by default.
        log: where to write instead of to standard error.

    Raises:
        LogConfigError: a part of ``value`` is neither a level nor ``module=level``.
    """
    global _handler
    levels = parse_levels(os.environ.get("DGENFS_LOG", "") if value is None else value)
    handler = logging.StreamHandler(log or sys.stderr)
    handler.setFormatter(_Formatter(_FORMAT, _TIME))
    root = logging.getLogger(_ROOT)
    root.removeHandler(_handler)
    _handler.close()
    _handler = handler
    root.addHandler(_handler)
    # The application's own handlers would print every line again.
    root.propagate = False
    for name in _configured:
        logging.getLogger(name).setLevel(logging.NOTSET)
    _configured.clear()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
        _configured.add(name)


def parse_levels(value: str) -> dict[str, int]:
    """Read levels such as ``debug`` or ``mount=trace,info`` into logger names and levels.

    Returns:
        Logger names, always with ``dgenfs``, and their levels; the last of two for one name counts.

    Raises:
        LogConfigError: a part is neither a level nor ``module=level``.
    """
    levels = {_ROOT: logging.WARNING}
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, separator, level = (piece.strip() for piece in part.rpartition("="))
        if level.lower() not in _LEVELS:
            raise LogConfigError(
                f"DGENFS_LOG={value!r}: {part!r}: {level!r} is no level: use {', '.join(_LEVELS)}"
            )
        if separator and not all(piece.isidentifier() for piece in name.split(".")):
            raise LogConfigError(
                f"DGENFS_LOG={value!r}: {part!r}: {name!r} is no module: name one as dgenfs.mount"
            )
        if name and name != _ROOT and not name.startswith(f"{_ROOT}."):
            name = f"{_ROOT}.{name}"
        levels[name or _ROOT] = _LEVELS[level.lower()]
    return levels
