"""Verification: files, devices, objects, streams and trees compared with what their names say."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dgenfs.machine.directories import absolute
from dgenfs.machine.stores import is_url, local_path, open_store, path_of
from dgenfs.names.catalog import Directory, File, Member
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.share import WHOLE, Share
from dgenfs.verifying.archives import Archive
from dgenfs.verifying.copies import Content, Copies, Progress, no_progress
from dgenfs.verifying.findings import MAX_EXTENTS
from dgenfs.verifying.mixed import Mixed
from dgenfs.verifying.objects import Prefix
from dgenfs.verifying.places import Folder, Place
from dgenfs.verifying.reading import Buffers, Caching
from dgenfs.verifying.reports import DirectoryReport, FileReport, TreeReport
from dgenfs.verifying.streams import Stream, compared_stream
from dgenfs.verifying.trees import compared_tree
from dgenfs.verifying.windows import Window


class Verifier:
    """Compares files with what their names say.

    One verifier keeps its threads and buffers for all files given to it; close it when done, or
    use it as a context manager. For one caller at a time. It pickles as one of the same settings.

    Paths are a file system's, or URLs that fsspec reads. ``progress`` is called with the number of
    bytes compared since the last call, by any thread.
    """

    def __init__(
        self,
        *,
        seeds: Sequence[int] = (),
        direct: bool = False,
        buffered: bool = False,
        threads: int | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        """Start the reading threads.

        Args:
            seeds: other seeds whose content to recognize.
            direct: refuse to read through the page cache instead of doing so where a file cannot
                be read around it, or where another program or host answers reads (FUSE, NFS …):
                there each file is read in order else.
            buffered: read through the page cache, and what it holds.
            threads: reads in flight, None for one a CPU and at least MIN_THREADS.
            exclude: patterns, as ``fnmatch`` has them, of names that may stand in a tree's
                directories besides its own.

        Raises:
            ValueError: ``direct`` and ``buffered``, or ``threads`` is below 1.
        """
        if direct and buffered:
            raise ValueError("direct and buffered: are opposites; leave out one")
        if threads is not None and threads < 1:
            raise ValueError(f"threads {threads}: must be at least 1")
        self._settings: dict[str, Any] = {
            "seeds": tuple(seeds),
            "direct": direct,
            "buffered": buffered,
            "threads": threads,
            "exclude": tuple(exclude),
        }
        self._direct = direct
        self._caching = Caching.AROUND
        if direct or buffered:
            self._caching = Caching.DIRECT if direct else Caching.THROUGH
        self._excluded = re.compile("|".join(map(fnmatch.translate, exclude)) or "(?!)")
        self._copies = Copies(seeds, threads)
        self._buffers = Buffers()

    def __reduce__(self) -> tuple[object, ...]:
        """Start threads of its own where it is unpickled."""
        return partial(Verifier, **self._settings), ()

    def close(self) -> None:
        """End the threads."""
        self._copies.close()

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, path: Path | str) -> Place:
        if isinstance(path, Path) or not is_url(path):
            return Folder(Path(path), self._buffers, self._caching)
        if (local := local_path(path)) is not None:
            return Folder(Path(local), self._buffers, self._caching)
        if self._direct:
            raise ValueError(f"{path}: no object has O_DIRECT; leave out --direct")
        return Prefix(open_store(path))

    def verify_file(
        self,
        path: Path | str,
        file: File | ProfileFile,
        progress: Progress = no_progress,
        *,
        share: Share = WHOLE,
        window: Window | None = None,
    ) -> FileReport:
        """Compare one file, or the start of a block device, with what it should hold.

        Args:
            path: a regular file, a block device or an object.
            file: what it should hold.
            progress: see the class.
            share: the part of it to compare.
            window: the bytes of it that the copy holds, and where; not with a share.

        Raises:
            NotAFileError: ``path`` is neither.
            ValueError: it cannot be read around the page cache and must be; a window passes the
                end of what it should hold.
            OSError: it cannot be opened; what cannot be read of it is damage.
        """
        if window is not None and share != WHOLE:
            raise ValueError(f"part {share} and a window: give one, as each says what to compare")
        content = Content.of(file)
        window = window or Window.of(content.view.size, share)
        window.require_within(content.view.size, content.name)
        place = self._place(path)
        return self._copies.compared(place, "", content, window, MAX_EXTENTS, progress)

    def verify_stream(
        self,
        stream: Stream,
        path: str,
        file: File | ProfileFile,
        progress: Progress = no_progress,
        *,
        window: Window | None = None,
    ) -> FileReport:
        """Compare what comes in order, to its end, with what it should be.

        Args:
            stream: such as ``sys.stdin.buffer``, read by the caller's thread.
            path: what to call it.
            file: what it should be.
            progress: see the class.
            window: the bytes of it that the stream holds, and where.

        Raises:
            ValueError: as ``verify_file`` does.
            OSError: it cannot be read on.
        """
        content = Content.of(file)
        window = window or Window.of(content.view.size)
        window.require_within(content.view.size, content.name)
        return compared_stream(self._copies, stream, path, content, window, progress)

    def verify_tree(
        self,
        path: Path | str,
        node: Directory | ProfileDirectory,
        progress: Progress = no_progress,
        *,
        share: Share = WHOLE,
    ) -> TreeReport:
        """Compare a directory with the tree, or the data set, that it should hold.

        Files and directories in it that cannot be opened are in the report, and hide no others.

        Args:
            path: the directory, or what its objects' keys begin with, whatever it is called.
            node: a tree, the top of a data set, or a directory in either.
            progress: see the class.
            share: the part of its files to compare; the first also tells what else is there.

        Raises:
            NotADirectoryError: ``path`` is not a directory.
            OSError: it cannot be reached.
        """
        place = self._place(path)
        return compared_tree(self._copies, place, node, self._excluded, progress, share)

    def lacking(
        self, path: Path | str, members: Iterable[Member], progress: Progress = no_progress
    ) -> Iterator[Member]:
        """Yield those of the files of a directory, or a prefix, that are not there or not right.

        Args:
            path: where they should be; it need not be there.
            members: paths in it, and what should be there.
            progress: called with the number of bytes that are right since the last call.
        """
        place = self._place(path)
        results = self._copies.found_all(place, members, lambda: 1, no_progress)
        for member, result in results:
            if isinstance(result, FileReport) and result.identical:
                progress(member[1].size)
            else:
                yield member

    def verify_directory(
        self, path: Path | str, progress: Progress = no_progress, *, share: Share = WHOLE
    ) -> DirectoryReport:
        """Compare what is in a directory with what each one's own name says.

        Directories that are no trees by their names are gone into; links are not followed.

        Args:
            path: the directory, or a URL's prefix.
            progress: see the class.
            share: the part of each copy to compare.

        Raises:
            OSError: it cannot be listed.
        """
        return self._mixed(path).compared(self._copies, share, progress)

    def verify_archive(
        self, stream: Stream, path: str, progress: Progress = no_progress
    ) -> DirectoryReport:
        """Compare the members of a tar archive with what each one's own name says.

        Args:
            stream: such as ``sys.stdin.buffer``, read to its end by the caller's thread.
            path: what to call it.
            progress: see the class.

        Raises:
            NotAnArchiveError: it is none, or has no member.
            OSError: it cannot be read on.
        """
        return Archive(self._copies, path, self._excluded, progress).compared(stream)

    def size_by_names(self, path: Path | str) -> int | None:
        """Return the bytes that ``verify_directory`` would compare; None if nothing has a name.

        Raises:
            OSError: it cannot be listed.
        """
        return self._mixed(path).size()

    def _mixed(self, path: Path | str) -> Mixed:
        url = isinstance(path, str) and is_url(path)
        names = path_of(str(path)) if url else absolute(Path(path))
        return Mixed(self._place(path), names, self._excluded)
