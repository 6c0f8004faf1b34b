"""The libraries that analyze measures with, which are an extra."""

import importlib
import zlib
from collections.abc import Callable
from typing import Any

from dgenfs.machine.libraries import MissingLibraryError

ZSTD_LEVEL = 3
DEFLATE_LEVEL = 6


def codecs() -> dict[str, Callable[[memoryview], bytes]]:
    """Return what compresses a chunk, by the codec's name with its level.

    Raises:
        MissingLibraryError: the ``analyze`` extra is not installed.
    """
    lz4 = library("lz4.block")
    zstd = library("zstandard").ZstdCompressor(level=ZSTD_LEVEL)
    return {
        "lz4": lambda data: lz4.compress(data, store_size=False),
        f"zstd -{ZSTD_LEVEL}": zstd.compress,
        f"deflate -{DEFLATE_LEVEL}": lambda data: zlib.compress(data, DEFLATE_LEVEL, -15),
    }


def library(name: str) -> Any:
    """Import a library of the ``analyze`` extra; MissingLibraryError if it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"analyze needs {name}, which is not installed: pip install 'dgenfs[analyze]'"
        ) from error
