"""The catalog against the oracle's paths."""

from pathlib import PurePath

import oracle
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from dgenfs import Spec, SpecError
from dgenfs.names.catalog import ROOT, Directory, File, find, find_file


@given(name=strategies.names(sidecars=False))
def test_plain_files(name: str) -> None:
    file = File(Spec.parse(name))
    assert ROOT.child(name) == find(name) == find_file(PurePath("/any/where", name)) == file
    assert file.size == oracle.parse(name).size
    assert find(file.path) == file
    for below in (f"{name}/x", f"{name}/"):
        with pytest.raises(SpecError, match="is a file, not a directory"):
            find(below)


@given(data=st.data())
def test_trees(data: st.DataObject) -> None:
    name = data.draw(strategies.tree_names())
    content = oracle.parse(name)
    number = data.draw(st.integers(0, content.files - 1))
    path = f"{name}/{oracle.tree_path(content, number)}"
    spec = Spec.parse(name)
    tree = find(name)
    assert tree == Directory(spec)
    assert tree.size == content.files * content.size
    found = find(path)
    assert found == File(spec, number) == find_file(PurePath("/any/where", path))
    assert find(found.path) == found if isinstance(found, File) else False
    folder: Directory = tree if isinstance(tree, Directory) else Directory(spec)
    if content.per_directory is not None:
        folder_number = number // content.per_directory
        assert folder.holds_directories
        assert folder.count == -(-content.files // content.per_directory)
        assert next(folder.names(folder_number)) == path.split("/")[1]
        held = folder.child(path.split("/")[1])
        assert held == Directory(spec, folder_number)
        assert isinstance(held, Directory)
        folder = held
    position = number - folder.first
    assert 0 <= position < folder.count
    assert next(folder.names(position)) == path.rsplit("/", 1)[1]
    assert folder.child(next(folder.names(position))) == found
    assert list(folder.names(folder.count)) == []


@given(name=strategies.hostile_names())
def test_what_is_no_name(name: str) -> None:
    try:
        exists = oracle.parse(name).sidecar is None
    except oracle.BadName:
        exists = False
    if exists:
        ROOT.child(name)
    else:
        with pytest.raises(SpecError):
            ROOT.child(name)


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("1G.sha256", "names the checksum"),
        ("5x1K/000005.bin", "5x1K_d1_c1/ holds 000000.bin to 000004.bin"),
        ("5x1K/00000.bin", "holds 000000.bin to 000004.bin"),
        ("5x1K/0000/000000.bin", "holds 000000.bin"),
        ("5x1K_f2/000000.bin", "holds 0000 to 0002"),
        ("5x1K_f2/0002/000003.bin", "5x1K_d1_c1_f2/0002/ holds 000004.bin to 000004.bin"),
        ("", "a name starts with a size"),
        ("/1K", "a name starts with a size"),
        ("5x1K/", "holds 000000.bin"),
        ("1K/000000.bin", "1K is a file"),
    ],
)
def test_paths_where_nothing_is(path: str, rule: str) -> None:
    with pytest.raises(SpecError, match=rule):
        find(path)
