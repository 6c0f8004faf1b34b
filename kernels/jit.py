"""How every kernel is compiled: machine code without the GIL, kept on disk.

A kernel is compiled when its module is imported, or loaded from the disk where an earlier run
compiled it, so that no request waits for a compiler.

No kernel uses ``parallel=True``: threads belong to the callers, who pin them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def drop_stale_caches(folder: Path) -> None:
    """Remove compiled code in ``folder`` that is older than any source there.

    Numba recompiles a kernel when its own file changes, not when a kernel that it inlines from
    another file does: after an edit of words.py, content.py would go on with the old words.

    Args:
        folder: where the kernels' sources are.
    """
    newest = max(source.stat().st_mtime_ns for source in folder.glob("*.py"))
    for cached in (folder / "__pycache__").glob("*.nb[ci]"):
        try:
            if cached.stat().st_mtime_ns < newest:
                cached.unlink()
        except OSError:
            # Removed by another process, or a read-only installation, whose sources do not change.
            continue


drop_stale_caches(Path(__file__).parent)

_OPTIONS = {"nogil": True, "parallel": False, "fastmath": False, "error_model": "numpy"}


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for exactly ``signature``, releasing the GIL while it runs.

    Args:
        signature: text or a numba signature.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signature, cache=True, **_OPTIONS)(function)
        except RuntimeError:
            # No place to keep it: a read-only installation, and a user without a home.
            return numba.njit(signature, **_OPTIONS)(function)

    return compiled


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it."""
    return numba.njit(inline="always", **_OPTIONS)(function)
