"""What the request loop must do, in plain Python and with the oracle."""

import errno
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import oracle


class Wrong(AssertionError):  # noqa: N818
    """The loop did something else than the model."""


@dataclass
class Name:
    """A name of the root and what it holds.

    Attributes:
        inode: of the file or the tree.
        content: as the oracle has it.
        whole: all bytes, of a plain file that is small enough.
    """

    text: str
    inode: int
    content: oracle.Content
    whole: bytes | None

    def read(self, file: int, offset: int, length: int) -> bytes:
        if self.whole is not None:
            return self.whole[offset : offset + length]
        return oracle.read(self.content, file, offset, length)


@dataclass
class Expected:
    """What must come of a batch.

    Attributes:
        replies: by unique, what checks the reply.
        forwarded: messages for the control plane.
        either: by unique, messages that may be forwarded or answered.
    """

    replies: dict[int, Callable[[bytes], None]] = field(default_factory=dict)
    forwarded: Counter[bytes] = field(default_factory=Counter)
    either: dict[int, bytes] = field(default_factory=dict)


def error_of(number: int) -> Callable[[bytes], None]:
    """What checks a reply that is an error."""

    def check(reply: bytes) -> None:
        length, error = struct.unpack_from("<Ii", reply)
        if (len(reply), length, error) != (16, 16, -number):
            raise Wrong(f"{len(reply)} B with error {error} for {errno.errorcode.get(number, 0)}")

    return check


def data_of(data: bytes) -> Callable[[bytes], None]:
    """What checks a reply with data."""

    def check(reply: bytes) -> None:
        length, error = struct.unpack_from("<Ii", reply)
        if (length, error) != (len(reply), 0) or reply[16:] != data:
            raise Wrong(f"{len(reply)} B, header {length} and {error}, for {len(data)} B of data")

    return check
