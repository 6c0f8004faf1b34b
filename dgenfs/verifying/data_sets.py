"""What of a data set's copy no file tells of: its directories, and what is not its own."""

import os
from collections.abc import Iterator
from pathlib import Path

from dgenfs.names.data_set import ProfileDirectory
from dgenfs.verifying.reports import Unreadable


def missing_directories(path: Path, data_set: ProfileDirectory) -> Iterator[str]:
    """Yield the directories with nothing in them, which no missing file tells of."""
    for directory in data_set.below():
        inside = data_set.path_of(directory)
        if directory.count == 0 and not os.path.lexists(path / inside):
            yield f"{inside}/"


def others_in(path: Path, data_set: ProfileDirectory) -> Iterator[str | Unreadable]:
    """Yield the paths that are not a data set's own, and its directories that are unreadable."""
    for directory in (data_set, *data_set.below()):
        inside = data_set.path_of(directory) if directory != data_set else ""
        try:
            with os.scandir(path / inside) as entries:
                for entry in entries:
                    if not directory.holds(entry.name):
                        yield f"{inside}/{entry.name}" if inside else entry.name
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            yield inside
        except OSError as error:
            yield Unreadable.of(inside or ".", error)
