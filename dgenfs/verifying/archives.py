"""Tar archives that come in order, whose members are compared with what their names say."""

import re
import tarfile
from pathlib import PurePath
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from dgenfs.names.catalog import Directory, File
from dgenfs.names.tree_files import file_of_copy
from dgenfs.verifying.comparing import CHUNK
from dgenfs.verifying.copies import Content, Copies, Progress
from dgenfs.verifying.mixed import tree_of
from dgenfs.verifying.reports import MAX_PATHS, DirectoryReport, TreeReport, Unreadable
from dgenfs.verifying.streams import Stream, compared_stream, read_some
from dgenfs.verifying.windows import Window

BLOCK = 512  # bytes; an archive ends with two of zeros
RANGE = 1 << 20  # files of a tree that are noted together


class NotAnArchiveError(ValueError):
    """A stream is no tar archive, or one without a member."""


class _Tree:
    """A tree of which members were found."""

    def __init__(self, path: str, tree: Directory) -> None:
        self.spec = tree.spec
        self.report = TreeReport(path, str(tree), tree.spec.files)
        self._seen: dict[int, NDArray[np.bool_]] = {}  # of each range of RANGE files with any

    def see(self, file: int) -> bool:
        """Note that a file was there; return whether it was before."""
        seen = self._seen.setdefault(file // RANGE, np.zeros(RANGE, np.bool_))
        before = bool(seen[file % RANGE])
        seen[file % RANGE] = True
        return before

    def end(self) -> None:
        """Add the files that were not there."""
        report = self.report
        for start in range(0, self.spec.files, RANGE):
            count = min(RANGE, self.spec.files - start)
            seen = self._seen.get(start // RANGE)
            lost = range(count) if seen is None else np.flatnonzero(~seen[:count]).tolist()
            kept = lost[: max(0, MAX_PATHS - report.missing_files)]
            for file in kept:
                report.add_missing(self.spec.path(start + file))
            report.missing_files += len(lost) - len(kept)


class _Ahead:
    """A stream that tarfile reads further than it says."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = np.empty(CHUNK, np.uint8)
        self._last = b""
        self._position = 0

    def read(self, length: int) -> bytes:
        """Return at most ``length`` bytes, none at the end."""
        got = read_some(self._stream, self._buffer[:length])
        self._last = self._buffer[:got].tobytes()
        self._position += got
        return self._last

    def goes_on(self, end: int) -> bool:
        """Return whether there are others than zeros behind ``end``, which was read as the last.

        All is read, so that the writer ends well.
        """
        found = any(self._last[len(self._last) - max(0, self._position - end) :])
        while got := self.read(CHUNK):
            found = found or any(got)
        return found


class Archive:
    """A tar archive: ustar, pax or GNU; members that are sparse are not checked."""

    def __init__(
        self, copies: Copies, path: str, excluded: re.Pattern[str], progress: Progress
    ) -> None:
        """Compare members with the threads of ``copies``.

        Args:
            copies: whose threads compare, while the caller's reads.
            path: what to call the stream.
            excluded: names that are no matter.
            progress: called with the number of bytes compared since the last call.
        """
        self._copies = copies
        self._excluded = excluded
        self._progress = progress
        self._trees: dict[str, _Tree] = {}
        self._report = DirectoryReport(path)

    def compared(self, stream: Stream) -> DirectoryReport:
        """Compare all members.

        Raises:
            NotAnArchiveError: there is none.
            OSError: the stream cannot be read.
        """
        header = b""  # the last one

        class Member(tarfile.TarInfo):
            @classmethod
            def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Member":
                nonlocal header
                header = bytes(buf)
                return super().frombuf(buf, encoding, errors)

        members = 0
        ahead = _Ahead(stream)
        try:
            with tarfile.open(
                fileobj=cast(IO[bytes], ahead),
                mode="r|",
                bufsize=CHUNK,
                tarinfo=Member,
            ) as archive:
                while (member := _next(archive)) is not None:
                    kept = vars(archive)["members"]
                    kept.clear()  # of all that were read
                    members += 1
                    self._add(archive, member)
                goes_on = ahead.goes_on(archive.offset + BLOCK)
        except (tarfile.TarError, OSError) as error:
            if not members and isinstance(error, OSError):
                raise
            if not members:
                raise NotAnArchiveError(str(error)) from error
            self._unchecked(str(self._report.path), f"the archive breaks off: {error}")
        else:
            if not members:
                raise NotAnArchiveError("has no member")
            # tarfile takes anything for the end.
            if len(header) < BLOCK or any(header):
                self._unchecked(
                    str(self._report.path), "the archive ends without its end, or is damaged"
                )
            elif goes_on:
                self._unchecked(str(self._report.path), "goes on behind the end of the archive")
        for tree in self._trees.values():
            tree.end()
        return self._report

    def _unchecked(self, path: str, why: str) -> None:
        self._report.add_unchecked(Unreadable(path, why))

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Compare one member, or say why not."""
        path = PurePath(member.name)
        if any(self._excluded.fullmatch(part) for part in path.parts):
            self._report.add_excluded(member.name)
            return
        tree, inside = self._tree(path)
        if member.isdir():
            return
        try:
            if not member.isreg() or member.issparse():
                raise ValueError(_kind(member))
            if tree is None:
                file = file_of_copy(path, member.size)
            elif (number := tree.spec.index(inside)) is None:
                tree.report.add_unexpected(inside)
                return
            elif tree.see(number):
                raise ValueError("is in the archive twice")
            else:
                file = File(tree.spec, number)
        except ValueError as error:
            self._unchecked(member.name, str(error))
            return
        data = cast(Stream, archive.extractfile(member))
        window = Window.of(file.size)
        try:
            report = compared_stream(
                self._copies, data, member.name, Content.of(file), window, self._progress
            )
        except (tarfile.TarError, OSError) as error:
            self._unchecked(member.name, str(error))
            raise
        if tree is None:
            self._report.add(report)
        else:
            tree.report.add_file(report)

    def _tree(self, path: PurePath) -> tuple[_Tree | None, str]:
        """Return the tree that a member is in, or is, and its path there."""
        for depth, part in enumerate(path.parts, 1):
            found = tree_of(part)
            if found is not None:
                top = str(PurePath(*path.parts[:depth]))
                if top not in self._trees:
                    self._trees[top] = _Tree(top, found)
                    self._report.add(self._trees[top].report)
                return self._trees[top], "/".join(path.parts[depth:])
        return None, ""


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    """Return the next member; TarError where its header is not as it should be."""
    try:
        return archive.next()
    except (ValueError, OverflowError, IndexError, KeyError, EOFError) as error:
        raise tarfile.ReadError(f"{type(error).__name__}: {error}") from error


def _kind(member: tarfile.TarInfo) -> str:
    """Return what a member is instead of a file that can be compared."""
    if member.issparse():
        return "is sparse in the archive"
    if member.islnk():
        return f"is a hard link to {member.linkname}"
    return "is a link" if member.issym() else "is no regular file"
