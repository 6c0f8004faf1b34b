import contextlib
import random
import time

import numpy as np
import oracle
import strategies
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dgenfs import Spec, SpecError
from dgenfs.kernels.names import PATH_BYTES, file_named, find_unknown, put_path
from dgenfs.names.suggest import nearest_name


def expected(name: str) -> oracle.Content | None:
    try:
        return oracle.parse(name)
    except oracle.BadName:
        return None


def check(name: str) -> None:
    content = expected(name)
    if content is None:
        try:
            Spec.parse(name)
        except SpecError:
            return
        raise AssertionError(f"{name!r} was taken for a name")
    spec = Spec.parse(name)
    layout = spec.layout
    assert (layout.files, layout.size, layout.dedup_milli, layout.compress_milli) == (
        content.files,
        content.size,
        content.d_milli,
        content.c_milli,
    )
    assert (layout.seed, layout.unit, layout.units_per_file, layout.content_units) == (
        content.seed,
        content.unit,
        content.units_per_file,
        content.content_units,
    )
    assert layout.key == content.key
    # No tree has more than 10^9 files: a limit above is no other tree.
    limit = None if content.per_directory is None else min(content.per_directory, 10**9)
    assert (spec.tree, spec.per_directory, spec.sidecar) == (content.tree, limit, content.sidecar)
    assert Spec.parse(spec.name) == spec


@settings(max_examples=1000)
@given(strategies.names() | strategies.tree_names() | strategies.container_names())
@example("63x4097_d1")
@example("2x5000_d1_c1")
def test_names_mean_what_the_format_says(name: str) -> None:
    check(name)


@settings(max_examples=2000)
@given(strategies.hostile_names())
@example("1x0+0_b4KiB_c1_d1_f9999999999999999999999999999991_s0")
@example("1x256_f1" + "0" * 244)
@example("1x0.25K+0_f" + "9" * 5000)
def test_hostile_names_are_names_or_errors(name: str) -> None:
    check(name)
    nearest = nearest_name(name)
    if nearest is not None:
        assert Spec.parse(nearest).name == nearest


@settings(max_examples=500)
@given(strategies.names() | strategies.tree_names())
def test_canonical_name_is_the_same_content(name: str) -> None:
    spec = Spec.parse(name)
    assert Spec.parse(spec.name) == spec
    assert Spec.parse(spec.name).name == spec.name


@settings(max_examples=300)
@given(strategies.tree_names(), st.data())
def test_paths_of_a_tree_lead_back(name: str, data: st.DataObject) -> None:
    spec = Spec.parse(name)
    file = data.draw(st.integers(0, spec.files - 1))
    assert spec.path(file) == oracle.tree_path(oracle.parse(name), file)
    assert spec.index(spec.path(file)) == file
    assert spec.index(spec.path(file) + "x") is None
    assert spec.index("0" + spec.path(file)) is None


def put(spec: Spec, file: int) -> str:
    """The path that compiled code makes, which writes no more than the bytes it may."""
    room = np.full(PATH_BYTES + 8, 0xAA, np.uint8)
    length = put_path(room[:PATH_BYTES], np.uint64(file), spec.row)
    assert room[length] == 0
    assert (room[length + 1 :] == 0xAA).all()
    return room[:length].tobytes().decode()


def named(spec: Spec, name: bytes, end: bytes = b"\0") -> int | None:
    """The file that compiled code takes a name for, which stands among other bytes."""
    before, behind = b"7" * 13, b"\x000.bin"
    data = np.frombuffer(before + name + end + behind, np.uint8)
    start = len(before)
    file = int(file_named(spec.row, data, start, start + len(name) + len(end)))
    assert file >= -1
    return None if file < 0 else file


def unknown(spec: Spec, directory: int, names: list[bytes]) -> list[bool]:
    """Which names in a directory, -1 for the tree's own, compiled code knows no file of."""
    text = np.frombuffer(b"".join(name + b"\0" for name in names), np.uint8)
    found = np.full(len(names), 0xAA, np.uint8)
    find_unknown(text, np.int64(directory), found, spec.row)
    assert set(found.tolist()) <= {0, 1}
    return [bool(one) for one in found]


def named_by_oracle(content: oracle.Content, name: bytes) -> int | None:
    """The only file that a name's digits could be of, if its name is this one."""
    digits = name.partition(b".")[0]
    if digits == b"" or any(digit not in b"0123456789" for digit in digits) or len(digits) > 20:
        return None
    file = int(digits)
    right = file < content.files and oracle.tree_path(content, file).rpartition("/")[2]
    return file if right == name.decode("latin-1") else None


