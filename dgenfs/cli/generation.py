"""What gen does: content goes to a file, a directory, a store or standard output."""

import signal
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from dgenfs.cli.arguments import part_of, require_own_name, target
from dgenfs.cli.terminal import progress, standard_output
from dgenfs.machine.stores import is_url, local_path, open_store
from dgenfs.names.catalog import Directory, File, find, find_file
from dgenfs.names.share import WHOLE, Share

if TYPE_CHECKING:
    from dgenfs.content.view import View
    from dgenfs.names.data_set import ProfileDirectory


@dataclass(frozen=True, slots=True)
class Generation:
    """Where and how to write, as the options say.

    Attributes:
        output: a path, a URL, ``-`` for standard output; None for the name, here.
        offset: the first byte.
        length: bytes, None for all.
        force: whether to write over what is there.
        share: the part to write.
        resume: whether to leave what is there and right, and write over the rest.
        dask: the cluster that writes it, None for this process.
    """

    output: str | None
    offset: str
    length: str | None
    force: bool
    share: Share = WHOLE
    resume: bool = False
    dask: str | None = None

    def write(self, name: str) -> None:
        """Write the content of a name.

        Raises:
            ValueError: it is no name, or the options do not fit it.
            OSError: it cannot be written.
        """
        node = find_file(PurePath(name)) if "/" in name else find(name)
        if isinstance(node, Directory):
            self.write_directory(name, node)
            return
        if self._in_parts:
            self._write_part(name, node)
            return
        part = part_of(node, self.offset, self.length)
        output = _path_of(self.output)
        if output == "-":
            self._write_stream(name, part)
        elif output is not None and is_url(output):
            self._upload(name, node, part, output)
        else:
            from dgenfs.api.publishing import write_file

            path = target(output, name)
            if output is None or path != Path(output):
                require_own_name(str(path), node, part, output)
            with progress(name, part.size) as advance:
                write_file(part, path, advance, force=self.force)

    def write_directory(self, name: str, node: "Directory | ProfileDirectory") -> None:
        """Write a tree or a data set.

        Raises:
            ValueError: the options do not fit it.
            OSError: it cannot be written.
        """
        if self._in_parts:
            self._write_part(name, node)
            return
        output = _path_of(self.output)
        to_store = output is not None and is_url(output)
        ranged = (self.offset, self.length) != ("0", None)
        if ranged or output == "-" or (self.force and not to_store):
            raise ValueError(
                f"{name}: a tree or a data set is written whole, to a path that is not there or a "
                "URL: without --offset, --length and -o -, and --force for URLs only"
            )
        if output is not None and to_store:
            from dgenfs.api.uploading import upload_directory

            with progress(name, node.size) as advance:
                upload_directory(node, open_store(output), advance, force=self.force)
            return
        from dgenfs.api.publishing import write_data_set, write_tree

        path = target(output, name)
        with progress(name, node.size) as advance:
            if isinstance(node, Directory):
                write_tree(node.spec, path, advance)
            else:
                write_data_set(node, path, advance)

    @property
    def _in_parts(self) -> bool:
        return self.resume or self.share != WHOLE or self.dask is not None

    def _write_part(self, name: str, node: "File | Directory | ProfileDirectory") -> None:
        if (self.offset, self.length) != ("0", None) or self.output == "-" or self.force:
            option = "--resume" if self.share == WHOLE else f"--part {self.share}"
            option = option if self.dask is None else f"--dask {self.dask}"
            raise ValueError(f"{option}: goes without --offset, --length, --force and -o -")
        if self.dask is not None and self.share != WHOLE:
            raise ValueError(f"--dask {self.dask}: writes all parts, so leave out --part")
        output = _path_of(self.output)
        if output is None or (not is_url(output) and isinstance(node, File)):
            where = str(target(output, name))
        elif not is_url(output):
            where = output  # the place itself, as it is there when the second part comes
        elif output.endswith("/") and isinstance(node, File):
            where = output + PurePath(name).name
        else:
            where = output
        if self.dask is not None:
            self._write_on_cluster(self.dask, name, node, where)
            return
        from dgenfs.distributed.writing import write_part

        with progress(name, node.size // self.share.count) as advance:
            write_part(node, where, self.share, resume=self.resume, progress=advance)

    def _write_on_cluster(
        self, address: str, name: str, node: "File | Directory | ProfileDirectory", where: str
    ) -> None:
        from dgenfs.distributed import gen
        from dgenfs.distributed.cluster import connected

        with connected(address) as client, progress(name, node.size) as advance:
            gen(client, node, where, resume=self.resume, progress=advance)

    def _write_stream(self, name: str, part: "View") -> None:
        from dgenfs.api.publishing import write_stream

        # As cat does: a reader that leaves ends us, without a word.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with progress(name, part.size) as advance, standard_output() as out:
            write_stream(part, out.fileno(), advance)

    def _upload(self, name: str, file: File, part: "View", url: str) -> None:
        from dgenfs.api.uploading import upload_file

        store = open_store(url)
        # Like cp, into a directory that is there.
        there = None if url.endswith("/") else store.info()
        if url.endswith("/") or (there is not None and there["type"] == "directory"):
            store = store.join(PurePath(name).name)
            require_own_name(store.url, file, part, url)
        with progress(name, part.size) as advance:
            upload_file(part, store, advance, force=self.force)


def _path_of(output: str | None) -> str | None:
    """Return what was given, a local file's path instead of its URL."""
    path = None if output is None else local_path(output)
    return output if path is None else path
