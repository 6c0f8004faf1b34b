"""Inode numbers of a profile's nodes, and what of them is kept, without a mount."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgenfs.kernels import ids
from dgenfs.mount import inodes as numbering
from dgenfs.mount.inodes import ROOT, Inodes
from dgenfs.mount.profile_inodes import node_of, number_of
from dgenfs.names.catalog import File
from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.profile import read

PROFILE = """
[[set]]
directory = "a/b"
files = 1_000_000_000
subfolders = 1000
size = 5000

[[set]]
directory = "a"
files = 7
format = "indexed_binary"
record = 10
size = 100

[[set]]
files = 3
name = "{index}K"
size = 10
"""


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    path = tmp_path_factory.mktemp("profile") / "mine.toml"
    path.write_text(PROFILE)
    return read(str(path))


def look_up(names: Inodes, path: str) -> int:
    inode = ROOT
    for name in path.split("/"):
        found = names.lookup(inode, name.encode())
        assert found is not None
        inode = found
    return inode


def some_nodes(data_set: DataSet) -> list[ProfileDirectory | ProfileFile]:
    files = [ProfileFile(data_set.sets[0], index) for index in (0, 1001, 10**9 - 1)]
    others = [ProfileFile(data_set.sets[1], 6, kind) for kind in range(3)]
    directories = [directory for directory in data_set.top.below() if directory.subfolder != 7]
    return [*files, *others, ProfileFile(data_set.sets[2], 1), *directories]


def test_numbers_both_ways(data_set: DataSet) -> None:
    nodes = some_nodes(data_set)
    numbers = [number_of(node) for node in nodes]
    assert len(set(numbers)) == len(nodes)
    names = Inodes(["1G"], data_set)
    for node, number in zip(nodes, numbers, strict=True):
        assert ids.PLAIN <= number < 2 * ids.PLAIN
        assert node_of(data_set, number) == names.resolve(number) == node
        assert look_up(names, node.path) == number
        above = node.path.rpartition("/")[0]
        assert names.parent(number) == (look_up(names, above) if above else ROOT)
        assert names.generation(number) == data_set.mark


@given(beyond=st.integers(0, ids.PLAIN - 1))
def test_numbers_that_no_node_has(data_set: DataSet, beyond: int) -> None:
    for number in (ids.PLAIN + beyond, ids.PLAIN + beyond % (1 << 36)):
        node = node_of(data_set, number)
        if node is not None:
            assert number_of(node) == number
            assert data_set.top.find(node.path.split("/")) == node


def test_a_profile_comes_before_names(data_set: DataSet) -> None:
    names = Inodes(["2K", "3K"], data_set)
    assert isinstance(names.resolve(look_up(names, "2K")), ProfileFile)
    assert isinstance(names.resolve(look_up(names, "3K")), File)
    assert names.lookup(ROOT, b"nothing") is None


def test_names_go_out_of_the_way(data_set: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = number_of(ProfileFile(data_set.sets[0], 17))
    usual = numbering._inodes

    def inodes(name: str, attempt: int) -> tuple[int, int]:
        return (taken, 1 << ids.TREE_SHIFT) if attempt == 0 else usual(name, attempt)

    monkeypatch.setattr(numbering, "_inodes", inodes)
    names = Inodes([], data_set)
    inode = look_up(names, "4K")
    assert inode != taken
    assert isinstance(names.resolve(inode), File)
    assert look_up(names, "4K") == inode
    assert isinstance(names.resolve(taken), ProfileFile)


def test_nothing_is_left(data_set: DataSet) -> None:
    """Whatever was looked up, listed, opened and forgotten, in whatever order that arrives."""
    names = Inodes([], data_set)
    chance = random.Random(3)
    references: dict[int, int] = {}
    rows: dict[int, int | None] = {}
    for _ in range(20_000):
        index = chance.randrange(3000)
        inode = number_of(ProfileFile(data_set.sets[0], index))
        match chance.randrange(4):
            case 0 | 1:
                names.reference(inode)
                references[inode] = references.get(inode, 0) + 1
            case 2 if references.get(inode):
                row = names.row(inode)
                assert row is not None
                # While the kernel has references, which a FORGET of before takes only some of.
                assert rows.setdefault(inode, row) == row
            case 3 if references.get(inode):
                gone = chance.randint(1, references[inode])
                names.forget(inode, gone)
                references[inode] -= gone
                if not references[inode]:
                    rows.pop(inode, None)
    assert sum(map(bool, references.values())) <= len(names)
    for inode, count in references.items():
        names.forget(inode, count)
    assert len(names) <= numbering.FORGOTTEN
    assert names.unlisted() == []
