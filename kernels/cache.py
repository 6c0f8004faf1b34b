"""The block cache: content in slots of 4 MiB, filled on demand in extents of 64 KiB, LRU.

One per NUMA node, shared by the node's workers. A slot holds the block (content key, content offset
/ 4 MiB). Called by reads; the reference is tests/oracle.py, by way of the mount.

A block gets a slot only when it is asked for again while its number is among the recent ones, so a
stream costs a look-up and drives nothing out. These ghosts are the A1out of 2Q (Johnson, Shasha:
2Q, a low overhead high performance buffer management replacement algorithm, VLDB 1994). One lapses
when as many others came as there are slots: a set that does not fit is not kept in turns.

Invariants, all under the mutex: a slot is in the bucket chain of its block iff USED is set; all
slots are in the LRU list, most recently used first; a slot with PINS > 0 keeps its block. An extent
whose FILLED bit is set never changes while the slot keeps its block, so it is read without the
mutex. Ghosts need none. Two workers may fill the same extent at once: both write the same bytes.
"""

import contextlib
import mmap
from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from dgenfs.kernels.jit import inlined, kernel
from dgenfs.kernels.libc import mutex_lock, mutex_unlock

BLOCK = 4 << 20  # bytes
EXTENT = 64 << 10  # bytes; 64 of them are a block, one bit each
HUGE_PAGE = 2 << 20  # bytes
NONE = np.uint64(0xFFFFFFFFFFFFFFFF)

# Words of Cache.state; the mutex (pthread_mutex_t, 40 bytes on x86-64, 48 on aarch64) is first.
KEEPS_LARGE = 7  # whether reads of an extent and more are answered from it
NEWEST = 8
OLDEST = 9
RESIDENT = 10  # slots that hold a block
HITS = 11  # reads of a block that found all its extents
MISSES = 12
EVICTIONS = 13
COUNTED = slice(HITS, EVICTIONS + 1)
TURN = 16  # blocks that were asked for and were not known as ghosts; in a cache line of its own
STATE_WORDS = 24

# Columns of Cache.slots.
KEY = 0
NUMBER = 1  # of the block: content offset / BLOCK
FILLED = 2  # bit i: extent i holds content
PINS = 3  # reads that use the slot
NEWER = 4
OLDER = 5
CHAIN = 6  # next slot of the bucket
USED = 7
COLUMNS = 8

# Columns of Cache.ghosts; KEY and NUMBER are the same.
ASKED = 2  # bit i: extent i was asked for
END = 3  # of the read furthest on, bytes from the block's start
SMALL_READS = 4  # of less than an extent, that went back by one or more
ASKED_AT = 5  # TURN at the last read

