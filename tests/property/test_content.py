import hashlib
import itertools
import random
import threading

import numpy as np
import oracle
import pytest
import strategies
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from vectors import VECTORS, Vector

import dgenfs
from dgenfs import DataGenerator, Spec
from dgenfs.kernels.compare import compare
from dgenfs.kernels.fill import fill, random_words
from dgenfs.kernels.origins import NOBODY, NOT_FOUND, OWN, locate, others_of
from dgenfs.kernels.row import KEY, RANDOM, SECTOR

GUARD = 64  # bytes on both sides of a filled range that must stay as they were


def filled(generator: DataGenerator, offset: int, length: int, shift: int) -> bytes:
    """Read into the middle of a buffer, at any alignment, and check that nothing else changed."""
    buffer = bytearray(b"\xa5" * (2 * GUARD + shift + length))
    start = GUARD + shift
    written = generator.read_into(memoryview(buffer)[start : start + length], offset)
    assert buffer[:start] == b"\xa5" * start
    assert buffer[start + written :] == b"\xa5" * (len(buffer) - start - written)
    return bytes(buffer[start : start + written])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_vectors(vector: Vector) -> None:
    generator = DataGenerator(vector.name)
    data = bytearray(generator.size)
    assert generator.fill_chunk(data) == len(data)
    assert data[:8] == vector.first
    assert hashlib.sha256(data).hexdigest() == vector.sha256


@settings(max_examples=400)
@given(strategies.names(sidecars=False), st.integers(0, 15), st.data())
def test_any_range_of_a_file(name: str, shift: int, data: st.DataObject) -> None:
    content = oracle.parse(name)
    offset, length = data.draw(strategies.ranges(content.size, content.unit))
    expected = oracle.read(content, 0, offset, length)
    assert filled(DataGenerator(name), offset, length, shift) == expected


@settings(max_examples=300)
@given(strategies.tree_names(), st.data())
def test_any_range_of_a_trees_file(name: str, data: st.DataObject) -> None:
    content = oracle.parse(name)
    file = data.draw(st.integers(0, content.files - 1))
    offset, length = data.draw(strategies.ranges(content.size, content.unit))
    expected = oracle.read(content, file, offset, length)
    assert filled(DataGenerator(name, file=file), offset, length, 0) == expected


@settings(max_examples=200)
@given(strategies.tree_names(), st.data())
def test_all_files_in_order(name: str, data: st.DataObject) -> None:
    content = oracle.parse(name)
    total = content.files * content.size
    offset, length = data.draw(strategies.ranges(total, max(1, content.size), most=1 << 12))
    expected = oracle.read_all_files(content, offset, length)
    assert filled(DataGenerator(name), offset, length, 0) == expected


@pytest.mark.parametrize("offset", [0, 1, 2**62 + 12345, 2**63 - 70000, 2**63 - 2])
@pytest.mark.parametrize("params", ["", "_d3_c1.7", "_d1000_c20_s18446744073709551615_b4K"])
def test_the_largest_file(offset: int, params: str) -> None:
    name = f"8E-1{params}"
    expected = oracle.read(oracle.parse(name), 0, offset, 70000)
    assert filled(DataGenerator(name), offset, 70000, 3) == expected


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_any_split_order_and_thread_count(threads: int) -> None:
    name = "24M+777_d3_c1.3_s9"
    whole = np.empty(Spec.parse(name).size, np.uint8)
    DataGenerator(name, threads=1).fill_chunk(whole)
    assert hashlib.sha256(whole.data).digest() == oracle_digest(name)
    generator = DataGenerator(name, threads=threads)
    at_once = np.empty_like(whole)
    assert generator.fill_chunk(at_once) == whole.size
    assert np.array_equal(at_once, whole)
    source = random.Random(threads)
    cuts = sorted({0, whole.size, *(source.randrange(whole.size) for _ in range(200))})
    pieces = list(itertools.pairwise(cuts))
    source.shuffle(pieces)
    by_pieces = np.zeros_like(whole)

    def work() -> None:
        while pieces:
            try:
                start, end = pieces.pop()
            except IndexError:
                return
            generator.read_into(by_pieces[start:end], start)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert np.array_equal(by_pieces, whole)


def oracle_digest(name: str) -> bytes:
    content = oracle.parse(name)
    return hashlib.sha256(oracle.read(content, 0, 0, content.size)).digest()


@given(st.integers(0, 2**54), st.sampled_from([1000, 1001, 1500, 2000, 3333, 19999, 20000]))
def test_random_words_of_a_sector(sector: int, c_milli: int) -> None:
    row = Spec.parse(f"1K_c{c_milli / 1000}").layout.row
    found = random_words(np.uint64(sector), row[RANDOM], np.uint64(c_milli))
    assert found == oracle.random_words(c_milli, sector)


