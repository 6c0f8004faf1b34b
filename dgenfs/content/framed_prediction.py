"""The dedup ratio that stores of fixed chunks will report of containers."""

import functools
import math
import random

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.chunkers import Chunker, Expected, content_defined_dedup, is_fixed
from dgenfs.content.containers.frames import Container
from dgenfs.content.framed_chunks import Chunks, Cutter, hashed
from dgenfs.content.framing import Framing, Places
from dgenfs.content.layout import Layout
from dgenfs.content.prediction import distinct_chunks

MOST = 1 << 18  # chunks that are told apart one by one, in 0.1 to 0.2 s
_FEW = 0.01  # of own bytes, with which content-defined chunks are as those of content alone
SAMPLED = 0.01  # how far the ratio may be off, as a part of it, where only some chunks are

# Of a sample: windows of the content, and about how often files show one, together.
_LEAST_WINDOWS, _MOST_WINDOWS, _SHOWN_WINDOWS = 1 << 4, 1 << 10, 1 << 16


def framed_dedup(layout: Layout, container: Container, chunk: int, most: int = MOST) -> Expected:
    """Return the dedup ratio of a store that cuts each file into chunks of one size.

    Two chunks are the same if their own bytes are, and what they show of the payload begins at the
    same place of the content. Up to ``most`` chunks are told apart by that, and any number where
    the payload is in one piece; else a sample is taken. Some chunks show so little payload that
    chance may make them the same: the ratio is then in the midst of what it can be.

    Args:
        layout: the numbers of the content.
        container: the file.
        chunk: bytes, a multiple of 512.
        most: chunks that are told apart one by one.
    """
    if not container.payload:
        return Expected(1.0, 0.0)  # an index: all its lines differ
    return _Store(layout, container, chunk).dedup(most)


def framed_content_defined(
    layout: Layout, container: Container, chunker: Chunker
) -> Expected | None:
    """Return about the dedup ratio of a store with content-defined chunks.

    None where the format's own bytes are too many, or stand amid content that repeats.
    """
    one_hole = [run.count for run in container.runs if run.payload is not None] == [1]
    whole_files = layout.content_units % layout.units_per_file == 0
    few = container.size - container.payload <= _FEW * container.size
    if not few or not (one_hole or whole_files):
        return None
    if is_fixed(layout, chunker):
        return framed_dedup(layout, container, chunker.least)
    return content_defined_dedup(layout, chunker)