def directory_by_oracle(content: oracle.Content, file: int) -> int:
    return -1 if content.per_directory is None else file // content.per_directory


@settings(max_examples=300)
@given(strategies.tree_names(), st.data())
@example("1000000000x9223372036_f1.abcdefghijk", None)
@example("1000000000x1.abcdefghijk", None)
@example("1000000000x1_f1000000000", None)
@example("1000001x0_f99.x", None)
@example("1000000x1_f100", None)
@example("1x1_f1", None)
def test_compiled_paths(name: str, data: st.DataObject | None) -> None:
    spec, content = Spec.parse(name), oracle.parse(name)
    files = {0, spec.files // 2, spec.files - 1}
    if spec.per_directory is not None:
        files |= {min(spec.per_directory, spec.files) - 1, min(spec.per_directory, spec.files - 1)}
    if data is not None:
        files |= data.draw(st.sets(st.integers(0, spec.files - 1)))
    for file in sorted(files):
        path = oracle.tree_path(content, file)
        assert put(spec, file) == path == spec.path(file)
        inside = path.rpartition("/")[2].encode()
        assert named(spec, inside) == file
        assert named(spec, inside, b"") is None
        assert named(spec, inside, b"x") is None
        directory = directory_by_oracle(content, file)
        assert unknown(spec, directory, [inside]) == [False]
        others = {-1, 0, directory - 1, directory + 1, 2**31} - {directory, -2}
        assert all(unknown(spec, other, [inside]) == [True] for other in others)


@settings(max_examples=500)
@given(strategies.tree_names(), st.data())
def test_compiled_code_knows_names_by_every_byte(name: str, data: st.DataObject) -> None:
    spec, content = Spec.parse(name), oracle.parse(name)
    file = data.draw(st.integers(0, spec.files - 1))
    directory = directory_by_oracle(content, data.draw(st.sampled_from([file, 0])))
    right = oracle.tree_path(content, file).rpartition("/")[2].encode()
    names = data.draw(st.lists(strategies.names_like(right), max_size=20))
    files = [named_by_oracle(content, one) for one in names]
    assert [named(spec, one) for one in names] == files
    wrong = [one is None or directory_by_oracle(content, one) != directory for one in files]
    assert unknown(spec, directory, names) == wrong


def test_compiled_code_knows_a_name_by_each_byte() -> None:
    """Whatever byte stands in whatever place of a name, only the names of files are known."""
    name = "2000000x1_f7.aBcdefg8"
    spec, content = Spec.parse(name), oracle.parse(name)
    right = b"1234567.aBcdefg8"
    assert named(spec, right) == 1234567
    for at in range(len(right)):
        names = [right[:at] + bytes([byte]) + right[at + 1 :] for byte in range(1, 256)]
        assert [named(spec, one) for one in names] == [named_by_oracle(content, o) for o in names]


def test_a_plain_file_has_no_names_inside() -> None:
    assert named(Spec.parse("1K"), b"") is None
    assert named(Spec.parse("1K"), b"000000.bin") is None


@settings(max_examples=200)
@given(st.integers(1, 300), st.integers(0, 1 << 20), strategies.params())
def test_unique_bytes(files: int, size: int, params: str) -> None:
    name = f"{files}x{size}{params}"
    assert Spec.parse(name).layout.unique_size == oracle.unique_bytes(oracle.parse(name))


def test_a_hundred_thousand_names_within_a_millisecond_each() -> None:
    """Random mutations, parsed as fast as they come; a second run forgives the machine's noise."""
    source = random.Random(1)
    alphabet = "0123456789.KMGTPEiBkmgx_dcsbf+-٣² \n\0abcz" + "e" * 3
    good = ["10G_d4_c2.bin", "1000000x100K_d2_c1.5_f1000", "8E-1", "3MB_d3_c1_b64K.bin.sha256"]
    names = []
    for _ in range(100_000):
        name = list(source.choice(good)) if source.random() < 0.7 else []
        for _ in range(source.choice([0, 1, 1, 2, 30])):
            at = source.randint(0, len(name))
            name[at : at + source.randint(0, 2)] = source.choices(alphabet, k=source.randint(0, 3))
        names.append("".join(name) * source.choice([1, 1, 1, 1, 50]))
    slow = names
    for _ in range(3):
        slow = [name for name in slow if parse_seconds(name) > 1e-3]
    assert slow == []


def parse_seconds(name: str) -> float:
    start = time.perf_counter()
    with contextlib.suppress(SpecError):
        Spec.parse(name)
    return time.perf_counter() - start
