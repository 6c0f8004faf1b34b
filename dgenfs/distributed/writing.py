"""One part of what a name says, written where it belongs beside the others."""

import threading
from collections.abc import Iterator
from pathlib import Path

from dgenfs.api.chunks import Progress
from dgenfs.api.in_place import make_directories, write_members, write_ranges
from dgenfs.api.uploading import upload_directory, upload_file
from dgenfs.machine.stores import Store, is_url, open_store
from dgenfs.names.catalog import Directory, File, Member
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.share import RANGE, WHOLE, Share
from dgenfs.verifying.verifier import Verifier
from dgenfs.verifying.windows import Window


def write_part(
    node: File | Directory | ProfileDirectory,
    target: str,
    share: Share,
    *,
    resume: bool,
    progress: Progress,
) -> None:
    """Write a part of a file, a tree or a data set, in place.

    Args:
        node: what to write.
        target: where all of it is to be.
        share: the part.
        resume: leave what is there and right, and write over what is there and wrong.
        progress: called with the number of bytes written, or found to be right, since the last
            call, by any thread.

    Raises:
        ValueError: it is a part of a file, and an object is written whole.
        FileExistsError: something of the part is there, and ``resume`` is not given.
        OSError: it cannot be written; what is written stays.
    """
    with Verifier() as verifier:
        if is_url(target):
            _upload(verifier, node, target, share, resume, progress)
        elif isinstance(node, File):
            ranges = _ranges(node, share)
            if resume and Path(target).exists():
                ranges = _wrong_ranges(verifier, node, target, ranges, progress)
            write_ranges(Path(target), node.view(), ranges, progress, over=resume)
        else:
            members: Iterator[Member] = iter(node.members(share))
            if resume:
                members = verifier.lacking(target, members, progress)
            write_members(Path(target), members, progress, over=resume)
            if share.first and isinstance(node, ProfileDirectory):
                empty = (folder for folder in node.below() if folder.count == 0)
                make_directories(Path(target), map(node.path_of, empty))


def _upload(
    verifier: Verifier,
    node: File | Directory | ProfileDirectory,
    url: str,
    share: Share,
    resume: bool,
    progress: Progress,
) -> None:
    """Write a part to a store: objects that are whole, each by one host."""
    store = open_store(url)
    lock = threading.Lock()

    def advance(length: int) -> None:
        with lock:  # what is right is told by this thread, what is written by others
            progress(length)

    if not isinstance(node, File):
        members: Iterator[Member] = iter(node.members(share))
        if resume:
            members = verifier.lacking(url, members, advance)
        else:
            _require_free(store, node, share)
        upload_directory(node, store, advance, members=members, force=True)
        return
    if share != WHOLE:
        raise ValueError(f"{store.url}: an object is written whole: part {share} is of a tree")
    right = resume and store.info() is not None
    if right and verifier.verify_file(url, node).identical:
        progress(node.size)
    else:
        upload_file(node.view(), store, progress, force=resume)


def _require_free(store: Store, node: Directory | ProfileDirectory, share: Share) -> None:
    """Raise FileExistsError if the first file of a part is there: files are written in order."""
    for inside, _ in node.members(share):
        there = store.join(inside)
        if there.info() is not None:
            rule = "is there already; --resume goes on, and leaves what is right"
            raise FileExistsError(f"{there.url}: {rule}")
        return


def _ranges(file: File, share: Share) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a part of a file."""
    start, end = share.range(file.size)
    return ((at, min(at + RANGE, end)) for at in range(start, end, RANGE))


def _wrong_ranges(
    verifier: Verifier,
    file: File,
    target: str,
    ranges: Iterator[tuple[int, int]],
    progress: Progress,
) -> Iterator[tuple[int, int]]:
    """Yield those of the ranges that are not right."""
    for start, end in ranges:
        window = Window(start, end - start, start, ends=False)
        report = verifier.verify_file(target, file, window=window)
        if report.totals:  # that it changed says that other ranges are written
            yield start, end
        else:
            progress(end - start)
