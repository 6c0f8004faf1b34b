"""The block cache against a cache that is obviously one, without a mount."""

import ctypes
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import oracle
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dgenfs import Spec
from dgenfs.kernels import cache as kernel
from dgenfs.kernels.cache import (
    BLOCK,
    EXTENT,
    NONE,
    acquire,
    asked_again,
    extents_between,
    new_cache,
    release,
)
from dgenfs.kernels.digests import ENDLESS
from dgenfs.kernels.reads import finish, prepare
from dgenfs.kernels.scratch import SLICES, new_scratch

bitmaps = st.integers(1, 2**64 - 1) | st.sampled_from([1, 2, 3, 1 << 63, 2**64 - 1])


@dataclass
class Block:
    slot: int
    filled: int = 0
    pins: int = 0


class Lru(RuleBasedStateMachine):
    """Blocks in order of use, the most recently used last."""

    @initialize(slots=st.integers(0, 5))
    def start(self, slots: int) -> None:
        self.count = slots
        self.cache = new_cache(slots * BLOCK + BLOCK - 1)
        self.blocks: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self.pinned: list[tuple[tuple[int, int], int, int]] = []
        self.hits = self.misses = self.evictions = 0

    @rule(
        key=st.sampled_from([0, 1, 2**64 - 1]),
        number=st.integers(0, 4),
        wanted=bitmaps,
        may_fill=st.booleans(),
    )
    def acquire(self, key: int, number: int, wanted: int, may_fill: bool) -> None:
        slot, missing = acquire(
            self.cache, np.uint64(key), np.uint64(number), np.uint64(wanted), may_fill
        )
        if self.count == 0:
            assert (slot, missing) == (NONE, wanted)
            return
        block = self.blocks.get((key, number))
        lacks = wanted if block is None else wanted & ~block.filled
        assert missing == lacks
        if lacks == 0:
            self.hits += 1
        else:
            self.misses += 1
        if lacks and not may_fill:
            assert slot == NONE
            return
        if block is None:
            free = [name for name, other in self.blocks.items() if other.pins == 0]
            if len(self.blocks) == self.count:
                if not free:
                    assert slot == NONE
                    return
                # The least recently used that nobody reads makes room.
                gone = self.blocks.pop(free[0])
                self.evictions += 1
                assert slot == gone.slot
            block = self.blocks[key, number] = Block(int(slot))
        assert slot == block.slot
        block.pins += 1
        self.blocks.move_to_end((key, number))
        self.pinned.append(((key, number), int(slot), int(missing)))

    @precondition(lambda self: self.pinned)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        name, slot, missing = self.pinned.pop(data.draw(st.integers(0, len(self.pinned) - 1)))
        filled = missing if data.draw(st.booleans()) else 0
        release(self.cache, np.uint64(slot), np.uint64(filled))
        block = self.blocks[name]
        block.filled |= filled
        block.pins -= 1

    @invariant()
    def the_same(self) -> None:
        if not hasattr(self, "cache"):
            return
        state, slots = self.cache.state, self.cache.slots
        counts = [int(state[i]) for i in (kernel.HITS, kernel.MISSES, kernel.EVICTIONS)]
        assert counts == [self.hits, self.misses, self.evictions]
        assert state[kernel.RESIDENT] == len(self.blocks)
        used = {
            (int(row[kernel.KEY]), int(row[kernel.NUMBER])): Block(
                slot, int(row[kernel.FILLED]), int(row[kernel.PINS])
            )
            for slot, row in enumerate(slots)
            if row[kernel.USED]
        }
        assert used == dict(self.blocks)
        order = []
        slot = state[kernel.NEWEST]
        while slot != NONE:
            order.append(int(slot))
            slot = slots[int(slot), kernel.OLDER]
        assert sorted(order) == list(range(self.count))
        assert order[: len(self.blocks)] == [block.slot for block in reversed(self.blocks.values())]


TestLru = Lru.TestCase
TestLru.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize(
    ("size", "slots"), [(0, 0), (BLOCK - 1, 0), (BLOCK, 1), (5 * BLOCK + 7, 5)]
)
def test_whole_blocks_only(size: int, slots: int) -> None:
    cache = new_cache(size)
    assert cache.slots.shape == (slots, kernel.COLUMNS)
    assert cache.data.size == slots * BLOCK
    assert cache.buckets.size & (cache.buckets.size - 1) == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0, EXTENT), (EXTENT - 1, EXTENT + 1), (0, BLOCK), (BLOCK - 1, BLOCK), (5, 3_000_000)],
)
def test_extents(start: int, end: int) -> None:
    expected = sum(1 << i for i in range(64) if start < (i + 1) * EXTENT and end > i * EXTENT)
    assert extents_between(np.uint64(start), np.uint64(end)) == expected


def test_a_pinned_slot_is_never_recycled_by_other_threads() -> None:
    """Threads write what they hold and find it as they left it."""
    cache = new_cache(2 * BLOCK)

    def work(number: int) -> int:
        held = 0
        for turn in range(3000):
            block = np.uint64((number * 7 + turn) % 5)
            slot, missing = acquire(cache, np.uint64(1), block, np.uint64(1), True)
            if slot == NONE:
                continue
            at = int(slot) * BLOCK
            if missing:
                cache.data[at : at + 64] = int(block) + 1
            assert (cache.data[at : at + 64] == int(block) + 1).all()
            release(cache, slot, missing)
            held += 1
        return held

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) > 0
    assert (cache.slots[:, kernel.PINS] == 0).all()