@settings(max_examples=300)
@given(strategies.names(sidecars=False), st.integers(0, 15), st.data())
def test_compare(name: str, shift: int, data: st.DataObject) -> None:
    content = oracle.parse(name)
    offset, length = data.draw(strategies.ranges(content.size, content.unit, most=1 << 14))
    right = np.frombuffer(oracle.read(content, 0, offset, length), np.uint8)
    buffer = np.concatenate([np.zeros(shift, np.uint8), right])[shift:]
    layout = Spec.parse(name).layout
    arguments = (np.uint64(offset % layout.period), layout.row)
    assert compare(buffer, *arguments) == (-1, 0, 0)
    assume(right.size)
    damage = data.draw(
        st.lists(st.tuples(st.integers(0, right.size - 1), st.integers(0, 255)), min_size=1)
    )
    for at, value in damage:
        buffer[at] = value
    wrong = np.flatnonzero(buffer != right)
    first = int(wrong[0]) if wrong.size else -1
    sectors = np.unique((wrong + offset) // SECTOR).size
    assert compare(buffer, *arguments) == (first, wrong.size, sectors)


@settings(max_examples=300)
@given(strategies.names(sidecars=False), st.integers(0, 1 << 14), st.data())
def test_locate(name: str, start: int, data: st.DataObject) -> None:
    """Any piece that has two whole neighboring random words says where it is from."""
    content = oracle.parse(name)
    assume(content.size >= 4096)
    offset, _ = data.draw(strategies.ranges(content.size - 1024, content.unit))
    layout = Spec.parse(name).layout
    piece = np.frombuffer(oracle.read(content, 0, offset, 1024), np.uint8)
    padded = np.concatenate([np.zeros(start, np.uint8), piece])
    stop = start + 512
    own = (OWN, offset % layout.period)
    assert locate(padded, start, stop, NOT_FOUND, layout.row, NO_OTHERS) == own
    # All keys give pieces of one cycle of 2^64 words, so the larger the content, the likelier it
    # is that another key's words truly are in it.
    if content.size < 1 << 40:
        other = layout.row.copy()
        other[KEY] ^= np.uint64(1)
        nobody = (NOBODY, NOT_FOUND)
        assert locate(padded, start, stop, NOT_FOUND, other, NO_OTHERS) == nobody
        strangers = data.draw(st.lists(st.integers(0, 2**64 - 1), max_size=5))
        assume(layout.key not in strangers)
        keys = [*strangers[:2], layout.key, *strangers[2:], layout.key]
        others = others_of(np.array(keys, np.uint64))
        index, found = locate(padded, start, stop, NOT_FOUND, other, others)
        assert (others.ranks[index], found) == (len(strangers[:2]), offset % layout.period)


NO_OTHERS = others_of(np.empty(0, np.uint64))


@pytest.mark.parametrize("ahead", [0, 3, 8, 2000])
@pytest.mark.parametrize("before_end", [1 << 10, 1 << 20, 1 << 62, (1 << 63) + 8])
def test_locate_in_the_largest_period(ahead: int, before_end: int) -> None:
    layout = Spec.parse("1000000000x9223372036").layout
    assert layout.period > 1 << 63
    row = layout.row
    offset = layout.period - before_end
    piece = np.zeros(ahead + 512, np.uint8)
    fill(piece[ahead:], np.uint64(offset), row)
    stop = min(512, piece.size)
    start = max(0, piece.size - 528)  # a sector and a pair of words are looked at
    found = locate(piece, start, start + stop, NOT_FOUND, row, NO_OTHERS)
    assert found == (OWN, offset - ahead + start)
    own = np.uint64(found[1])
    assert locate(piece, start, start + stop, own, row, NO_OTHERS) == (NOBODY, NOT_FOUND)
    # Before the content's first word stands its last one.
    fill(piece[ahead:], np.uint64(0), row)
    found = locate(piece, start, start + stop, NOT_FOUND, row, NO_OTHERS)
    assert found == (OWN, (start - ahead) % layout.period)


def test_generate_data() -> None:
    data = dgenfs.generate_data(1 << 20, dedup=4, compress=2)
    assert data.dtype == np.uint8
    digest = next(v.sha256 for v in VECTORS if v.name == "1M_d4_c2.bin")
    assert hashlib.sha256(data.data).hexdigest() == digest
    assert dgenfs.generate_data(0).size == 0
    assert not np.array_equal(dgenfs.generate_data(4096, seed=1), dgenfs.generate_data(4096))
