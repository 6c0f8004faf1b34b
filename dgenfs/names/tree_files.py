"""Files of trees that stand outside of their tree, where a number is a name of its own."""

import re
from contextlib import suppress
from pathlib import PurePath

from dgenfs.names.catalog import ROOT, File, find_file
from dgenfs.names.grammar import MAX_EXTENSION, SpecError

_TREE_FILE = re.compile(rf"([0-9]{{6,10}})\.[A-Za-z][A-Za-z0-9]{{0,{MAX_EXTENSION - 1}}}")
_ANY = "TREE"


class TreeFileError(ValueError):
    """A copy is more likely a tree's file than what its own name says."""


def file_of_copy(path: PurePath, size: int | None) -> File:
    """Return the file that a copy is of, by its path.

    ``000017.bin`` outside of a tree is a name, of 17 bytes. It is refused where that is not likely:
    it has another size, or nothing to be told by, and a zero in front, which no size needs, or
    stands below a tree that has a file of this name.

    Args:
        path: from the root, or a bucket.
        size: bytes of the copy, None where that is no matter.

    Raises:
        SpecError: its last component is no name.
        TreeFileError: it is more likely a tree's; the message says which.
    """
    try:
        file = find_file(path)
    except SpecError as error:
        within = tree_file(path)
        if within is None:
            raise
        raise TreeFileError(f"{error}; {hint(within)}") from error
    if file.spec.tree or size is None or (size == file.size and size > 0):
        return file
    within = tree_file(path)
    if within is None or (path.name[0] != "0" and within.startswith(f"{_ANY}/")):
        return file
    has = "is empty" if size == 0 else f"has {size} B, where its own name says {file.size} B"
    raise TreeFileError(f"{has}; {hint(within)}")


def hint(within: str) -> str:
    """Return what to say of a copy that may be a tree's file."""
    return f"if it is a file of a tree, say --as {within}"


def is_number(name: str) -> bool:
    """Return whether a tree may have a file of this name."""
    return _TREE_FILE.fullmatch(name) is not None


def tree_file(path: PurePath) -> str | None:
    """Return for ``--as`` whose tree's file ``path`` seems to be, by the directories above it.

    None if it is known as a tree's file by its path, or is not called like one.
    """
    matched = _TREE_FILE.fullmatch(path.name)
    if matched is None:
        return None
    with suppress(SpecError):  # 000001.parquet is not the name of a file of one byte
        if find_file(path).spec.tree:
            return None
    file = int(matched[1])
    for above in path.parents:
        try:
            spec = ROOT.child(above.name).spec
        except SpecError:
            continue
        if spec.tree and file < spec.files and spec.file_name(file) == path.name:
            return f"{spec}/{spec.path(file)}"
    return f"{_ANY}/{path.name}"
