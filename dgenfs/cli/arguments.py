"""What the arguments of commands mean."""

import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from dgenfs.machine.directories import absolute, is_directory
from dgenfs.machine.store_errors import translated
from dgenfs.machine.stores import open_store, path_of
from dgenfs.names.catalog import ROOT, Directory, File, find, find_file
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.grammar import MAX_SEED, SpecError, parse_size
from dgenfs.names.suggest import nearest_name
from dgenfs.names.tree_files import TreeFileError, file_of_copy, is_number
from dgenfs.verifying.windows import Window

if TYPE_CHECKING:
    from dgenfs.content.view import View
    from dgenfs.names.data_set import DataSet, ProfileDirectory

MAX_SEEDS = 100_000
# What systems put into directories by themselves: file systems and NFS, macOS, Windows, Synology
# and QNAP, and desktops' bins.
LEFT_BEHIND = (
    "lost+found",
    ".nfs*",
    ".fuse_hidden*",
    ".snapshot",
    ".DS_Store",
    "._*",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    "Thumbs.db",
    "desktop.ini",
    "$RECYCLE.BIN",
    "System Volume Information",
    "@eaDir",
    "#recycle",
    "@Recycle",
    ".Trash-*",
)

_SEEDS = re.compile("([0-9]{1,20})(?:-([0-9]{1,20}))?")  # as many digits as MAX_SEED


def data_set_of(profile: str | None, scale: str) -> "DataSet | None":
    """Return what a profile describes, None without one.

    Raises:
        ValueError: it is not valid, or there is a scale and no profile.
        OSError: it cannot be read.
    """
    if profile is not None:
        from dgenfs.names.profile import read  # here, as most commands have none

        return read(profile, scale)
    if scale != "1":
        raise ValueError(f"--scale {scale}: is of a profile: say --profile too")
    return None


def target(output: str | None, name: str) -> Path:
    """Return where to write: like cp, into a directory that is there.

    Raises:
        OSError: whether it is one cannot be told.
    """
    base = PurePath(name).name
    if output is None:
        return Path(base)
    return Path(output, base) if is_directory(Path(output)) else Path(output)


def require_own_name(path: str, file: File, part: "View", output: str | None) -> None:
    """Raise ValueError if verify would take ``path``, which nobody chose, for other content.

    Args:
        path: the target, or its URL.
        file: what its name says.
        part: what is to be written.
        output: the directory that was given for it, None for none.
    """
    where = f"{path}:" if output is None else f"{output}: is a directory, and {path} in it"
    if part.size != file.size:
        raise ValueError(f"{where} names the whole content, not a range; give a file's path as -o")
    if find_file(absolute(Path(path))) != file:
        raise ValueError(
            f"{where} names other content outside of {file.spec}; give a file's path as -o"
        )


def part_of(file: File, offset: str, length: str | None) -> "View":
    """Return the bytes that the options of a range select; ValueError if they are not in it."""
    start = parse_size(offset)
    count = max(0, file.size - start) if length is None else parse_size(length)
    if start + count > file.size:
        raise ValueError(f"offset {start} and length {count}: {file.spec} ends at {file.size}")
    return file.view().part(start, count)


def require_name(name: str, data_set: "DataSet | None") -> None:
    """Raise SpecError if nothing can hold what ``--as`` says."""
    if data_set is not None:
        data_set.top.find(name.rstrip("/").split("/"))
        return
    named(name)


class Range(NamedTuple):
    """What --offset, --length and --at say.

    Attributes:
        offset: of the first byte in the content.
        length: bytes, None for all that follow.
        at: of the first byte in the copy, which goes on behind the last one; None for a copy that
            holds nothing else.
    """

    offset: int
    length: int | None
    at: int | None

    @staticmethod
    def parse(offset: str | None, length: str | None, at: str | None) -> "Range | None":
        """Read the options, None where none is given; ValueError if one is no size."""
        if (offset, length, at) == (None, None, None):
            return None
        count, begin = (None if text is None else parse_size(text) for text in (length, at))
        return Range(parse_size(offset or "0"), count, begin)

    def window(self, size: int, name: str) -> Window:
        """Return what of a content of ``size`` bytes is asked for; ValueError if it passes that."""
        length = max(0, size - self.offset) if self.length is None else self.length
        window = Window(self.offset, length, self.at or 0, self.at is None)
        window.require_within(size, name)
        return window


class UnnamedError(ValueError):
    """What has no name of its own, but may hold what has: a directory, a prefix, an archive."""


def named(name: str) -> File | Directory:
    """Return what ``--as`` says: what stands at this path, or whose copy that is.

    Raises:
        SpecError: it is neither.
    """
    path = name.rstrip("/")
    try:
        return find(path)
    except SpecError:
        if _is_tree(path.partition("/")[0]):
            raise  # as 0003 alone is the name of a file
        return find_file(PurePath(name))


def _is_tree(name: str) -> bool:
    with suppress(SpecError):
        return isinstance(ROOT.child(name), Directory)
    return False


