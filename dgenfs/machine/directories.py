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


def absolute(path: Path) -> Path:
    """Return the path from the root, whose components name what is there.

    What leads to a ``..`` is resolved, as its parent need not be what stands before it. Links
    behind stay: their names count.
    """
    parts = path.parts
    up = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    return Path(*parts[:up]).resolve().joinpath(*parts[up:])
