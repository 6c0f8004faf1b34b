"""What is there, by fsspec's own calls: as the oracle says, and as fsspec lists the same files."""

import asyncio
import errno
import os
import pickle
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import fsspec
import oracle
import pytest
import strategies
from hypothesis import given
from processes import run

from dgenfs.api.filesystem import DgenFileSystem

FS = DgenFileSystem()
MADE = datetime(2020, 1, 1, tzinfo=UTC)
FLAT, DEEP = TREES = ["11x50_d2", "23x50_d2_f4.dat"]


def files_of(tree: str) -> list[str]:
    content = oracle.parse(tree)
    return [f"{tree}/{oracle.tree_path(content, file)}" for file in range(content.files)]


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    """The same files in fsspec's memory."""
    memory = fsspec.filesystem("dir", path="/model", target_protocol="memory")
    for tree in TREES:
        for path in files_of(tree):
            memory.pipe(path, bytes(50))
    yield memory
    memory.rm("", recursive=True)


@given(strategies.names() | strategies.tree_names() | strategies.hostile_names())
def test_any_name(name: str) -> None:
    path = name.strip("/")
    try:
        content = oracle.parse(path)
        oracle.must(content.sidecar is None)
    except oracle.BadName:
        if path:
            assert not any((FS.exists(path), FS.isfile(path), FS.isdir(path)))
            with pytest.raises(FileNotFoundError) as caught:
                FS.info(path)
            assert caught.value.filename == path
        return
    assert FS.info(f"dgen://{name}") == {
        "name": path,
        "size": 0 if content.tree else content.size,
        "type": "directory" if content.tree else "file",
        "created": MADE.timestamp(),
        "mtime": MADE.timestamp(),
    }
    assert (FS.exists(path), FS.isdir(path), FS.isfile(path)) == (
        True,
        content.tree,
        not content.tree,
    )


@pytest.mark.parametrize("tree", TREES)
def test_a_tree(tree: str) -> None:
    files = files_of(tree)
    assert FS.find(tree) == files
    below = sorted({path.rpartition("/")[0] for path in files})
    if tree == DEEP:
        assert FS.ls(tree, detail=False) == below
    listed = [path for folder in below for path in FS.ls(folder, detail=False)]
    assert listed == files
    for folder in (tree, *below):
        assert FS.ls(folder) == [FS.info(path) for path in FS.ls(folder, detail=False)]
    assert FS.find(tree, detail=True) == {path: FS.info(path) for path in files}
    assert FS.ls(files[3]) == [FS.info(files[3])]
    assert FS.ls(f"dgen://{files[3]}/", detail=False) == FS.find(files[3]) == [files[3]]
    assert FS.du(tree) == 50 * len(files)
    assert FS.sizes(files) == [50] * len(files)