def expected_of_url(url: str, name: str | None) -> File | Directory:
    """Return what is expected at a URL: what its last part, or the two before, or ``name`` says.

    Raises:
        UnnamedError: no name does, and there may be a prefix; the message says what to do.
        TreeFileError: its own name is not likely to say it.
        OSError: there is a doubt, and its size is not to be had.
    """
    if name is not None:
        return named(name)
    path = path_of(url)
    try:
        with suppress(SpecError):
            return _directory(path.parts)
        if url.endswith("/"):
            raise UnnamedError(f"{url}: is a prefix, and {ROOT.child(path.name).spec} no tree")
        return file_of_copy(path, _size_of(url) if is_number(path.name) else None)
    except SpecError as error:
        raise UnnamedError(f"{url}: {error}; say what is there: --as NAME") from error


def _size_of(url: str) -> int | None:
    """Return the bytes of an object; None if its store does not say it, or has only a prefix."""
    store = open_store(url)
    with translated(url):
        size = store.fs.info(store.path).get("size")
    return size if isinstance(size, int) else None


def _directory(parts: Sequence[str]) -> Directory:
    """Return the tree, or the tree's directory, that the end of a path names, else SpecError."""
    for depth in (2, 1):
        with suppress(SpecError):
            node = find("/".join(parts[-depth:]))
            if isinstance(node, Directory):
                return node
    raise SpecError(parts[-1] if parts else "", "", "is no tree's name")


def expected(path: Path, name: str | None) -> File | Directory:
    """Return what ``path`` should hold by its own name or another.

    Raises:
        OSError: it is not there, or cannot be reached.
        UnnamedError: it is a directory, and its name no tree's.
        ValueError: what is there cannot hold that; the message says what to do.
    """
    status = path.stat()
    directory = stat.S_ISDIR(status.st_mode)
    if name is not None:
        return expected_as(path, name, directory=directory)
    try:
        if not directory:
            return file_of_copy(absolute(path), status.st_size)
        parts = path.resolve().parts
        with suppress(SpecError):
            return _directory(parts)
        node = ROOT.child(parts[-1])
    except TreeFileError as error:
        raise TreeFileError(f"{path}: {error}") from error
    except SpecError as error:
        nearest = nearest_name(error.name)
        example = f", such as --as {nearest}" if nearest else ""
        said = f"{path}: {error}; say what it holds: --as NAME{example}"
        raise (UnnamedError if directory else ValueError)(said) from error
    raise UnnamedError(f"{path}: is a directory, and {node.spec} is not a tree")


def expected_as(path: Path | str, name: str, *, directory: bool) -> File | Directory:
    """Return what ``--as`` says; ValueError if what is a directory, or is none, cannot hold it."""
    node = named(name)
    if directory and not isinstance(node, Directory):
        raise ValueError(f"{path}: is a directory, and {node.path} is not a tree")
    if not directory and isinstance(node, Directory):
        if node.number is None:
            return find_file(PurePath(name))  # which says that it is none
        raise ValueError(f"{path}: is no directory, unlike {name}")
    return node


def expected_by_profile(
    path: Path, name: str | None, data_set: "DataSet"
) -> "ProfileDirectory | ProfileFile":
    """Return what of a data set ``path`` should hold: what ``name`` is, a path in it.

    Without one a directory holds all of it, and a file what the end of its path names.

    Raises:
        OSError: it is not there, or cannot be reached.
        ValueError: what is there cannot hold that; the message says what to do.
    """
    top = data_set.top
    directory = stat.S_ISDIR(path.stat().st_mode)
    if name is not None:
        node = top.find(name.rstrip("/").split("/"))
        if directory == isinstance(node, ProfileFile):
            raise ValueError(f"{path}: is {'a' if directory else 'no'} directory, unlike {name}")
        return node
    if directory:
        return top
    parts = absolute(path).parts
    for start in range(1, len(parts)):
        with suppress(SpecError):
            return top.find(parts[start:])
    raise ValueError(
        f"{path}: no end of it is a path in {data_set.name}; say what it holds: --as PATH"
    )


def part_of_data_set(path: Path, data_set: "DataSet") -> str | None:
    """Return the directory of a data set that the end of ``path`` names, None if it names none."""
    parts = absolute(path).parts
    for start in range(1, len(parts)):
        with suppress(SpecError):
            node = data_set.top.find(parts[start:])
            return None if isinstance(node, ProfileFile) else node.path
    return None


def excluded(patterns: Sequence[str]) -> list[str]:
    """Return patterns of names with the default's in front; an empty one takes back all before it.

    Raises:
        ValueError: one has a slash, which no name has.
    """
    kept = list(LEFT_BEHIND)
    for pattern in patterns:
        if "/" in pattern:
            raise ValueError(f"--exclude '{pattern}': is the pattern of a name, without a slash")
        kept = [*kept, pattern] if pattern else []
    return kept


def parse_seeds(text: str) -> list[int]:
    """Read a list such as ``0,7,100-199``; ValueError if it is not one."""
    seeds: list[int] = []
    for part in filter(None, text.split(",")):
        matched = _SEEDS.fullmatch(part)
        if matched is None or int(matched[1]) > (last := int(matched[2] or matched[1])):
            raise ValueError(f"--seeds '{text}': '{part}' is no seed and no range such as 100-199")
        if last > MAX_SEED:
            raise ValueError(f"--seeds '{text}': '{part}': a seed is 0 to {MAX_SEED}")
        if len(seeds) + last - int(matched[1]) >= MAX_SEEDS:
            raise ValueError(f"--seeds '{text}': more than {MAX_SEEDS:,}; give them in parts")
        seeds += range(int(matched[1]), last + 1)
    return seeds