# Reads of less than an extent that go back, until a block is kept: filling an extent of 64 KiB must
# come to less than generating 4 KiB so many times.
ENOUGH = np.uint64(64)

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_HASH = np.uint64(0x9E3779B97F4A7C15)
_S29 = np.uint64(29)
_EXTENTS_LAST = np.uint64(BLOCK // EXTENT - 1)


class Cache(NamedTuple):
    """The arrays of one cache.

    Attributes:
        state: uint64[STATE_WORDS].
        slots: uint64[slots, COLUMNS].
        ghosts: uint64[a power of two, COLUMNS], blocks asked for lately, by key and number.
        buckets: uint64[a power of two], first slot of each chain or NONE.
        data: uint8[slots * BLOCK]; memory is taken as extents are first filled.
    """

    state: NDArray[np.uint64]
    slots: NDArray[np.uint64]
    ghosts: NDArray[np.uint64]
    buckets: NDArray[np.uint64]
    data: NDArray[np.uint8]


CACHE = types.NamedTuple(
    (
        types.uint64[::1],
        types.uint64[:, ::1],
        types.uint64[:, ::1],
        types.uint64[::1],
        types.uint8[::1],
    ),
    Cache,
)


def new_cache(size: int, *, keeps_large: bool = True) -> Cache:
    """Return an empty cache.

    Args:
        size: bytes of content it may hold; whole blocks are used, none below BLOCK.
        keeps_large: whether reads of an extent and more are answered from it; else they go past it.
    """
    count = size // BLOCK
    state = np.zeros(STATE_WORDS, np.uint64)  # all zero is PTHREAD_MUTEX_INITIALIZER
    slots = np.zeros((count, COLUMNS), np.uint64)
    numbers = np.arange(count, dtype=np.uint64)
    slots[:, NEWER] = numbers - _ONE  # NONE for the first
    slots[:, OLDER] = numbers + _ONE
    slots[:, CHAIN] = NONE
    state[KEEPS_LARGE] = keeps_large
    state[NEWEST] = state[OLDEST] = NONE
    if count:
        slots[-1, OLDER] = NONE
        state[NEWEST], state[OLDEST] = 0, count - 1
    buckets = np.full(1 << (2 * count).bit_length(), NONE, np.uint64)
    ghosts = np.zeros((1 << (16 * count).bit_length(), COLUMNS), np.uint64)
    return Cache(state, slots, ghosts, buckets, _memory(count * BLOCK))


def _memory(size: int) -> NDArray[np.uint8]:
    """Return ``size`` bytes, resident only once touched, by the node's own workers: local to it.

    In huge pages where the kernel has them: a set that is read again and again needs more entries
    than the processor has for pages of 4 KiB.
    """
    if not size:
        return np.empty(0, np.uint8)
    memory = mmap.mmap(-1, size + HUGE_PAGE)
    with contextlib.suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    data = np.frombuffer(memory, np.uint8)
    start = -data.ctypes.data % HUGE_PAGE
    return data[start : start + size]


@inlined
def extents_between(start, end):
    """Return the bitmap (uint64) of the extents that bytes [start, end) of a block touch."""
    first = start // np.uint64(EXTENT)
    last = (end - _ONE) // np.uint64(EXTENT)
    return (NONE >> (_EXTENTS_LAST - last)) & (NONE << first)


@inlined
def _hash(key, number):
    z = (key ^ number) * _HASH
    return z ^ (z >> _S29)


@inlined
def _bucket(cache, key, number):
    return _hash(key, number) & np.uint64(cache.buckets.size - 1)


@kernel(types.boolean(CACHE, types.uint64, types.uint64, types.uint64, types.uint64))
def asked_again(cache, key, number, start, end):
    """Note that a block is asked for; return whether it is worth a slot.

    It is when all of these extents were asked for before, and fewer other blocks have been since
    than there are slots. Reads of less than an extent must be ENOUGH that go back by an extent or
    more, as those of a stream do not, even if some come out of order.

    Without the mutex: what two workers note at once of one ghost may be mixed up, and a block be
    kept too early or too late.

    Args:
        cache: Cache, with slots.
        key: uint64, the content's key.
        number: uint64, content offset / BLOCK.
        start: uint64, first byte of the block that is read.
        end: uint64, byte behind the last one.

    Returns:
        boolean.
    """
    wanted = extents_between(start, end)
    # Adjoining blocks never take each other's ghost, others seldom: there are 16 for each slot.
    index = (_hash(key, _ZERO) + number) & np.uint64(cache.ghosts.shape[0] - 1)
    ghost = cache.ghosts[index]
    turn = cache.state[TURN]
    known = ghost[KEY] == key and ghost[NUMBER] == number
    if not known or turn - ghost[ASKED_AT] >= np.uint64(cache.slots.shape[0]):
        turn += _ONE
        cache.state[TURN] = turn
        ghost[KEY] = key
        ghost[NUMBER] = number
        ghost[ASKED] = _ZERO
        ghost[END] = _ZERO
        ghost[SMALL_READS] = _ZERO
    again = wanted & ~ghost[ASKED] == _ZERO
    if again and end - start < np.uint64(EXTENT):
        if start + np.uint64(EXTENT) <= ghost[END]:
            ghost[SMALL_READS] += _ONE
        again = ghost[SMALL_READS] >= ENOUGH
    ghost[ASKED] |= wanted
    ghost[END] = max(ghost[END], end)
    ghost[ASKED_AT] = turn
    return again


@inlined
def _unlink(cache, slot):
    newer = cache.slots[slot, NEWER]
    older = cache.slots[slot, OLDER]
    if newer == NONE:
        cache.state[NEWEST] = older
    else:
        cache.slots[newer, OLDER] = older
    if older == NONE:
        cache.state[OLDEST] = newer
    else:
        cache.slots[older, NEWER] = newer


@inlined
def _make_newest(cache, slot):
    if cache.state[NEWEST] != slot:
        _unlink(cache, slot)
        newest = cache.state[NEWEST]
        cache.slots[slot, NEWER] = NONE
        cache.slots[slot, OLDER] = newest
        cache.slots[newest, NEWER] = slot
        cache.state[NEWEST] = slot


@inlined
def _leave_chain(cache, slot):
    bucket = _bucket(cache, cache.slots[slot, KEY], cache.slots[slot, NUMBER])
    at = cache.buckets[bucket]
    if at == slot:
        cache.buckets[bucket] = cache.slots[slot, CHAIN]
        return
    while cache.slots[at, CHAIN] != slot:
        at = cache.slots[at, CHAIN]
    cache.slots[at, CHAIN] = cache.slots[slot, CHAIN]


@kernel(
    types.UniTuple(types.uint64, 2)(CACHE, types.uint64, types.uint64, types.uint64, types.boolean)
)
def acquire(cache, key, number, wanted, may_fill):
    """Pin the slot of a block, so that it is not recycled until ``release``.

    Args:
        cache: Cache.
        key: uint64, the content's key.
        number: uint64, content offset / BLOCK.
        wanted: uint64, bitmap of the extents to be read.
        may_fill: boolean, whether the caller fills what is missing; else a block that lacks any of
            ``wanted`` is not pinned and takes no slot.

    Returns:
        uint64 each: the slot, NONE if there is none for this read; the wanted extents it lacks.
    """
    if cache.slots.shape[0] == 0:
        return NONE, wanted
    state = cache.state
    slots = cache.slots
    mutex_lock(state.ctypes.data)
    bucket = _bucket(cache, key, number)
    slot = cache.buckets[bucket]
    while slot != NONE and (slots[slot, KEY] != key or slots[slot, NUMBER] != number):
        slot = slots[slot, CHAIN]
    missing = wanted
    if slot != NONE:
        missing = wanted & ~slots[slot, FILLED]
    if missing == _ZERO:
        state[HITS] += _ONE
    else:
        state[MISSES] += _ONE
        if not may_fill:
            slot = NONE
        elif slot == NONE:
            slot = state[OLDEST]
            while slot != NONE and slots[slot, PINS] != _ZERO:
                slot = slots[slot, NEWER]
            if slot != NONE:
                if slots[slot, USED] != _ZERO:
                    _leave_chain(cache, slot)
                    state[EVICTIONS] += _ONE
                else:
                    state[RESIDENT] += _ONE
                slots[slot, KEY] = key
                slots[slot, NUMBER] = number
                slots[slot, FILLED] = _ZERO
                slots[slot, USED] = _ONE
                slots[slot, CHAIN] = cache.buckets[bucket]
                cache.buckets[bucket] = slot
    if slot != NONE:
        slots[slot, PINS] += _ONE
        _make_newest(cache, slot)
    mutex_unlock(state.ctypes.data)
    return slot, missing


@kernel(types.void(CACHE, types.uint64, types.uint64))
def release(cache, slot, filled):
    """Unpin ``slot`` (uint64) and mark the extents of the bitmap ``filled`` (uint64) as filled."""
    mutex_lock(cache.state.ctypes.data)
    cache.slots[slot, FILLED] |= filled
    cache.slots[slot, PINS] -= _ONE
    mutex_unlock(cache.state.ctypes.data)