PATTERNS = [
    *("*", "11*", "11x50_d2*", "11x50_d2/*", "11x50_d2/000*", "11x50_d2/00000[1-3].bin"),
    *("11x50_d2/000011.bin", "11x50_d2/1*", "11x50_d2/000010*", "11x50_d2/00001?.bin", "11x50_d2/"),
    *("23x50_d2_f4.dat/*", "23x50_d2_f4.dat/*/", "23x50_d2_f4.dat/**", "23x50_d2_f4.dat/000[34]/*"),
    *(
        "23x50_d2_f4.dat/*/*7.dat",
        "23x50_d2_f4.dat/0002/00*",
        "23x50_d2_f4.dat/**/*1.dat",
        "nope/*",
    ),
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(model: Any, pattern: str) -> None:
    # What the root holds is not listed.
    expected = model.glob(pattern) if "/" in pattern else []
    assert FS.glob(pattern) == expected
    assert FS.glob(f"dgen://{pattern}") == expected
    assert FS.glob(pattern, detail=True) == {path: FS.info(path) for path in expected}
    assert asyncio.run(FS._glob(pattern)) == expected


@pytest.mark.parametrize("path", [*TREES, f"{DEEP}/0002", f"{DEEP}/0002/000009.dat", "nope", ""])
@pytest.mark.parametrize("depth", [None, 1, 2, 3])
def test_what_is_below(model: Any, path: str, depth: int | None) -> None:
    async def walked() -> list[Any]:
        return [step async for step in FS._walk(path, maxdepth=depth)]

    for withdirs in (False, True):
        expected = model.find(path, maxdepth=depth, withdirs=withdirs) if path else []
        assert FS.find(path, maxdepth=depth, withdirs=withdirs) == expected
        assert asyncio.run(FS._find(path, maxdepth=depth, withdirs=withdirs)) == expected
    for topdown in (False, True):
        steps = list(FS.walk(path, maxdepth=depth, topdown=topdown))
        if path and path != "nope":
            assert steps == list(model.walk(path, maxdepth=depth, topdown=topdown))
        else:
            assert steps == ([] if path else [("", [], [])])
    if path != "nope":
        assert asyncio.run(walked()) == list(FS.walk(path, maxdepth=depth))


def test_the_root_lists_nothing() -> None:
    for root in ("", "/", "dgen://", "dgen:///"):
        assert FS.info(root)["type"] == "directory"
        assert FS.isdir(root)
        assert FS.ls(root) == FS.find(root) == FS.glob("*") == []


def test_a_billion_files() -> None:
    flat, deep = "1000000000x1K", "1000000000x1K_f1000"
    assert FS.info(f"{flat}/999999999.bin")["size"] == 1024
    assert FS.glob(f"{flat}/12345678*") == [f"{flat}/12345678{digit}.bin" for digit in range(10)]
    assert FS.find(deep, prefix="99999", maxdepth=1, withdirs=True)[-1] == f"{deep}/999999"
    assert len(FS.ls(f"{deep}/999999")) == 1000
    assert FS.glob(f"{deep}/99999[89]/*999.bin") == [
        f"{deep}/{folder}/{folder}999.bin" for folder in (999998, 999999)
    ]
    for call in (FS.ls, FS.find, FS.du, lambda tree: next(FS.walk(tree, on_error="raise"))):
        with pytest.raises(MemoryError, match=f"{flat}: to list 1000000000 entries takes"):
            call(flat)


def test_what_is_not_there() -> None:
    for path, rule in {
        "1Q.bin": "'Q': a unit is B",
        "1M.bin.sha256": "names the checksum of a file",
        "3x1M/000003.bin": "holds 000000.bin to 000002.bin",
        "3x1M/00/000001.bin": "holds 000000.bin to",
        "3x1M_f2/000001.bin": "holds 0000 to 0001",
        "1M.bin/x": "1M.bin is a file, not a directory",
        "3x1M//000001.bin": "holds",
        "a\nb": r"'a\nb' is not a name",
    }.items():
        for call in (FS.info, FS.ls, FS.open, FS.cat_file, FS.ukey, FS.created, FS.size):
            with pytest.raises(FileNotFoundError) as caught:
                call(f"dgen://{path}")
            assert rule in str(caught.value.strerror)
            assert caught.value.filename == path
        assert not FS.exists(path)
    for call in (FS.open, FS.cat_file, lambda path: asyncio.run(FS._cat_file(path))):
        with pytest.raises(IsADirectoryError) as directory:
            call("dgen://3x1M_f2/0001/")
        assert directory.value.filename == "3x1M_f2/0001"


def test_an_index_beside_its_file() -> None:
    whole = oracle.whole_container(oracle.parse("2x300K_r4K.tfrecord"), 1)
    index = oracle.container("tfrecord").index(whole)
    for path in ("2x300K_r4K.tfrecord/000001.tfrecord.idx", "300K_r4K.tfrecord.idx"):
        assert FS.cat(path) == index
        assert FS.size(path) == len(index)
    assert len(FS.ls("2x300K_r4K.tfrecord")) == 2


def test_paths() -> None:
    for path in ("dgen://1M+1.bin", "dgen:///1M+1.bin", "/1M+1.bin", "dgen::1M+1.bin", "1M+1.bin/"):
        assert FS._strip_protocol(path) == "1M+1.bin"
        assert FS.size(path) == (1 << 20) + 1
    assert FS._strip_protocol(["dgen://1K", "/2K/"]) == ["1K", "2K"]
    assert FS.unstrip_protocol("1K") == "dgen://1K"
    assert FS._parent("dgen://3x1K/000001.bin") == "3x1K"
    assert FS._parent("1K") == ""
    assert FS.expand_path(["dgen://3x1K/*", "1K"]) == [
        "1K",
        *(f"3x1K/00000{number}.bin" for number in range(3)),
    ]
    with fsspec.open("dgen://1K_c2.bin") as file:
        assert file.full_name == "dgen://1K_c2.bin"


def test_keys_and_times() -> None:
    same = ["3G_d2.dat", "3072M_d2", "3G_c1_d2.bin"]
    others = ["3G_d2_s1", "3G_d2.npy", "1x3G_d2", "1x3G_d2/000000.bin", "3G_d3", ""]
    others += ["2x3G_f1/0000", "2x3G_f1/0001", "2x3G_f1", "2x3G_f1/0001/000001.bin", "2x3G"]
    assert len({FS.ukey(name) for name in same}) == 1
    assert len({FS.ukey(name) for name in [same[0], *others]}) == len(others) + 1
    assert FS.checksum("3G_d2.dat") == FS.checksum("3072M_d2") != FS.checksum("3G_d3")
    assert FS.created("1M") == FS.modified("3x1K/000001.bin") == MADE


WRITES = ["mkdir", "mkdirs", "makedirs", "rmdir", "rm", "rm_file", "delete", "touch"]
WRITES_OF_TWO = ["mv", "move", "copy", "cp", "cp_file", "put", "put_file", "upload", "pipe"]
WRITES_OF_TWO += ["pipe_file", "write_bytes", "write_text"]
AWAITED = ["_mkdir", "_makedirs", "_rm", "_rm_file"]
AWAITED_OF_TWO = ["_mv_file", "_copy", "_cp_file", "_pipe", "_pipe_file", "_put", "_put_file"]


def test_nothing_can_be_written() -> None:
    def refused(call: Any, *arguments: Any) -> None:
        with pytest.raises(OSError, match="dgen:// takes no writes") as caught:
            call(*arguments)
        assert (caught.value.errno, caught.value.filename) == (errno.EROFS, "2x1K")

    for name in WRITES:
        refused(getattr(FS, name), "2x1K")
    for name in WRITES_OF_TWO:
        refused(getattr(FS, name), "2x1K", "3x1K")
    for mode in ("wb", "ab", "xb", "r+b", "w"):
        refused(FS.open, "2x1K", mode)
    for name in AWAITED:
        refused(lambda call: asyncio.run(call("2x1K")), getattr(FS, name))
    for name in AWAITED_OF_TWO:
        refused(lambda call: asyncio.run(call("2x1K", "3x1K")), getattr(FS, name))
    refused(lambda: asyncio.run(FS.open_async("2x1K", "wb")))
    with pytest.raises(NotImplementedError, match="Sign"):
        FS.sign("1K")


def test_instances() -> None:
    assert fsspec.filesystem("dgen") is FS is DgenFileSystem()
    assert pickle.loads(pickle.dumps(FS)) == FS
    assert fsspec.AbstractFileSystem.from_json(FS.to_json()) is FS
    other = fsspec.filesystem("dgen", asynchronous=True)
    assert other.size("1M") == asyncio.run(other._size("1M")) == 1 << 20


# The child inherits a process with threads on purpose: that is what is tested.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_reads_too() -> None:
    whole = FS.cat_file("40M_d2")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert FS.cat_file("40M_d2") == whole
            assert asyncio.run(FS._cat_file("40M_d2", -3000)) == whole[-3000:]
            assert fsspec.filesystem("dgen").glob("2x1K/*1.bin") == ["2x1K/000001.bin"]
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_without_fsspec() -> None:
    run(
        sys.executable,
        "-c",
        "import sys; sys.modules['fsspec'] = None; import dgenfs;"
        "print([getattr(dgenfs, name) for name in dgenfs.__all__])",
    )
