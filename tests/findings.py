"""What verify must find in wrong bytes, slow and obvious: what its kernels are compared with.

Written from what docs/behaviour.md says of damage; shares no code with the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import oracle

ALL = 2**64
GAMMA, FIRST, SECOND = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


@dataclass
class Finding:
    """Adjoining wrong sectors of a kind.

    Attributes:
        start: index of the first wrong byte.
        end: index behind the last.
        kind: zeros, misplaced, other seed, bit flips or unknown.
        ahead: how far behind their place the bytes belong, bytes of content, modulo the period.
        whose: index among the other contents, 0 if it is of none.
    """

    start: int
    end: int
    kind: str
    ahead: int
    whose: int
    wrong_bytes: int = 0
    wrong_bits: int = 0


def number_of(word: int, key: int) -> int:
    """The number of a word in the content of a key."""
    z = unshifted(word, 31) * pow(SECOND, -1, ALL) % ALL
    z = unshifted(z, 27) * pow(FIRST, -1, ALL) % ALL
    return ((unshifted(z, 30) - key) * pow(GAMMA, -1, ALL) - 1) % ALL


def unshifted(y: int, bits: int) -> int:
    x = y
    for _ in range(64 // bits):
        x = y ^ (x >> bits)
    return x


def period_of(content: oracle.Content) -> int:
    return content.content_units * content.unit


def read(content: oracle.Content, offset: int, length: int) -> bytes:
    """Content bytes from ``offset`` on, over the period's end."""
    found = b""
    while len(found) < length:
        sector, within = divmod((offset + len(found)) % period_of(content), 512)
        found += oracle.sector_bytes(content, sector)[within:][: length - len(found)]
    return found


def findings(
    data: bytes, offset: int, content: oracle.Content, others: Sequence[oracle.Content]
) -> list[Finding]:
    """What is wrong in ``data``, which should be ``content`` from ``offset`` on."""
    found: list[Finding] = []
    before: Finding | None = None  # which the sector before ended
    at = 0
    while at < len(data):
        length = min(512 - (offset + at) % 512, len(data) - at)
        sector = data[at : at + length]
        right = read(content, offset + at, length)
        wrong = [i for i in range(length) if sector[i] != right[i]]
        if wrong:
            bits = sum((sector[i] ^ right[i]).bit_count() for i in wrong)
            what = Finding(
                at + wrong[0], 0, *kind_of(data, offset, at, wrong, bits, before, content, others)
            )
            if before is None or (before.kind, before.ahead, before.whose) != (
                what.kind,
                what.ahead,
                what.whose,
            ):
                found.append(what)
            before = found[-1]
            before.end = at + wrong[-1] + 1
            before.wrong_bytes += len(wrong)
            before.wrong_bits += bits
        else:
            before = None
        at += length
    return found


def kind_of(
    data: bytes,
    offset: int,
    at: int,
    wrong: list[int],
    bits: int,
    before: Finding | None,
    content: oracle.Content,
    others: Sequence[oracle.Content],
) -> tuple[str, int, int]:
    """Kind, ``ahead`` and ``whose`` of the wrong sector at ``data[at]``."""
    length = min(512 - (offset + at) % 512, len(data) - at)
    if before is not None and before.kind in ("misplaced", "other seed"):
        whose = content if before.kind == "misplaced" else others[before.whose]
        if data[at : at + length] == read(whose, offset + at + before.ahead, length):
            return before.kind, before.ahead, before.whose
    if bits > len(wrong) and all(data[at + i] == 0 for i in wrong):
        return "zeros", 0, 0
    first = at + wrong[0]
    start = max(at, first - (offset + first) % 8)
    last = min(at + wrong[-1], len(data) - 16)
    for index, one in enumerate((content, *others), -1):
        for place in sorted(range(start, last + 1), key=lambda p: ((p - start) % 8, p)):
            if data[place : place + 8] == right_word(content, offset + place):
                continue  # it says nothing of the wrong bytes
            two = (data[place : place + 8], data[place + 8 : place + 16])
            number, following = (number_of(int.from_bytes(w, "little"), one.key) for w in two)
            if 8 * number < period_of(content) and following == number + 1:
                ahead = (8 * number - offset - place) % period_of(content)
                return ("misplaced", ahead, 0) if index < 0 else ("other seed", ahead, index)
    few = bits <= max(8, 2 * len(wrong))
    return ("bit flips" if few else "unknown"), 0, 0


def right_word(content: oracle.Content, offset: int) -> bytes | None:
    """The word that belongs at ``offset``, None where none starts or it is not a random one."""
    return None if offset % 8 else read(content, offset, 8)