def again(cache: kernel.Cache, at: int, length: int, key: int = 7) -> bool:
    """Ask for bytes of a content that lie in one block."""
    number, start = divmod(at, BLOCK)
    numbers = map(np.uint64, (key, number, start, start + length))
    return bool(asked_again(cache, *numbers))


@pytest.mark.parametrize("length", [1, 4096, 100_000, EXTENT, 1 << 20, BLOCK])
@pytest.mark.parametrize("slots", [1, 8])
def test_a_stream_is_never_kept(length: int, slots: int) -> None:
    cache = new_cache(slots * BLOCK)
    for number in range(20):
        for start in range(0, min(BLOCK, 300 * length), length):
            end = min(start + length, BLOCK)
            assert not again(cache, number * BLOCK + start, end - start)


@pytest.mark.parametrize("length", [EXTENT, 1 << 20])
def test_what_fits_is_kept_when_it_is_asked_for_again(length: int) -> None:
    cache = new_cache(8 * BLOCK)
    for turn in range(3):
        for at in range(0, 8 * BLOCK, length):
            assert again(cache, at, length) == (turn > 0)


def test_a_set_that_does_not_fit_is_not_kept_in_turns() -> None:
    cache = new_cache(8 * BLOCK)
    for _ in range(3):
        for at in range(0, 9 * BLOCK, 1 << 20):
            assert not again(cache, at, 1 << 20)


@pytest.mark.parametrize("length", [128 << 10, 1 << 20])
def test_two_clients_whose_sets_fit_together(length: int) -> None:
    """Their reads take turns; each block is one more, not each turn."""
    cache = new_cache(8 * BLOCK)
    for turn in range(3):
        for at in range(0, 4 * BLOCK, length):
            assert again(cache, at, length, key=1) == (turn > 0)
            assert again(cache, at, length, key=2) == (turn > 0)


@pytest.mark.parametrize(("length", "offset"), [(4096, 0), (300_000, 0), (128 << 10, 512)])
def test_a_stream_out_of_order_is_not_kept(length: int, offset: int) -> None:
    """One read in ten comes before the one ahead of it, as from several threads."""
    cache = new_cache(16 * BLOCK)
    source = np.random.default_rng(1)
    for block in range(16):
        starts = list(range(block * BLOCK + offset, (block + 1) * BLOCK - length, length))
        for i in source.integers(1, len(starts), len(starts) // 10):
            starts[i - 1], starts[i] = starts[i], starts[i - 1]
        assert sum(again(cache, start, length) for start in starts) == 0


def test_contents_are_told_apart() -> None:
    cache = new_cache(8 * BLOCK)
    assert not again(cache, 0, 1 << 20, key=1)
    assert not again(cache, 0, 1 << 20, key=2)
    assert again(cache, 0, 1 << 20, key=2)


def test_other_extents_of_a_block_are_new() -> None:
    cache = new_cache(BLOCK)
    assert not again(cache, 0, EXTENT)
    assert not again(cache, EXTENT, EXTENT)
    assert again(cache, 0, EXTENT)
    assert again(cache, EXTENT, EXTENT)
    assert not again(cache, 2 * EXTENT, EXTENT)


def test_small_reads_must_be_many() -> None:
    cache = new_cache(2 * BLOCK)
    source = np.random.default_rng(1)
    found = [again(cache, int(at) * 4096, 4096) for at in source.integers(0, 1024, 3000)]
    first = found.index(True)
    assert int(kernel.ENOUGH) <= first < 4 * int(kernel.ENOUGH)
    # From then on all that go back are.
    assert sum(found[first:]) > 0.9 * len(found[first:])


def test_a_hot_block_beside_a_stream() -> None:
    """The stream takes a turn for each of its blocks only."""
    cache = new_cache(4 * BLOCK)
    kept = [
        (again(cache, 0, 1 << 20), again(cache, at, 1 << 20))
        for at in range(BLOCK, 50 * BLOCK, 1 << 20)
    ]
    assert [hot for hot, _ in kept] == [False, *[True] * (len(kept) - 1)]
    assert not any(stream for _, stream in kept)


def test_large_reads_go_past_a_cache_that_does_not_pay() -> None:
    """Their bytes are right either way; small ones use it."""
    content = oracle.parse("40M_d2_c1.5")
    row = Spec.parse("40M_d2_c1.5").layout.row
    scratch = new_scratch()
    for keeps_large in (True, False):
        cache = new_cache(2 * BLOCK, keeps_large=keeps_large)

        def read(cache: kernel.Cache, offset: int, length: int) -> bytes:
            numbers = map(np.uint64, (0, offset, length))
            slices = prepare(row, *numbers, cache, scratch, ENDLESS)
            places = scratch.words[SLICES + 2 : SLICES + 2 + 2 * slices].tolist()
            data = b"".join(map(ctypes.string_at, places[::2], places[1::2]))
            finish(cache, scratch, slices)
            return data

        for _ in range(3):
            for offset, length in (
                (5, 1 << 20),
                (BLOCK - EXTENT, 2 * EXTENT),
                (3 * EXTENT, EXTENT),
            ):
                assert read(cache, offset, length) == oracle.read(content, 0, offset, length)
        assert (int(cache.state[kernel.RESIDENT]) > 0) == keeps_large
        for turn in range(3 * int(kernel.ENOUGH)):
            offset = 7919 * (turn % 32)
            assert read(cache, offset, 4096) == oracle.read(content, 0, offset, 4096)
        assert int(cache.state[kernel.RESIDENT]) > 0
        assert int(cache.state[kernel.HITS]) > 0
