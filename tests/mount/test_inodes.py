"""Inode numbers and names, without a mount."""

import itertools
import os

import oracle
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dgenfs.kernels import ids, lookups
from dgenfs.kernels.row import KEY
from dgenfs.mount import inodes as numbering
from dgenfs.mount.inodes import ROOT, Inodes, entries
from dgenfs.names.catalog import Directory, File
from dgenfs.names.spec import Spec


@pytest.fixture(scope="module")
def names() -> Inodes:
    return Inodes([])


def look_up(names: Inodes, path: str) -> list[int | None]:
    """The inodes from the root on."""
    inodes: list[int | None] = [ROOT]
    for part in path.split("/"):
        parent = inodes[-1]
        assert parent is not None
        inodes.append(names.lookup(parent, os.fsencode(part)))
    return inodes


@given(name=strategies.names(sidecars=False))
def test_plain_files(name: str) -> None:
    names = Inodes([])
    inode = names.lookup(ROOT, name.encode())
    assert inode is not None
    assert inode & ids.PLAIN
    assert inode < 2**53
    assert names.resolve(inode) == File(Spec.parse(name))
    assert names.row(inode) == 0
    assert names.name(inode) == name
    assert names.parent(inode) == ROOT
    assert Inodes([name]).lookup(ROOT, name.encode()) == inode
    names.forget(inode, 1)
    assert names.resolve(inode) == File(Spec.parse(name))


