"""Profiles: the data sets that they describe, and what is wrong with them."""

import itertools
import os
import struct
from hashlib import blake2b
from pathlib import Path

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profile_sets import SETS

from dgenfs.names.data_set import DataSet, ProfileDirectory
from dgenfs.names.file_set import SUFFIXES, ProfileFile
from dgenfs.names.grammar import SpecError
from dgenfs.names.profile import read
from dgenfs.names.tables import ProfileError

MIXED = (
    f"seed = 7\n{SETS}"
    + """
[[set]]
name = "notes-{index}.txt"
files = 5
size = { distribution = "list", sizes = ["1K", 5000], weights = [3, 1] }

[[set]]
directory = "valid/empty"
files = 0
size = 0
"""
)


def dlio(part: str, files: int, subfolders: int, extension: str) -> list[str]:
    """The paths that DLIO's data generator makes of its configuration (data_generator.py)."""
    found = []
    for index in range(files):
        number = str(index).zfill(len(str(files)))
        folder = ""
        if subfolders > 1:
            folder = str(index % subfolders).zfill(len(str(subfolders))) + "/"
        found.append(f"{part}/{folder}img_{number}_of_{files}.{extension}")
    return found


def words(seed: int, number: int, index: int) -> tuple[int, int]:
    """The seed of a file, and the word of its size."""
    numbers = struct.pack("<3Q", seed, number, index)
    digest = blake2b(numbers, digest_size=16, person=b"dgenfs-profile").digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def made(folder: Path, text: str, scale: str = "1") -> DataSet:
    path = folder / "profile.toml"
    path.write_text(text)
    return read(str(path), scale)


def files_of(data_set: DataSet) -> dict[str, ProfileFile]:
    return {node.path: node for node in data_set.top.walk() if isinstance(node, ProfileFile)}


def set_of(**keys: object) -> str:
    lines = [f"{key} = {value!r}" for key, value in keys.items()]
    return "\n".join(["[[set]]", *lines, ""])


@given(
    files=st.integers(1, 250),
    subfolders=st.integers(0, 20),
    eval_files=st.integers(0, 5),
    extension=st.sampled_from(["jpeg", "npy", "bin"]),
)
def test_the_paths_are_dlios(
    tmp_path_factory: pytest.TempPathFactory,
    files: int,
    subfolders: int,
    eval_files: int,
    extension: str,
) -> None:
    text = set_of(
        directory="train", files=files, subfolders=subfolders, format=extension, size="64K"
    ) + set_of(directory="valid", files=eval_files, format=extension, size="64K")
    data_set = made(tmp_path_factory.getbasetemp(), text)
    expected = dlio("train", files, subfolders, extension)
    expected += dlio("valid", eval_files, 0, extension)
    assert sorted(files_of(data_set)) == sorted(expected)
    directories = {node.path for node in data_set.top.walk()} - set(expected)
    inner = {f"train/{str(one).zfill(len(str(subfolders)))}" for one in range(subfolders)}
    assert directories == {"train", "valid"} | (inner if subfolders > 1 else set())
    assert data_set.top.files == len(expected)


def test_every_node_is_found_by_its_path(tmp_path: Path) -> None:
    data_set = made(tmp_path, MIXED)
    top = data_set.top
    assert [name for name, _ in top.entries()] == [
        *("train", "valid"),
        *(f"notes-{index}.txt" for index in range(5)),
    ]
    for node in top.walk():
        names = node.path.split("/")
        assert top.find(names) == node
        parent = top.find(names[:-1])
        assert isinstance(parent, ProfileDirectory)
        assert parent.child(names[-1]) == node
        if isinstance(node, ProfileDirectory):
            assert node.parent == parent
            listed = list(node.entries())
            assert len(listed) == node.count
            for position in range(node.count + 2):
                assert list(node.entries(position)) == listed[position:]
    for path in (
        "train/img_00_of_30.npy",
        "train/1/img_00_of_30.npy",
        "train/0/img_0_of_30.npy",
        "train/0/img_32_of_30.npy",
        "train/0/img_\u0660\u0660_of_30.npy",
        "train/4",
        "train/00",
        "valid/img_0_of_3.indexed_binary.idx",
        "valid/img_0_of_3.indexed_binary.off.idx.sz.idx",
        "notes-0.txt/x",
        "notes-.txt",
        "",
        "x\ny",
    ):
        with pytest.raises(SpecError):
            top.find(path.split("/"))


