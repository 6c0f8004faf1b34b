"""Copies compared by the workers of a Dask cluster, each a part."""

import errno
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dgenfs.distributed.cluster import connected
from dgenfs.distributed.parts import done, everywhere, shares
from dgenfs.machine import topology
from dgenfs.machine.stores import is_url, local_path
from dgenfs.names.catalog import Directory, File, find
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.share import RANGE, WHOLE, Share
from dgenfs.verifying.copies import MIN_THREADS, Progress, no_progress
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.merging import PartReport, merged_in_order
from dgenfs.verifying.reports import (
    MAX_PATHS,
    DirectoryReport,
    FileReport,
    TreeReport,
    Unreadable,
    reason,
)
from dgenfs.verifying.verifier import Verifier
from dgenfs.verifying.windows import Window

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

Node = File | Directory | ProfileFile | ProfileDirectory
Report = FileReport | TreeReport | DirectoryReport


def verify(
    client: "Client",
    path: Path | str,
    name: str | Node,
    *,
    seeds: Sequence[int] = (),
    direct: bool = False,
    buffered: bool = False,
    threads: int | None = None,
    exclude: Sequence[str] = (),
    progress: Progress = no_progress,
) -> FileReport | TreeReport:
    """Compare a copy with what it should hold, by all workers of a cluster.

    Args:
        client: of the cluster, whose workers reach the copy under the same path; not asynchronous.
        path: a file, a device, a tree's directory, or a URL of an object or of a prefix.
        name: what it should hold, such as ``1000x1M_d2``, or a node of the catalog.
        seeds: other seeds whose content to recognize.
        direct: refuse to read through the page cache.
        buffered: read through the page cache, and what it holds.
        threads: reads in flight of one part, None for what a worker's host can take.
        exclude: patterns of names that may stand in a tree's directories besides its own.
        progress: called with the number of bytes compared since the last call, by any thread.

    Returns:
        What a ``Verifier`` on one host reports. What a part could not be compared for is in it:
        bytes of a file are unreadable, and so is part k/n of a tree, at the path ``.``.

    Raises:
        SpecError: ``name`` is not a name.
        ClusterError: a worker runs another dgenfs, or none.
        ConnectionError: the scheduler is gone.
        OSError: no part could be compared.
    """
    node = find(name) if isinstance(name, str) else name
    with DistributedVerifier(
        client,
        seeds=seeds,
        direct=direct,
        buffered=buffered,
        threads=threads,
        exclude=exclude,
    ) as verifier:
        if isinstance(node, Directory | ProfileDirectory):
            return verifier.verify_tree(path, node, progress)
        return verifier.verify_file(path, node, progress)