@given(data=st.data())
def test_trees_both_ways(data: st.DataObject) -> None:
    names = Inodes([])
    name = data.draw(strategies.tree_names())
    content = oracle.parse(name)
    file = data.draw(st.sampled_from([0, content.files - 1]) | st.integers(0, content.files - 1))
    path = f"{name}/{oracle.tree_path(content, file)}"
    inodes = look_up(names, path)
    assert None not in inodes
    assert len(set(inodes)) == len(inodes)
    last = inodes[-1]
    assert last is not None
    assert last < 2**52
    found = names.resolve(last)
    assert isinstance(found, File)
    assert (found.spec, found.number) == (Spec.parse(name), file)
    tree = inodes[1]
    assert tree is not None
    assert names.resolve(tree) == Directory(found.spec)
    if content.per_directory is not None:
        directory = inodes[2]
        assert directory is not None
        assert names.resolve(directory) == Directory(found.spec, file // content.per_directory)
    # And back.
    for parent, inode in itertools.pairwise(inodes):
        assert inode is not None
        assert names.parent(inode) == parent
    # Where the parent's listing says.
    parent = inodes[-2]
    assert parent is not None
    holder = names.resolve(parent)
    assert isinstance(holder, Directory)
    position = file % content.per_directory if content.per_directory else file
    assert next(entries(parent, holder, position)) == (os.fsencode(path.split("/")[-1]), last)


@given(name=strategies.tree_names(), beyond=st.integers(0, 2**31 - 1))
def test_numbers_that_no_file_has(name: str, beyond: int) -> None:
    names = Inodes([])
    tree = names.lookup(ROOT, name.encode())
    assert tree is not None
    spec = Spec.parse(name)
    valid = beyond <= spec.files or 0 <= beyond - ids.DIRECTORIES < spec.directories
    if valid:
        names.resolve(tree + beyond)
    else:
        with pytest.raises(KeyError):
            names.resolve(tree + beyond)
    with pytest.raises(KeyError):
        names.resolve(tree ^ (1 << ids.TREE_SHIFT))


@given(name=strategies.hostile_names())
@settings(max_examples=300)
def test_what_is_no_name(name: str) -> None:
    try:
        exists = oracle.parse(name).sidecar is None
    except oracle.BadName:
        exists = False
    names = Inodes([])
    encoded = name.encode("utf-8", "surrogateescape")
    assert (names.lookup(ROOT, encoded) is not None) == exists
    assert len(names) == exists


def test_nothing_is_in_a_file() -> None:
    names = Inodes(["1K", "5x1K"])
    (file, tree) = names.listed
    for parent in (file, tree + 1, tree + 6, 12345, ROOT + 1):
        with pytest.raises(KeyError):
            names.lookup(parent, b"000000.bin")


def test_listed_names_stay() -> None:
    names = Inodes(["1K", "5x1K"])
    assert list(names.listed.values()) == ["1K", "5x1K"]
    for inode in names.listed:
        names.reference(inode)
        names.forget(inode, 1)
        names.resolve(inode)
    assert len(names) == 2


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many of the names that the kernel forgot are kept."""
    monkeypatch.setattr(numbering, "FORGOTTEN", 3)
    return 3


def test_forgotten_some_time_after_the_last_reference_goes(kept: int) -> None:
    names = Inodes([])
    inode = names.lookup(ROOT, b"1K")
    assert inode is not None
    assert names.lookup(ROOT, b"1K") == inode
    names.reference(inode)
    names.forget(inode, 2)
    assert names.unlisted() == [inode]
    names.forget(inode, 1)
    assert names.unlisted() == []
    for size in range(2, 2 + kept):
        names.resolve(inode)
        other = names.lookup(ROOT, f"{size}K".encode())
        assert other is not None
        names.forget(other, 1)
    with pytest.raises(KeyError):
        names.resolve(inode)
    # Must not raise, whatever the kernel says.
    names.forget(inode, 1)
    names.forget(0, 1)
    names.forget(2**64 - 1, 2**63)
    assert len(names) == kept


def test_what_is_asked_for_again_is_not_forgotten(kept: int) -> None:
    names = Inodes([])
    first = [names.lookup(ROOT, b"1K"), names.lookup(ROOT, b"5x1K")]
    for inode in first:
        assert inode is not None
        names.forget(inode, 1)
        names.reference(inode)
    for size in range(2, 3 * kept):
        other = names.lookup(ROOT, f"{size}K".encode())
        assert other is not None
        names.forget(other, 1)
    assert set(names.unlisted()) == set(first)
    assert len(names) == 2 + kept
    assert [names.lookup(ROOT, name) for name in (b"1K", b"5x1K")] == first


@given(names=st.lists(strategies.names(sidecars=False), min_size=2, max_size=2, unique=True))
def test_generations_tell_names_apart(names: list[str]) -> None:
    """Also where all have one number, one after the other."""
    inodes = [Inodes([]) for _ in names]
    numbers = [one.lookup(ROOT, name.encode()) for one, name in zip(inodes, names, strict=True)]
    generations = []
    for one, inode, name in zip(inodes, numbers, names, strict=True):
        assert inode is not None
        generation = one.generation(inode)
        assert 0 <= generation < 2**32
        if Spec.parse(name).tree:
            assert one.generation(inode + 1) == generation
        assert int(one.rows.table[0, lookups.TAG]) >> 32 == generation
        generations.append(generation)
    assert len(set(generations)) == 2


def test_names_added_are_counted() -> None:
    names = Inodes(["1K"])
    names.added = 0
    for name in ("1K", "2K", "2K", "3K"):
        inode = names.lookup(ROOT, name.encode())
    assert names.added == 2
    assert inode is not None
    names.forget(inode, 1)
    names.lookup(ROOT, b"3K")
    assert names.added == 3


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of three values, so that names meet."""
    real = numbering._inodes

    def inodes(name: str, attempt: int) -> tuple[int, int]:
        plain, tree = real(name, attempt)
        few = 3 + attempt
        return (
            ids.PLAIN | plain % few,
            (1 + (tree >> ids.TREE_SHIFT) % few) << ids.TREE_SHIFT,
        )

    monkeypatch.setattr(numbering, "_inodes", inodes)


@pytest.mark.usefixtures("narrow")
def test_names_of_one_hash() -> None:
    names = Inodes(["1K", "2K", "5x1K"])
    texts = [f"{size}K" for size in range(40)] + [f"{size}x1K" for size in range(1, 40)]
    inodes = {text: names.lookup(ROOT, text.encode()) for text in texts}
    assert len(set(inodes.values())) == len(texts)
    for text, inode in inodes.items():
        assert inode is not None
        assert names.lookup(ROOT, text.encode()) == inode
        found = names.resolve(inode)
        assert isinstance(found, File | Directory)
        assert found.spec == Spec.parse(text)
        assert names.name(inode) == text
    rows = {int(row[lookups.INODE]): row for row in names.rows.table[: len(texts)]}
    assert set(rows) == set(inodes.values())
    for text, inode in inodes.items():
        assert inode is not None
        assert int(rows[inode][KEY]) == oracle.parse(text).key


@pytest.mark.usefixtures("narrow")
def test_forgetting_one_of_several_of_one_hash() -> None:
    """The others are still found, under their own numbers, though the first place is free."""
    texts = [f"{size}K" for size in range(12)]
    names = Inodes([])
    inodes = {text: names.lookup(ROOT, text.encode()) for text in texts}
    for gone in texts:
        inode = inodes[gone]
        assert inode is not None
        names.forget(inode, 1)
        for text in texts:
            if text != gone:
                assert names.lookup(ROOT, text.encode()) == inodes[text]
                found = inodes[text]
                assert found is not None
                names.forget(found, 1)
                assert names.name(found) == text
        again = names.lookup(ROOT, gone.encode())
        assert again is not None
        assert names.name(again) == gone
        inodes[gone] = again


FORGOTTEN = 2


class References(RuleBasedStateMachine):
    """Lookups and forgets in any order, against a count of references."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(numbering, "FORGOTTEN", FORGOTTEN)

    def teardown(self) -> None:
        self.patch.undo()

    @initialize(listed=st.lists(st.sampled_from(["0", "1", "2x3"]), unique=True))
    def start(self, listed: list[str]) -> None:
        self.names = Inodes(listed)
        self.listed = listed
        self.references: dict[str, int] = {}
        self.forgotten: list[str] = []
        self.inodes: dict[str, int] = {}

    @rule(name=st.sampled_from(["0", "1", "2", "3_c2", "2x3", "4x4_f2", "5x5"]))
    def look_up(self, name: str) -> None:
        inode = self.names.lookup(ROOT, name.encode())
        assert inode is not None
        assert self.inodes.setdefault(name, inode) == inode
        self.references[name] = self.references.get(name, 0) + 1
        self.forgotten = [other for other in self.forgotten if other != name]

    @precondition(lambda self: any(self.references.values()))
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([n for n, count in self.references.items() if count]))
        count = data.draw(st.integers(1, self.references[name]))
        self.names.forget(self.inodes[name], count)
        self.references[name] -= count
        if not self.references[name] and name not in self.listed:
            self.forgotten.append(name)
            del self.forgotten[:-FORGOTTEN]

    @invariant()
    def only_what_is_known_is_kept(self) -> None:
        known = {name for name, count in self.references.items() if count} | set(self.listed)
        known |= set(self.forgotten)
        assert len(self.names) == len(known)
        for name, inode in self.inodes.items():
            if name in known:
                assert self.names.name(inode) == name
            else:
                with pytest.raises(KeyError):
                    self.names.resolve(inode)
        rows = self.names.rows.table[:20, lookups.INODE]
        assert int((rows != 0).sum()) == len(known)


TestReferences = References.TestCase
