"""Directories of any file system."""

import stat
from pathlib import Path


def is_directory(path: Path) -> bool:
    """Return whether ``path`` is a directory; OSError if that cannot be told.

    Path.is_dir takes some errors of storage for "no", others not, depending on Python's version.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
