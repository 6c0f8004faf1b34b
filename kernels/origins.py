"""Origins: which content words are of, and where in it they stand.

Called by damage, for sectors that are wrong. The reference is tests/oracle.py: the tests know where
the words are from.

Every step of the word function is a bijection of 64 bits, and all words stand on one cycle, whose
next place is the next word of any content: a word tells its place without a key (``place_of``), and
a key says where on the cycle a content begins. So one search of a sector finds the words that are
followed by their next ones, whatever content they are of, and their place says whose they can be:
by a look-up, however many there are. Words of another content pass with a chance of
(words of the content) / 2^64, and then they truly are words of this content; that the word behind
is the next one rules out other bytes.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dgenfs.kernels.jit import BYTES, ROW, inlined, kernel
from dgenfs.kernels.row import KEY, PERIOD, SECTOR_WORDS, WORD
from dgenfs.kernels.words import INVERSE_GAMMA, neighbors, place_of, trailing_zeros

NOT_FOUND = np.uint64(0xFFFFFFFFFFFFFFFF)  # above every period
OWN = -1  # the content itself, not one of the others
NOBODY = -2

_SEARCHED = WORD * (SECTOR_WORDS + 2) - 1  # bytes that ``neighbors`` reads at all alignments
_ALL = NOT_FOUND  # bits
_WORD = np.uint64(WORD)
_NONE = np.uint64(0)
_ONE = np.uint64(1)
_BITS = np.uint64(64)
_BYTE_BITS = np.uint64(8)


class Others(NamedTuple):
    """Contents that differ from one in their key only, and are to be recognized.

    Attributes:
        starts: uint64[n], the places on the cycle of their first words, in order.
        ranks: int64[n]; words that may be of several are taken for those of the lowest rank.
    """

    starts: NDArray[np.uint64]
    ranks: NDArray[np.int64]


OTHERS = types.NamedTuple((types.uint64[::1], types.int64[::1]), Others)


def others_of(keys: NDArray[np.uint64]) -> Others:
    """Return the contents of ``keys`` (uint64[n]), ranked in this order."""
    starts = keys * INVERSE_GAMMA + _ONE
    ranks = np.argsort(starts, kind="stable")
    return Others(starts[ranks], ranks)


@inlined
def add_modulo(a, b, period):
    """Return ``(a + b) % period`` (uint64), for ``a < period`` and ``b <= period`` (uint64).

    The plain sum of two content offsets may pass 2^64.
    """
    rest = period - b
    return a - rest if a >= rest else a + b


@inlined
def load_word(buf, at):
    """Return the little-endian word (uint64) at ``buf[at : at + 8]``, at any alignment."""
    word = np.uint64(0)
    for i in range(WORD):
        word |= np.uint64(buf[at + i]) << (_BYTE_BITS * np.uint64(i))
    return word


@inlined
def skipped(number, length, words):
    """Return how many of ``length`` (uint64) words stand before the first one of a content.

    Args:
        number: uint64, the first one's number in the content, modulo 2^64.
        length: uint64.
        words: uint64, of the content.

    Returns:
        uint64, ``length`` if none of them is of the content.
    """
    if number < words:
        return _NONE
    return min(_NONE - number, length)


@kernel(types.UniTuple(types.int64, 2)(types.uint64, types.uint64, types.uint64, OTHERS))
def find_other(place, length, words, others):
    """Return which of the others words can be of: the one of the lowest rank.

    Args:
        place: uint64, of the first word on the cycle.
        length: uint64, words, at least 1.
        words: uint64, of each content.
        others: Others.

    Returns:
        int64 each: its index, NOBODY for none; how many words stand before its first one.
    """
    top = place + length - _ONE
    reach = words + length - _ONE
    count = others.starts.size
    low = np.int64(0)
    high = np.int64(count)
    while low < high:
        middle = (low + high) // 2
        if others.starts[middle] <= top:
            low = middle + 1
        else:
            high = middle
    found = np.int64(NOBODY)
    before = np.int64(0)
    # From the last one that starts at or before the last word backwards, around the cycle.
    for k in range(low - 1, low - 1 - count, -1):
        start = others.starts[k]  # a negative index counts from the end
        if top - start >= reach:
            break
        if found == NOBODY or others.ranks[k] < others.ranks[found]:
            found = np.int64(k + count if k < 0 else k)
            before = np.int64(skipped(place - start, length, words))
    return found, before


@kernel(
    types.UniTuple(types.int64, 3)(
        BYTES, types.int64, types.int64, types.uint64, types.uint64, types.uint64, OTHERS
    )
)
def search(buf, start, stop, own, first, words, others):
    """Find the first two words that are neighbors in a content; ``locate`` says more.

    Args:
        buf: uint8[::1], with _SEARCHED bytes from ``start`` on.
        start: int64, index.
        stop: int64, index behind the last byte at which a pair may start.
        own: uint64, as for ``locate``.
        first: uint64, place of the content's first word on the cycle.
        words: uint64, of the content.
        others: Others.

    Returns:
        int64 each: whose they are, as for ``locate``; index of the first word; its number in that
        content, a uint64 in an int64's bits.
    """
    found = np.int64(NOBODY)
    found_at = np.int64(0)
    found_place = np.uint64(0)
    for alignment in range(WORD):
        count = (stop - start - alignment + WORD - 1) // WORD
        if count <= 0:
            break
        pairs = neighbors(buf, start + alignment) & (_ALL >> (_BITS - np.uint64(count)))
        while pairs != _NONE:
            # All pairs of a run are of one content and stand in one place.
            begin = trailing_zeros(pairs)
            length = trailing_zeros(~(pairs >> begin))
            at = start + alignment + WORD * np.int64(begin)
            place = place_of(load_word(buf, at))
            before = skipped(place - first, length, words)
            number = place + before - first
            right = own != NOT_FOUND and number * _WORD == own + np.uint64(at - start)
            if before < length and not right:
                return np.int64(OWN), at + WORD * np.int64(before), np.int64(number)
            if others.starts.size > 0 and not right:
                other, skip = find_other(place, length, words, others)
                if other != NOBODY and (
                    found == NOBODY or others.ranks[other] < others.ranks[found]
                ):
                    found = other
                    found_at = at + WORD * skip
                    found_place = place + np.uint64(skip)
            end = begin + length
            pairs = (pairs >> end) << end if end < _BITS else _NONE
    if found != NOBODY:
        found_place -= others.starts[found]
    return found, found_at, np.int64(found_place)


@kernel(
    types.Tuple((types.int64, types.uint64))(
        BYTES, types.int64, types.int64, types.uint64, ROW, OTHERS
    )
)
def locate(buf, start, stop, own, row, others):
    """Return the content offset that ``buf[start]`` belongs to, by any two random words behind it.

    Args:
        buf: uint8[::1].
        start: int64, index of the first byte to look at.
        stop: int64, index behind the last byte at which a pair of words may start, at most
            ``start + 512``; the pair itself may end up to 15 bytes later if ``buf`` does.
        own: uint64, the content offset of ``buf[start]``, whose words are passed over; NOT_FOUND to
            pass over none.
        row: uint64[ROW_WORDS], of the content to look in first.
        others: Others, contents to look in if no pair is of that one.

    Returns:
        int64, index of the other content, OWN for the content itself, NOBODY if no such pair is
        there; uint64, bytes, below the period, NOT_FOUND if none is there.
    """
    period = row[PERIOD]
    first = row[KEY] * INVERSE_GAMMA + _ONE
    if start + _SEARCHED <= buf.size:
        owner, at, number = search(buf, start, stop, own, first, period // _WORD, others)
    else:
        near_end = np.zeros(_SEARCHED, np.uint8)
        near_end[: buf.size - start] = buf[start:]
        stop = min(stop, np.int64(buf.size) - 2 * WORD + 1)
        owner, at, number = search(near_end, 0, stop - start, own, first, period // _WORD, others)
        at += start
    if owner == NOBODY:
        return owner, NOT_FOUND
    ahead = np.uint64(at - start) % period
    return owner, add_modulo(np.uint64(number) * _WORD, period - ahead, period)