class _Store:
    def __init__(self, layout: Layout, container: Container, chunk: int) -> None:
        self._layout = layout
        self._framing = Framing(container)
        self._cutter = Cutter(layout, self._framing, chunk)
        self._container = container
        m, u = layout.units_per_file, layout.content_units
        self._files = min(layout.files, u // math.gcd(m, u))  # that differ
        # No two of those show the same content, and none shows some of it twice.
        self._apart = u % m == 0
        files = 1 if self._apart else self._files
        self._starts = [file * layout.stride % layout.period for file in range(files)]

    def dedup(self, most: int) -> Expected:
        if len(self._starts) * self._cutter.count <= most:
            return self._between(self._stored(self._cutter.cut(np.arange(self._cutter.count))))
        if [run.count for run in self._container.runs if run.payload is not None] == [1]:
            return self._between(self._stored_with_one_hole())
        return self._sampled(most // 2)

    def _between(self, stored: NDArray[np.float64]) -> Expected:
        """Return what is in the midst of two ratios, each given as bytes of distinct chunks."""
        total = self._layout.files * self._container.size
        ratios = [total / float(one) for one in stored]
        return Expected(sum(ratios) / 2, (max(ratios) - min(ratios)) / sum(ratios))

    def _stored(self, chunks: Chunks) -> NDArray[np.float64]:
        """Return the bytes of distinct chunks: the most, and the least, that chance makes them."""
        stored = np.zeros(2)
        for length in np.unique(chunks.lengths):
            alike = chunks.where(chunks.lengths == length)
            told, unclear = (
                alike.where(alike.shows & some) for some in (alike.tells, ~alike.tells)
            )
            sure = len(np.unique(alike.frames[~alike.shows])) + self._distinct(told)
            fewest = len(np.unique(unclear.frames))
            if sure and not unclear.numbered.all():
                fewest -= 1  # as it may be like another
            stored += float(length) * np.array([sure + self._distinct(unclear), sure + fewest])
        return stored

    def _distinct(self, chunks: Chunks) -> int:
        """Return how many chunks of all files differ that show payload and are as long."""
        if self._apart:
            return self._files * len(np.unique(hashed(chunks.frames, chunks.payload)))
        identities = list(self._cutter.identities(chunks, self._starts))
        return len(np.unique(np.concatenate(identities)))

    def _stored_with_one_hole(self) -> NDArray[np.float64]:
        """Return what ``_stored`` does of all chunks, of which most are payload alone."""
        chunk, first = self._cutter.chunk, self._container.first
        start = -(-first // chunk)
        end = max(start, (first + self._container.payload) // chunk)
        ahead = sum(len(numbers) for numbers in self._inside if numbers.start < start)
        indices = [np.arange(start - ahead), np.arange(end - ahead, self._outer)]
        beside = self._outside(np.concatenate(indices))
        pure = distinct_chunks(self._layout, chunk, end - start)
        return self._stored(self._cutter.cut(beside)) + chunk * (pure + self._distinct_inside)

    def _sampled(self, most: int) -> Expected:
        """Return the ratio that about ``most`` chunks give: those that begin in some windows."""
        numbers, starts = self._sample(most)
        chunks = self._cutter.cut(numbers)
        period = np.uint64(self._layout.period)
        places = (chunks.payload.astype(np.uint64) + starts) % period
        part = len(numbers) / self._outer  # of a file's chunks
        own = ~chunks.shows
        alike = len(np.unique(chunks.frames[own & ~chunks.numbered]))
        # Numbers are the same in all files, but not within one; a window has them of one file.
        numbered = np.count_nonzero(own & chunks.numbered) / part
        shown = self._files * len(np.unique(hashed(chunks.frames, places)[chunks.shows])) / part
        distinct = self._distinct_inside + alike + numbered + shown
        return Expected(self._layout.files * self._cutter.count / distinct, SAMPLED)

    def _sample(self, most: int) -> tuple[Places, NDArray[np.uint64]]:
        """Return the numbers of some chunks of all files, and where the content of each starts."""
        circle = self._layout.stride if self._apart else self._layout.period
        payload = self._container.payload
        often = max(1, len(self._starts) * payload // circle)
        windows = _SHOWN_WINDOWS // max(often, len(self._starts))
        windows = min(_MOST_WINDOWS, max(_LEAST_WINDOWS, windows))
        width = most * payload // (self._outer * windows * often)
        width = max(1, min(circle // windows, width))
        # One in each part of the content, anywhere, as records come in step with the parts.
        anywhere = random.Random(0)
        part = circle // windows
        begins = [i * part + anywhere.randint(0, part - width) for i in range(windows)]
        found = [
            (start, at)
            for start in self._starts
            for begin in begins
            for at in range((begin - start) % circle - circle, payload, circle)
            if at + width > 0
        ]
        starts = np.array([start for start, _ in found], np.uint64)
        begin = self._chunks_before(np.array([max(0, at) for _, at in found], np.int64))
        end = self._chunks_before(np.array([min(payload, at + width) for _, at in found], np.int64))
        counts = end - begin
        indices = np.repeat(end - np.cumsum(counts), counts) + np.arange(counts.sum())
        return self._outside(indices), np.repeat(starts, counts)

    @functools.cached_property
    def _inside(self) -> list[range]:
        """The numbers of the chunks that are within runs without payload, a range for each run."""
        chunk, container = self._cutter.chunk, self._container
        ranges = []
        for run, start in zip(container.runs, container.starts, strict=True):
            if run.payload is None:
                first = -(-start // chunk)
                ranges.append(range(first, max(first, (start + run.size) // chunk)))
        return ranges

    @functools.cached_property
    def _distinct_inside(self) -> int:
        """How many of those chunks differ: all with lines or entries, none with padding alone."""
        runs = [run for run in self._container.runs if run.payload is None]
        return sum(
            min(1, len(numbers)) if run.hole else len(numbers)
            for numbers, run in zip(self._inside, runs, strict=True)
        )

    @functools.cached_property
    def _outer(self) -> int:
        """How many chunks of a file are not ``_inside``."""
        return self._cutter.count - sum(map(len, self._inside))

    def _outside(self, indices: Places) -> Places:
        """Return the numbers of chunks, given as the ``_outer`` ones are counted."""
        numbers = indices
        for left_out in self._inside:
            numbers = np.where(numbers >= left_out.start, numbers + len(left_out), numbers)
        return numbers

    def _chunks_before(self, payload: Places) -> Places:
        """Return how many of the ``_outer`` chunks have less payload ahead of them."""
        low, high = np.zeros_like(payload), np.full_like(payload, self._outer)
        while np.any(low < high):
            middle = np.minimum((low + high) // 2, self._outer - 1)
            starts = self._outside(middle) * self._cutter.chunk
            less = self._framing.payload.before(self._framing.locate(starts)) < payload
            less &= low < high
            low, high = (
                np.where(less, middle + 1, low),
                np.where(less, high, np.minimum(high, middle)),
            )
        return low
