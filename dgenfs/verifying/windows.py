"""Windows: which bytes of a file a copy holds or is asked for, and where in the copy they are."""

from dataclasses import dataclass

from dgenfs.names.share import WHOLE, Share


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes of a file, in a copy.

    Attributes:
        offset: of the first one in the file.
        length: bytes.
        at: offset of the first one in the copy.
        ends: whether nothing may follow them in the copy.
    """

    offset: int
    length: int
    at: int
    ends: bool

    @staticmethod
    def of(size: int, share: Share = WHOLE) -> "Window":
        """Return what of a file of ``size`` bytes, wholly in its copy, is in a part."""
        start, end = share.range(size)
        return Window(start, end - start, start, share.last)

    @property
    def end(self) -> int:
        """Offset behind the last byte in the file."""
        return self.offset + self.length

    @property
    def shift(self) -> int:
        """Bytes from an offset in the file to the same byte's in the copy."""
        return self.at - self.offset

    def require_within(self, size: int, name: str) -> None:
        """Raise ValueError if it passes the end of a file of ``size`` bytes, called ``name``."""
        if self.end > size:
            said = f"offset {self.offset} and length {self.length}"
            raise ValueError(f"{said}: {name} ends at {size}")
