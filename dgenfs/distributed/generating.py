"""Names written by the workers of a Dask cluster, each a part."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dgenfs.distributed.parts import done, everywhere, shares
from dgenfs.distributed.writing import write_part
from dgenfs.machine.store_errors import shown
from dgenfs.machine.stores import is_url, open_store
from dgenfs.names.catalog import Directory, File, find
from dgenfs.names.data_set import ProfileDirectory
from dgenfs.names.share import RANGE, WHOLE, Share
from dgenfs.verifying.copies import Progress, no_progress
from dgenfs.verifying.reports import reason

if TYPE_CHECKING:
    from distributed import Client

Node = File | Directory | ProfileDirectory


def gen(
    client: "Client",
    name: str | Node,
    target: Path | str,
    *,
    resume: bool = False,
    progress: Progress = no_progress,
) -> None:
    """Write what a name says, by all workers of a cluster.

    A part whose worker died is gone on with by another. All parts are tried, whichever fails.

    Args:
        client: of the cluster, whose workers all reach ``target``; not asynchronous.
        name: such as ``1000x1M_d2`` or ``1000x1M_d2/000017.bin``, or a node of the catalog.
        target: where it is to be: a file's path, the directory that holds a tree's files, or a URL.
        resume: leave what is there and right, and write over what is there and wrong.
        progress: called with the number of bytes done since the last call, by any thread.

    Raises:
        SpecError: ``name`` is not a name.
        FileExistsError: something is there, and ``resume`` is not given.
        ClusterError: a worker runs another dgenfs, or none.
        ConnectionError: the scheduler is gone.
        OSError: parts cannot be written; the others are.
    """
    node = find(name) if isinstance(name, str) else name
    place = str(everywhere(target))
    if not resume:
        for _, error in done(
            client, "look", partial(_require_free, node, place), [WHOLE], progress
        ):
            if error is not None:
                raise error
    task = partial(_write, node, place, resume)
    parts = shares(client, node.size, _pieces(node, place))
    failed = [
        (share, error)
        for share, error in done(client, "gen", task, parts, progress)
        if error is not None
    ]
    if failed:
        share, error = failed[0]
        told = f"{len(failed)} of {len(parts)} parts are not written"
        text = f"{told}; of part {share}: {reason(error)}; --resume goes on"
        raise OSError(error.errno, text, shown(str(target)))


def _pieces(node: Node, target: str) -> int:
    """Return how many there are of what no two workers write: files, or ranges of one."""
    if isinstance(node, File):
        return 1 if is_url(target) else -(-node.size // RANGE)
    return node.files if isinstance(node, ProfileDirectory) else node.spec.files


def _require_free(node: Node, target: str, _: Share, __: Progress) -> None:
    """Raise FileExistsError unless there is nothing, or an empty directory; on a worker."""
    if is_url(target):
        store = open_store(target)
        free = store.info() is None if isinstance(node, File) else store.is_empty()
    else:
        path = Path(target)
        empty = not isinstance(node, File) and path.is_dir() and not any(path.iterdir())
        free = empty or not os.path.lexists(path)
    if not free:
        raise FileExistsError(f"{shown(target)}: is there already; --resume goes on with it")


def _write(node: Node, target: str, resume: bool, share: Share, progress: Progress) -> None:
    """Write a part, on a worker."""
    if not resume:
        try:
            write_part(node, target, share, resume=False, progress=progress)
        except FileExistsError:
            # There was nothing, so this is of a worker that had the part, and died or failed.
            resume = True
    if resume:
        write_part(node, target, share, resume=True, progress=progress)
