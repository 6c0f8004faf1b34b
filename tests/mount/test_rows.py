"""The rows of names' contents, without a mount."""

import errno

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgenfs.kernels import ids, lookups
from dgenfs.kernels.row import FILES, KEY, PERIOD, RATIO, SIZE, STRIDE
from dgenfs.mount import rows
from dgenfs.mount.rows import Rows
from dgenfs.names.spec import Spec


def spec(size: int = 1000) -> Spec:
    return Spec.parse(str(size))


def test_handles_of_a_row() -> None:
    table = Rows()
    index = table.add(77, 0, Spec.parse("500x1K_d3_c2"))
    for file in (0, 1, 499):
        fh = table.handle(index, file)
        assert 0 < fh < ids.CONTROL
        row, found = table.resolve(fh)
        assert found == file
        content = oracle.parse("500x1K_d3_c2")
        assert row[SIZE] == content.size
        assert row[KEY] == content.key
        assert row[STRIDE] == content.units_per_file * content.unit
        assert row[PERIOD] == content.content_units * content.unit
        assert row[RATIO] == content.c_milli
        assert row[FILES] == content.files


def bad(table: Rows, fh: int) -> None:
    with pytest.raises(OSError, match="not open") as failed:
        table.resolve(fh)
    assert failed.value.errno == errno.EBADF


def test_handles_that_are_none() -> None:
    table = Rows()
    index = table.add(77, 0, Spec.parse("500x1K"))
    good = table.handle(index, 0)
    for fh in (0, 1, good + 500, good + (1 << ids.FILE_BITS), ids.CONTROL - 1):
        bad(table, fh)
    table.resolve(good)


@given(fh=st.integers(0, ids.CONTROL - 1))
def test_no_handle_of_an_empty_table(fh: int) -> None:
    bad(EMPTY, fh)


EMPTY = Rows()


def test_a_row_used_again() -> None:
    """Handles of before are not those of what took their row."""
    table = Rows()
    index = table.add(77, 0, spec())
    old = table.handle(index, 0)
    table.remove(index)
    bad(table, old)
    assert table.add(88, 0, spec(5)) == index
    bad(table, old)
    row, _ = table.resolve(table.handle(index, 0))
    assert row[SIZE] == 5


def test_a_row_that_is_being_read_when_it_is_removed() -> None:
    """It is used again only when all requests of then have ended, whatever came later."""
    table = Rows()
    index = table.add(77, 0, spec(7))
    fh = table.handle(index, 0)
    before = table.table[index, : lookups.INODE].copy()
    row, _ = table.resolve(fh)
    table.requests = lambda: frozenset({2, 4})
    table.remove(index)
    bad(table, fh)
    table.requests = lambda: frozenset({4, 6})
    other = table.add(88, 0, spec(5))
    assert other != index
    assert (table.table[index, : lookups.INODE] == before).all()
    table.remove(other)
    table.requests = lambda: frozenset({6, 8})
    assert table.add(99, 0, spec(3)) == index
    assert row[SIZE] == 7


def test_tags_start_over() -> None:
    table = Rows()
    index = table.add(1, 0, spec())
    table.table[index, lookups.TAG] = 7 << 32 | ids.TAGS
    assert table.handle(index, (1 << ids.FILE_BITS) - 1) < ids.CONTROL
    table.remove(index)
    assert table.add(2, 9, spec()) == index
    assert table.table[index, lookups.TAG] == 9 << 32 | 1
    table.resolve(table.handle(index, 0))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Rows:
    monkeypatch.setattr(rows, "CAPACITY", 8)
    return Rows()


def test_full_table(small: Rows) -> None:
    rows = [small.add(100 + i, 0, spec(i)) for i in range(8)]
    assert sorted(rows) == list(range(8))
    for _ in range(2):
        with pytest.raises(OSError, match="8 names") as failed:
            small.add(200, 0, spec())
        assert failed.value.errno == errno.ENFILE
    small.remove(rows[3])
    small.remove(rows[5])
    assert {small.add(301, 0, spec()), small.add(302, 0, spec())} == {rows[3], rows[5]}
    with pytest.raises(OSError, match="8 names"):
        small.add(303, 0, spec())
    for i in (0, 1, 2, 4, 6, 7):
        assert small.resolve(small.handle(rows[i], 0))[0][SIZE] == i


def test_hints(small: Rows) -> None:
    """The last of two of the same hash is found; the other after a refresh."""
    one, other = 1 << ids.TREE_SHIFT, (1 << ids.TREE_SHIFT) ^ ids.HINTS << 40
    assert lookups.hint(one) != lookups.hint(one + (1 << ids.TREE_SHIFT))
    rows = {inode: small.add(inode, 0, spec()) for inode in (one, other)}
    for inode, row in rows.items():
        small.refresh(row)
        assert small.hints[lookups.hint(inode)] == row
