"""Copies compared with what they should hold, by the threads of one verifier."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from itertools import groupby
from typing import NamedTuple

from dgenfs.content.view import View
from dgenfs.machine import topology
from dgenfs.machine.threads import in_order
from dgenfs.names.catalog import File, Member
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.share import WHOLE, Share
from dgenfs.verifying.comparing import Comparison, Damage, OtherSeeds, Room
from dgenfs.verifying.findings import Extent
from dgenfs.verifying.places import Place, Source
from dgenfs.verifying.reading import NotAFileError
from dgenfs.verifying.reports import FileReport, Unreadable
from dgenfs.verifying.windows import Window

MIN_THREADS = 16  # reads in flight on a machine of fewer CPUs, to keep a device's queue filled

log = logging.getLogger(__name__)

Progress = Callable[[int], None]
Result = FileReport | Unreadable | str  # a file's, or its path in a place where it is not


def no_progress(_: int) -> None:
    """Do nothing."""


class Content(NamedTuple):
    """What a copy should hold.

    Attributes:
        view: its bytes.
        name: canonical name.
        file: number of the file in a tree, 0 for a plain file.
    """

    view: View
    name: str
    file: int = 0

    @staticmethod
    def of(file: File | ProfileFile) -> "Content":
        """Return what a file of the catalog is."""
        return Content(file.view(), file.content_name, file.number)


class Copies:
    """Threads that read copies and compare them.

    Attributes:
        pool: the threads.
        ahead: most pieces of work that are under way at a time.
    """

    def __init__(self, seeds: Sequence[int], threads: int | None) -> None:
        """Start the threads; see Verifier."""
        self._others = OtherSeeds(seeds)
        self._room = Room()
        count = threads or max(MIN_THREADS, len(topology.detect().cpus))
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="dgenfs-verify")
        self.ahead = 2 * count

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(wait=True, cancel_futures=True)

    def comparison(self, content: Content) -> Comparison:
        """Return what compares a copy with ``content``."""
        return Comparison(content.view, self._others, self._room)

    def found(
        self,
        place: Place,
        inside: str,
        content: Content,
        room: int,
        progress: Progress,
        share: Share = WHOLE,
    ) -> Result:
        """Return what is found at a path in a place, read by one thread if it is small enough."""
        window = Window.of(content.view.size, share)
        alone = content.view.size <= place.alone
        try:
            return self.compared(place, inside, content, window, room, progress, alone=alone)
        except (FileNotFoundError, NotADirectoryError, NotAFileError):
            result: Result = inside
        except (OSError, ValueError) as error:
            result = Unreadable.of(inside, error)
        progress(content.view.size)  # passed over
        return result

    def found_all(
        self,
        place: Place,
        members: Iterable[Member],
        room: Callable[[], int],
        progress: Progress,
        share: Share = WHOLE,
    ) -> Iterator[tuple[Member, Result]]:
        """Yield what is found of each file, in order.

        Small ones are read by a thread each; the threads share what a larger one has.

        Args:
            place: where they are.
            members: paths in it, and what should be there.
            room: returns how many extents to keep of the next one.
            progress: called with the number of bytes compared, or passed over, since the last call.
            share: the part of each to compare.
        """
        ended = threading.Event()

        def advance(length: int) -> None:
            if ended.is_set():  # nobody wants the rest of the file
                raise CancelledError
            progress(length)

        def found(member: Member) -> tuple[Member, Result]:
            inside, file = member
            return member, self.found(place, inside, Content.of(file), room(), advance, share)

        for alone, some in groupby(members, lambda member: member[1].size <= place.alone):
            call = partial(in_order, self.pool, self.ahead, stop=ended.set) if alone else map
            yield from call(found, some)

    def compared(
        self,
        place: Place,
        inside: str,
        content: Content,
        window: Window,
        room: int,
        progress: Progress,
        *,
        alone: bool = False,
    ) -> FileReport:
        """Compare one copy; see ``Verifier.verify_file``.

        Args:
            place: where it is.
            inside: its path there.
            content: what it should hold.
            window: the bytes of it that are asked for, and where in the copy they are.
            room: extents to keep at the most; all are counted.
            progress: called with the number of bytes compared since the last call.
            alone: whether the caller's thread reads all of it, in order.
        """
        view = content.view
        with place.opened(inside, view.size) as source:
            size = source.size
            report = FileReport(place.at(inside), content.name, content.file, view.size, size)
            log.debug("%s: %d bytes, O_DIRECT %s", report.path, size, source.around_cache)
            comparison = self.comparison(content)
            end = min(max(size - window.shift, window.offset), window.end)
            view.compute_digests(
                window.offset,
                end - window.offset,
                map if alone else partial(in_order, self.pool, self.ahead),
            )
            chunk = partial(_chunk, source, comparison, window.shift, end)
            starts = range(window.offset, end, source.step)
            results: Iterator[Damage]
            if alone or place.in_order or len(starts) < 2:
                # Other threads would cost a small file more than they save, and mix up the order.
                results = map(chunk, starts)
            else:
                results = in_order(self.pool, self.ahead, chunk, starts, comparison.stop)
            for damage in results:
                damage.add_to(report, room)
                progress(damage.length)
            report.changed = source.changed()
            report.size = source.size
            report.end(window, min(size, source.size), is_device=source.is_device)
        return report


def _chunk(source: Source, comparison: Comparison, shift: int, end: int, start: int) -> Damage:
    """Compare the bytes of a view from ``start`` on, before ``end`` and of one read."""
    damage = Damage(min(source.step, end - start))
    for at, piece in source.read(start + shift, damage.length):
        if isinstance(piece, Extent):
            damage.found.append(piece.moved(-shift))
        else:
            found = comparison.compare(piece, at - shift)
            damage.wrong_sectors += found.wrong_sectors
            damage.found += found.found
    return damage
