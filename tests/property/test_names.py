import contextlib
import random
import time

import oracle
import strategies
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dgenfs import Spec, SpecError
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


@settings(max_examples=1000)
@given(strategies.names() | strategies.tree_names())
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
