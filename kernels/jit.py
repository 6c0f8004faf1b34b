"""How every kernel is compiled: machine code without the GIL, kept on disk.

No kernel uses ``parallel=True``: threads belong to the callers, who pin them.
"""

import hashlib
import importlib
import pickle
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import types
from numba.core import serialize
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult

from dgenfs.kernels import code_cache

BYTES = types.Array(types.uint8, 1, "C", readonly=True)  # that a kernel reads only
ROW = types.Array(types.uint64, 1, "C", readonly=True)  # of a content, see row

_OPTIONS = {"nogil": True, "parallel": False, "fastmath": False, "error_model": "numpy"}
_SOURCES = Path(__file__).parent


def _digest() -> str:
    """Return a digest of all kernels' sources, as they are on disk now.

    A kernel is compiled anew when any of them changes, as it inlines from others.
    """
    digest = hashlib.blake2b(digest_size=16)
    for source in sorted(_SOURCES.glob("[!.]*.py")):  # an editor's lock is a hidden, broken link
        text = source.read_bytes()
        digest.update(f"{source.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


_IMPORTED = _digest()
# What code depends on beside sources and processor: settings such as BOUNDSCHECK, whether of the
# environment or of .numba_config.yaml. These do not change it.
_NO_MATTER = ("CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_DEFAULT_NUM_THREADS")
_SETTINGS = sorted(
    (name, str(value))
    for name, value in vars(numba.config).items()
    if name.isupper() and name not in _NO_MATTER
)
_BUILD = (sys.version, sys.flags.optimize, numba.__version__, llvmlite.__version__, np.__version__)


class _OnDisk(NullCache):  # type: ignore[misc]
    """Where a kernel's compiled code is kept, in place of Numba's own cache.

    That unpickles whatever is there: half of a file after a power loss, or what others wrote.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"

    @property
    def cache_path(self) -> str:
        """The folder, as Numba's statistics show it."""
        return str(code_cache.folder())

    def load_overload(self, _: Any, target_context: Any) -> Any:
        """Return the compiled function, None if it is to be compiled."""
        target_context.refresh()
        if _digest() != _IMPORTED:  # sources changed since the import began
            return None
        code = code_cache.load(self._name, _identity(target_context.codegen()))
        if code is None:
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(code))

    def save_overload(self, _: Any, compiled: Any) -> None:
        """Keep a compiled function, unless it has addresses of this process in it."""
        if not compiled.library.has_dynamic_globals and _digest() == _IMPORTED:
            code = serialize.dumps(compiled._reduce())
            code_cache.save(self._name, _identity(compiled.codegen), code)


def _identity(codegen: Any) -> str:
    """Return all that must be the same for compiled code to be used again."""
    return repr((_IMPORTED, _BUILD, _SETTINGS, codegen.magic_tuple()))


def kernel(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for exactly ``signature``, releasing the GIL while it runs.

    Args:
        signature: text or a numba signature.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(**_OPTIONS)(function)
        if not numba.config.DISABLE_JIT:  # or it is the function itself
            kernel._cache = _OnDisk(function)
            kernel.compile(signature)
            kernel.disable_compile()
        return kernel

    return compiled


def warm_up() -> None:
    """Compile all kernels, or load them from the disk where an earlier run compiled them.

    A kernel is compiled when its module is imported; this imports them all, so that no request
    waits for a compiler. Measured on two cores of an EPYC 9004: 10 to 20 s once, 0.5 s after.
    """
    for module in pkgutil.iter_modules([str(_SOURCES)]):
        importlib.import_module(f"dgenfs.kernels.{module.name}")


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function into the kernels that call it."""
    return numba.njit(inline="always", **_OPTIONS)(function)
