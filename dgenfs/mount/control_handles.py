"""Control files as files: their sizes, what each open shows, and what is written through one.

Programs that copy believe st_size: splice(2) ends there, and tar writes as many bytes. What is
shown changes from moment to moment, so it is padded to a size that does not, with blanks that JSON
and Prometheus pass over. The size leaves room; when that gets short it grows, before it is needed.
"""

import errno
import re
from collections import Counter

from pyfuse3 import FileHandleT, FUSEError

from dgenfs.kernels.ids import CONTROL
from dgenfs.mount.control import ControlFile

MOST_OF_A_USER = 128  # open control files
MOST = 1024  # of all users but the one who mounted
MOST_WRITTEN = 1 << 20  # bytes

ROOM = 512  # bytes that a report may grow by between two looks at it
_STEP = 1024  # bytes; sizes are multiples

_FIRST = CONTROL | CONTROL >> 1  # handle; others of the control plane are below
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+("?)', re.DOTALL)  # or the start of one, to the end


class _Open:
    """An open control file.

    Attributes:
        file: which.
        user: who opened it.
        shown: what is read.
        written: what was written, but for what was taken.
        taken: whether something was.
    """

    def __init__(self, file: ControlFile, user: int, shown: bytes) -> None:
        self.file = file
        self.user = user
        self.shown = shown
        self.written = bytearray()
        self.taken = False


class ControlHandles:
    """The open control files; for one thread."""

    def __init__(self, owner: int) -> None:
        """Let each user have some open, and ``owner`` in any case."""
        self._owner = owner
        self._open: dict[int, _Open] = {}
        self._users: Counter[int] = Counter()
        self._next = _FIRST
        self._sizes: dict[bytes, int] = {}

    def __contains__(self, fh: int) -> bool:
        """Return whether a handle is one of a control file, open or not."""
        return fh >= _FIRST

    def size(self, file: ControlFile) -> int:
        """Return st_size, bytes: as much as an open shows."""
        if file.name not in self._sizes:
            self._show(file)
        return self._sizes[file.name]

    def open(self, file: ControlFile, user: int, *, reads: bool) -> FileHandleT:
        """Return a handle on what there is to show now.

        Raises:
            FUSEError: EMFILE, ``user`` has too many; ENFILE, all users have.
        """
        if self._users[user] >= MOST_OF_A_USER:
            raise FUSEError(errno.EMFILE)
        others = len(self._open) - self._users[self._owner]
        if user != self._owner and others >= MOST:
            raise FUSEError(errno.ENFILE)
        opened = _Open(file, user, self._show(file) if reads else b"")
        handle = self._next
        self._next += 1
        self._open[handle] = opened
        self._users[user] += 1
        return FileHandleT(handle)

    def read(self, fh: int, offset: int, size: int) -> bytes:
        """Return a part of what is shown."""
        return self._opened(fh).shown[offset : offset + size]

    async def write(self, fh: int, data: bytes) -> None:
        """Take what was written when it is whole, wherever in the file it was written to.

        Shells write line by line, and Linux 4 KiB at once. It is whole when the object that it
        starts with ends, or if it starts with none.

        Raises:
            FUSEError: EINVAL, it is whole and nothing to take; EROFS; EFBIG.
        """
        opened = self._opened(fh)
        opened.written += data
        if len(opened.written) > MOST_WRITTEN:
            opened.written.clear()
            raise FUSEError(errno.EFBIG)
        if _is_whole(bytes(opened.written)):
            await self._take(opened)

    def flush(self, fh: int) -> None:
        """Say at close(2) that what was written is not whole.

        It may go on: a shell closes what it hands on to each command that writes a part of it.

        Raises:
            FUSEError: EINVAL.
        """
        opened = self._opened(fh)
        rest = bytes(opened.written)
        if rest.strip() or (rest and not opened.taken):
            opened.file.refuse(rest)
            raise FUSEError(errno.EINVAL)

    def release(self, fh: int) -> None:
        """Forget a handle."""
        opened = self._open.pop(fh, None)
        if opened is not None:
            self._users[opened.user] -= 1
            if not self._users[opened.user]:
                del self._users[opened.user]

    async def _take(self, opened: _Open) -> None:
        written = bytes(opened.written)
        opened.written.clear()
        await opened.file.write(written)
        opened.taken = True
        del self._sizes[opened.file.name]  # what was set may need more room, or less
        self._show(opened.file)

    def _show(self, file: ControlFile) -> bytes:
        report = file.read()
        size = self._sizes.get(file.name, 0)
        if len(report) + ROOM > size:
            size = -(-(len(report) + 2 * ROOM) // _STEP) * _STEP
            self._sizes[file.name] = size
        return report + b" " * (size - len(report) - 1) + b"\n"

    def _opened(self, fh: int) -> _Open:
        if fh not in self._open:
            raise FUSEError(errno.EBADF)
        return self._open[fh]


def _is_whole(text: bytes) -> bool:
    start = text.lstrip()[:1]
    if start != b"{":
        return start != b""
    rest = _STRING.sub(lambda string: b"" if string[1] else b'"', text)
    return b'"' not in rest and rest.count(b"{") <= rest.count(b"}")