def test_files_are_those_of_plain_names(tmp_path: Path) -> None:
    data_set = made(tmp_path, MIXED)
    for file in files_of(data_set).values():
        seed, _ = words(7, file.set.number, file.index)
        if file.spec is None:
            continue
        assert (file.spec.seed, file.spec.size) == (seed, file.size)
        assert file.view().size == file.size
        if file.set.number == 2:
            assert file.size in (1024, 5000)
            name = f"{file.size}_s{seed}.bin"
            assert file.view().read(0, 9999) == oracle.read(oracle.parse(name), 0, 0, file.size)
    some = {f"{file.spec}" for file in files_of(data_set).values() if file.set.number == 1}
    assert some == {f"10500_d2_c1.5_s{words(7, 1, k)[0]}.bin" for k in range(3)} | {"None"}


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 1999, 2000, 10500, 123_456])
def test_indices(tmp_path: Path, size: int) -> None:
    text = set_of(files=1, format="indexed_binary", record=1000, size=size)
    found = files_of(made(tmp_path, text))
    name = "img_0_of_1.indexed_binary"
    assert list(found) == [name + suffix for suffix in SUFFIXES]
    samples = max(size // 1000, 1) if size else 0
    offsets = [1000 * sample for sample in range(samples)]
    sizes = [end - start for start, end in itertools.pairwise([*offsets, size])]
    for suffix, numbers in ((".off.idx", offsets), (".sz.idx", sizes)):
        file = found[name + suffix]
        expected = struct.pack(f"<{samples}Q", *numbers)
        assert file.size == len(expected)
        view = file.view()
        assert view.read(0, len(expected) + 9) == expected
        for start, length in ((3, 1), (3, 9), (8, 8), (len(expected) - 5, 5)):
            if start >= 0 and start + length <= len(expected):
                assert view.read(start, length) == expected[start : start + length]
    assert sum(sizes) == size


def test_a_billion_files(tmp_path: Path) -> None:
    data_set = made(tmp_path, set_of(files=10**9, subfolders=1000, size="1M"))
    top = data_set.top
    last = top.find(["0999", "img_0999999999_of_1000000000.bin"])
    assert isinstance(last, ProfileFile)
    assert (last.index, last.size) == (10**9 - 1, 1 << 20)
    directory = top.child("0999")
    assert isinstance(directory, ProfileDirectory)
    assert directory.count == 10**6
    assert [node for _, node in directory.entries(10**6 - 1)] == [last]
    assert top.files == 10**9
    assert top.size == 10**9 << 20


def test_scale(tmp_path: Path) -> None:
    whole = made(tmp_path, MIXED)
    for scale, counts in (("0.1", [3, 1, 1, 0]), ("0.0001", [1, 1, 1, 0]), ("2", [60, 6, 10, 0])):
        scaled = made(tmp_path, MIXED, scale)
        assert [one.files for one in scaled.sets] == counts
        for one, other in zip(scaled.sets, whole.sets, strict=True):
            for index in range(min(one.files, other.files)):
                assert one.spec(index) == other.spec(index)
        assert scaled.mark != whole.mark
    with pytest.raises(ValueError, match="without an exponent and of at most 12 digits"):
        made(tmp_path, MIXED, "1e9")
    for scale in ("0", "-1", "x", "", "1e9", "inf", "nan", "0.0", "1" * 13):
        with pytest.raises(ValueError, match="--scale"):
            made(tmp_path, MIXED, scale)


ERRORS = [
    ("seed = -1\n", 1, "seed = -1: is a whole number from 0 to 18446744073709551615"),
    ("x = 1\n" + set_of(files=1, size=1), 1, "x: is no key of a profile here"),
    ("seed = 1\n", 1, "set: is missing: a profile has at least one [[set]]"),
    ("set = 3\n", 1, "set = 3: is written [[set]]"),
    ("set = []\n", 1, "set: a profile has 1 to 1000 of them"),
    ("\n\na = \n", 3, "is no TOML: Invalid value, column 5"),
    ("\n\na = [", 3, "is no TOML: Invalid value, at its end"),
    ("a = " + "[" * 9999, None, "is no TOML: a number or a nesting is too large"),
    ("a = 1e99999999999999999999", None, "is no TOML: a number or a nesting is too large"),
    ("\na = " + "9" * 9999, 2, "is no TOML: a whole number has 64 bits, and this one more"),
    ("seed = 0x" + "f" * 9999, 1, "seed = a number of thousands of digits: is a whole number"),
    (set_of(size=1), 1, "files: is missing: say how many there are"),
    (set_of(files=1), 1, "records: is missing: say size, the bytes of a file, or records"),
    (set_of(files=1, size=1) + set_of(files=2, name="x"), 6, "name = x: has {index} once"),
    (set_of(files=1, size=1) + set_of(files=2.0, size=1), 5, "files = 2.0: is a whole number"),
    (set_of(files=1, size=1) + set_of(files=1, size=1), 4, "name: set 1 may have files of the"),
    (set_of(files=10**9 + 1, size=1), 2, "files = 1000000001: is a whole number from 0 to 10000"),
    (set_of(files=1, size="140X"), 3, "size: '140X' is not a size such as 4096, 1.5M or 10GB"),
    (set_of(files=1, size=-1), 3, "size = -1: is a size such as 4096, '1.5M' or '10GB'"),
    (set_of(files=1, size="8E"), 3, "size: '8E': a size is 0 to 2^63-1 bytes (8E-1)"),
    (
        set_of(files=1, format="npy", records=3, record="8E-1"),
        4,
        "records = 3: of 9223372036854775807 bytes have more than 2^63-1 together",
    ),
    (
        set_of(files=1, format="tfrecord", records=3, record="4G"),
        4,
        "records = 3: a tfrecord file cannot have so many of 4294967296 bytes; say a record of at",
    ),
    (
        set_of(files=1, format="safetensors", records=10**8, record=1),
        4,
        "records = 100000000: a safetensors file cannot have so many of 1 bytes; say a record of",
    ),
    (
        set_of(files=1, format="parquet", size="8G", record="4G"),
        4,
        "size: 8589934592 bytes: a value of parquet has at most",
    ),
    (set_of(files=1, size=1, name=".stats"), 4, "name: the root of a mount has files .topology"),
    (
        set_of(files=1, size=1, directory=".metrics/x"),
        4,
        "directory = .metrics: the root of a mount has files .topology, .stats, .metrics of its",
    ),
    (
        set_of(files=9, size=1, name="disk{index}") + set_of(files=1, size=1, name="disk8"),
        8,
        "name: set 1 may have files of the same name",
    ),
    (set_of(files=1, size=1.5), 3, "size = 1.5: is a size such as"),
    (set_of(files=1, size=2**63), 3, "size = 9223372036854775808: is a size"),
    (set_of(files=1, format="npy", size=5), 4, "size: 5 bytes: "),
    (set_of(files=1, format="a-b", size=5), 3, "format = a-b: is indexed_binary, or an extension"),
    (set_of(files=1, format="md5", size=5), 3, "format = md5: is indexed_binary, or an extension"),
    (set_of(files=1, format="indexed_binary", size=5), 1, "record: is missing: the indices are"),
    (set_of(files=1, record=4096, size=5), 3, "record: only containers have records: indexed_"),
    (set_of(files=1, format="npy", record=0, size="1M"), 4, "record = 0: a record has at least 1"),
    (set_of(files=1, format="npy", records=2, size="1M"), 4, "records = 2: is a whole number fro"),
    (set_of(files=1, format="npy", records=2), 1, "record: is missing: its bytes"),
    (set_of(files=1, size=1, dedup=1.0001), 4, "dedup = 1.0001: has at most 3 decimals"),
    (set_of(files=1, size=1, dedup=0.5), 4, "dedup = 0.5: is a number from 1 to 1000"),
    (set_of(files=1, size=1, compress="2"), 4, "compress = 2: is a number from 1 to 20"),
    (set_of(files=1, size=1, name="{index}{no}"), 4, "name = {index}{no}: has {index}, {files}"),
    (set_of(files=1, size=1, name="{index}{"), 4, "name = {index}{: has {index}, {files}"),
    (set_of(files=1, size=1, name="a/{index}"), 4, "name = a/0: has an empty name in it"),
    (set_of(files=1, size=1, name="n" * 256), 4, "name: a name has at most 255 bytes"),
    (set_of(files=1, size=1, directory="/a"), 4, "directory = : has an empty name in it"),
    (set_of(files=1, size=1, directory="a/.."), 4, "directory = ..: has an empty name in it"),
    (set_of(files=1, size=1, directory="a/" * 200 + "a"), 4, "directory: has at most 255 bytes"),
    (set_of(files=1, size=1, subfolders=10**9), 4, "subfolders = 1000000000: is a whole number"),
    (
        set_of(files=9, size=1, subfolders=3)
        + set_of(files=9, size=1, subfolders=2, name="{index}"),
        8,
        "subfolders = 2: there are 3 in the same directory already",
    ),
    (
        set_of(files=9, size=1, subfolders=3) + set_of(files=9, size=1, name="{index}"),
        8,
        "name: a file may be called as a subfolder is",
    ),
    (
        set_of(files=9, size=1, subfolders=3) + set_of(files=9, size=1, directory="2"),
        4,
        "subfolders: one may be called as the directory '2'",
    ),
    (
        set_of(files=9, size=1, name="{index}") + set_of(files=9, size=1, directory="2"),
        4,
        "name: a file is called as a directory is",
    ),
    ("[[set]]\nfiles = 1\nsize = { distribution = 'x' }\n", 3, "distribution = x: is normal, log-"),
    (
        "[[set]]\nfiles = 1\n[set.size]\ndistribution = 'normal'\nmean = 1\n",
        3,
        "deviation: is missing: bytes",
    ),
    (
        "[[set]]\nfiles = 1\n[set.size]\ndistribution = 'log-normal'\nmu = 1\nsigma = inf\n",
        6,
        "sigma = Infinity: is a number from 0 to 100",
    ),
    (
        "[[set]]\nfiles = 1\nformat = 'npy'\n[set.size]\ndistribution = 'normal'\nmean = 1\n"
        "deviation = 1\nleast = 5\n",
        8,
        "least = 5: the smallest file of this format has 4097 bytes",
    ),
    (
        "[[set]]\nfiles = 1\n[set.size]\ndistribution = 'normal'\nmean = 1\n"
        "deviation = 1\nleast = 5\nmost = 4\n",
        8,
        "most = 4: is not below the least size, 5",
    ),
    (
        "[[set]]\nfiles = 1\nsize = { distribution = 'list', sizes = [1, 2], weights = [1] }\n",
        3,
        "weights = [1]: are as many as sizes, 2",
    ),
    (
        "[[set]]\nfiles = 1\nsize = { distribution = 'list', sizes = [1], weights = [0] }\n",
        3,
        "weights = 0: a weight is a whole number from 1 to 1000000000",
    ),
    (
        "[[set]]\nfiles = 1\nsize = { distribution = 'list', sizes = [] }\n",
        3,
        "sizes = []: is an array of at least one value",
    ),
    (
        "[[set]]\nfiles = 1\nsize = { distribution = 'list', sizes = [1], mean = 1 }\n",
        3,
        "mean: is no key of a profile here",
    ),
]


@pytest.mark.parametrize(("text", "line", "rule"), ERRORS, ids=[rule for _, _, rule in ERRORS])
def test_errors_say_where(tmp_path: Path, text: str, line: int | None, rule: str) -> None:
    with pytest.raises(ProfileError) as raised:
        made(tmp_path, text)
    place = f"{tmp_path / 'profile.toml'}:" + ("" if line is None else f"{line}:")
    assert str(raised.value).startswith(f"{place} {rule}"), raised.value


def test_what_is_no_profile(tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    path.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ProfileError, match=r"profile\.toml:2: is not UTF-8, and TOML is"):
        read(str(path))
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ProfileError, match="a profile has at most 1048576 bytes"):
        read(str(path))
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ProfileError, match="is no regular file"):
        read(str(tmp_path / "pipe.toml"))
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match=r"'unet': is none of .*mlperf-unet3d.*such as \./unet"):
        read("unet")


@given(data=st.data(), text=st.text(max_size=300) | st.binary(max_size=300).map(repr))
def test_any_text_is_a_profile_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, text: str
) -> None:
    lines = MIXED.splitlines()
    at = data.draw(st.integers(0, len(lines)))
    value = data.draw(st.sampled_from(lines) | st.just(text))
    changed = "\n".join([*lines[:at], value, *lines[at + data.draw(st.integers(0, 2)) :]])
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(changed.encode(errors="surrogatepass"))
    try:
        found = read(str(path))
    except ProfileError:
        return
    for node in itertools.islice(found.top.walk(), 50):
        assert found.top.find(node.path.split("/")) == node