class DistributedVerifier(Verifier):
    """Has the workers of a cluster compare copies, each a part; see ``verify``.

    Streams it compares by itself.
    """

    def __init__(self, client: "Client", **settings: Any) -> None:
        """Compare by the workers that ``client`` reaches; for ``settings`` see Verifier."""
        super().__init__(**settings)
        self._client = client

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a DistributedVerifier does not pickle: its client stays in its process")

    def verify_file(
        self,
        path: Path | str,
        file: File | ProfileFile,
        progress: Progress = no_progress,
        *,
        share: Share = WHOLE,
        window: Window | None = None,
    ) -> FileReport:
        """Compare one file, device or object; see ``Verifier.verify_file``.

        Raises:
            ValueError: a share or a window of it is asked for.
            OSError: no part could be compared.
        """
        _require_whole(share, window)
        path = _path_of(path)
        parts = shares(self._client, file.size, -(-file.size // RANGE))
        task = partial(_part, self._settings, Verifier.verify_file, (everywhere(path), file))

        def lost(like: FileReport, share: Share, error: OSError) -> FileReport:
            start, end = share.range(file.size)
            log.warning("%s: bytes %d to %d: %s", like.path, start, end, reason(error))
            report = FileReport(like.path, like.name, like.file, file.size, like.size)
            report.add(Extent(start, end, Kind.UNREADABLE, end - start))
            report.ranges = [(start, end)]
            return report

        whole: FileReport = _merged(done(self._client, "verify", task, parts, progress), lost)
        _rename(whole, path)
        return whole

    def verify_tree(
        self,
        path: Path | str,
        node: Directory | ProfileDirectory,
        progress: Progress = no_progress,
        *,
        share: Share = WHOLE,
    ) -> TreeReport:
        """Compare a directory, or a prefix, with a tree or a data set; see ``verify_file``."""
        _require_whole(share)
        path = _path_of(path)
        files = len(node.files) if isinstance(node, Directory) else node.files
        parts = shares(self._client, node.size, files)
        task = partial(_part, self._settings, Verifier.verify_tree, (everywhere(path), node))

        def lost(like: TreeReport, share: Share, error: OSError) -> TreeReport:
            report = TreeReport(like.path, like.name, len(share.of(files)))
            report.add_unreadable(Unreadable(".", f"part {share}: {reason(error)}"))
            return report

        whole: TreeReport = _merged(done(self._client, "verify", task, parts, progress), lost)
        _rename(whole, path)
        return whole

    def verify_directory(
        self, path: Path | str, progress: Progress = no_progress, *, share: Share = WHOLE
    ) -> DirectoryReport:
        """Compare what is in a directory with what each one's own name says; see ``verify_file``.

        Each part looks through all of it, and compares its share of each file and tree.
        """
        _require_whole(share)
        path = _path_of(path)
        size = self.size_by_names(path) or 0
        parts = shares(self._client, 0, -(-size // RANGE))
        task = partial(_part, self._settings, Verifier.verify_directory, (everywhere(path),))
        told, failed, found = [], [], []
        for part, report in done(self._client, "verify", task, parts, progress):
            if isinstance(report, OSError):
                failed.append((part, report))
                continue
            assert isinstance(report, DirectoryReport)
            found.append(report)
            told.append(PartReport(str(part), part, report.reports, report.unchecked))
        if not found:
            raise failed[0][1]
        together = merged_in_order(told)
        whole = found[0]
        whole.reports = together.reports
        whole.unchecked = together.unchecked[:MAX_PATHS]
        # Each part looks through all of it, and keeps only so many.
        counts = [one.unchecked_paths for one in found]
        whole.unchecked_paths = max(len(together.unchecked), *counts)
        _rename(whole, path)
        for part, error in failed:
            whole.add_unchecked(Unreadable(str(path), f"part {part}: {reason(error)}"))
        return whole


@contextmanager
def verifier_on(address: str, **settings: Any) -> Iterator[Verifier]:
    """Yield a verifier of the cluster at an address; see ``connected`` and DistributedVerifier."""
    with connected(address) as client, DistributedVerifier(client, **settings) as verifier:
        yield verifier


def _part(
    settings: dict[str, Any],
    method: Any,
    arguments: tuple[object, ...],
    share: Share,
    progress: Progress,
) -> Report:
    """Compare a part of a copy, on a worker."""
    from distributed import get_worker

    at_once = get_worker().state.nthreads  # parts that the process does
    threads = -(-max(MIN_THREADS, len(topology.detect().cpus)) // at_once)
    own = {**settings, "threads": settings["threads"] or threads}
    with Verifier(**own) as verifier:
        report: Report = method(verifier, *arguments, progress=progress, share=share)
    return report


def _merged(
    told: Iterable[tuple[Share, Any]],
    lost: Callable[[Any, Share, OSError], FileReport | TreeReport],
) -> Any:
    """Return what parts found together; raise the first one's error if all failed.

    Args:
        told: what each part found, or why it did not, in order.
        lost: what to report of one that did not, like what another found.
    """

    def parts() -> Iterator[PartReport]:
        like = None
        failed = []  # before one that did not
        for share, report in told:
            if isinstance(report, OSError):
                failed.append((share, report))
            else:
                like = report
            if like is None:
                continue
            for one, error in failed:
                yield PartReport(str(one), one, [lost(like, one, error)], ())
            failed.clear()
            if report is like:
                yield PartReport(str(share), share, [report], ())
        if like is None:
            raise failed[0][1]

    together = merged_in_order(parts())
    (whole,) = together.reports
    for one in together.unchecked:
        raise OSError(errno.EIO, one.reason, one.path)
    return whole


def _require_whole(share: Share, window: Window | None = None) -> None:
    if share != WHOLE or window is not None:
        raise ValueError("a cluster compares whole copies: neither a part of one nor a range")


def _path_of(path: Path | str) -> Path | str:
    """Return a path of the file system as one, whatever it is given as, or a store's URL."""
    local = local_path(path) if isinstance(path, str) else None
    return path if local is None and isinstance(path, str) and is_url(path) else Path(local or path)


def _rename(report: Report, path: Path | str) -> None:
    """Give the paths in a report, which workers have from the root, those of the caller."""
    if isinstance(path, str):
        return
    whole = path.absolute()
    below = report.reports if isinstance(report, DirectoryReport) else []
    trees = [one for one in (report, *below) if isinstance(one, TreeReport)]
    for one in (report, *below, *(file for tree in trees for file in tree.different)):
        one.path = path / Path(one.path).relative_to(whole)
    if isinstance(report, DirectoryReport):
        report.unchecked = [
            replace(one, path=str(path / Path(one.path).relative_to(whole)))
            for one in report.unchecked
        ]
        report.excluded = [str(path / Path(one).relative_to(whole)) for one in report.excluded]
