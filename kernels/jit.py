"""How every kernel is compiled: machine code without the GIL, kept on disk.

No kernel uses ``parallel=True``: threads belong to the callers, who pin them.
"""

import contextlib
import functools
import hashlib
import importlib
import os
import pkgutil
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba import types

BYTES = types.Array(types.uint8, 1, "C", readonly=True)  # that a kernel reads only
ROW = types.Array(types.uint64, 1, "C", readonly=True)  # of a content, see row

_OPTIONS = {"nogil": True, "parallel": False, "fastmath": False, "error_model": "numpy"}
_SOURCES = Path(__file__).parent
_UNUSED = 24 * 60 * 60  # seconds; longer than any start, so nobody is in the midst of using it

_lock = threading.Lock()  # held while numba's setting is ours


def _digest() -> str:
    """Return a name for all kernels' sources, as they are on disk now, and how they are compiled.

    Numba's own name for compiled code leaves out whether bounds are checked. And it compiles a
    kernel anew when its own file changes, not when one that it inlines from does: after an edit of
    words.py, fill.py would go on with the old words.
    """
    digest = hashlib.blake2b(f"{numba.config.BOUNDSCHECK}\n".encode(), digest_size=16)
    for source in sorted(_SOURCES.glob("[!.]*.py")):  # an editor's lock is a hidden, broken link
        text = source.read_bytes()
        digest.update(f"{source.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


_IMPORTED = _digest()


def _places() -> Iterator[Path]:
    """Yield the folders that compiled code may be kept in, the best one first."""
    if numba.config.CACHE_DIR:  # the environment's NUMBA_CACHE_DIR
        yield Path(numba.config.CACHE_DIR)
    yield _SOURCES / "__pycache__"
    with contextlib.suppress(RuntimeError):  # a user without a home
        user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        if user.is_absolute():
            yield user / "dgenfs"


@functools.cache
def _folder() -> Path | None:
    """Return the folder for code compiled from these sources, None if there is no place for it."""
    for place in _places():
        folder = place / f"dgenfs-{_IMPORTED}"
        try:
            new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            os.utime(folder)
        except OSError:
            continue
        if new:
            _remove_unused(place)
        return folder
    return None


def _remove_unused(place: Path) -> None:
    """Remove code of other sources, unless a process has started with it lately."""
    for other in place.glob("dgenfs-" + "[0-9a-f]" * len(_IMPORTED)):
        # Another process may remove it at the same time, or it may be another user's.
        with contextlib.suppress(OSError):
            if other.stat().st_mtime < time.time() - _UNUSED:
                shutil.rmtree(other)


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for exactly ``signature``, releasing the GIL while it runs.

    Args:
        signature: text or a numba signature.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        folder = _folder()
        # Sources that changed since the import began are not what the folder is named after.
        if folder is not None and _digest() == _IMPORTED:
            with _lock:
                usual = numba.config.CACHE_DIR
                numba.config.CACHE_DIR = str(folder)
                try:
                    return numba.njit(signature, cache=True, **_OPTIONS)(function)
                except (RuntimeError, OSError):
                    # The folder was removed meanwhile, or the disk is full: nothing is kept.
                    pass
                finally:
                    numba.config.CACHE_DIR = usual
        return numba.njit(signature, **_OPTIONS)(function)

    return compiled


def warm_up() -> None:
    """Compile all kernels, or load them from the disk where an earlier run compiled them.

    A kernel is compiled when its module is imported; this imports them all, so that no request
    waits for a compiler. Measured on two cores of an EPYC 9004: 7 s once, 0.5 s after.
    """
    for module in pkgutil.iter_modules([str(_SOURCES)]):
        importlib.import_module(f"dgenfs.kernels.{module.name}")


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it."""
    return numba.njit(inline="always", **_OPTIONS)(function)
