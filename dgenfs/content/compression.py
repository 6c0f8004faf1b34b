"""The compression ratio that codecs will reach."""

from dataclasses import dataclass

from dgenfs.content.layout import Layout
from dgenfs.kernels.row import SECTOR


@dataclass(frozen=True, slots=True)
class Codec:
    """How far back a codec finds repeated bytes, and what it writes for them.

    Attributes:
        name: for people.
        window: bytes that a repetition may be back.
        match: bytes that one byte written stands for, in a long repetition.
    """

    name: str
    window: int
    match: int


CODECS = (
    # The length of a match is written in bytes of 255; the distance in 16 bits.
    Codec("lz4", 65535, 255),
    # About 10 bytes for a block of 128 KiB. Level 3; higher levels look further back.
    Codec("zstd", 2 << 20, 13000),
    # A match is 258 bytes at most and takes about 14 bits: a code, and 10 to 13 of its distance.
    # The window lacks what the longest match may need ahead (zlib's MIN_LOOKAHEAD).
    Codec("deflate", (32 << 10) - 262, 150),
)


def compression(layout: Layout, codec: Codec, chunk: int) -> float:
    """Return about the ratio of a codec that compresses each chunk of a file alone.

    What repeats within the chunk and not too far back costs next to nothing. Codecs are from the
    ratio without repetition as far as from ``layout.effective_compress``, see docs/format.md.

    Args:
        layout: the numbers of the content.
        codec: what compresses.
        chunk: bytes; as many as a file has for a stream.
    """

    def compressed(length: int) -> float:
        repeated = max(0, length - layout.period) if layout.period <= codec.window else 0
        sectors, rest = divmod(length - repeated, SECTOR)
        sector = SECTOR / layout.effective_compress  # its random words come first
        return sectors * sector + min(rest, sector) + repeated / codec.match

    whole, tail = divmod(layout.size, chunk)
    size = whole * compressed(chunk) + compressed(tail)
    return layout.size / size if size else layout.effective_compress
