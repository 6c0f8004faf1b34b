"""Names that rounding leaves far off their ratio, and those nearby that are not."""

import random

import oracle
import pytest

from dgenfs import Spec
from dgenfs.content.prediction import deviation, is_close
from dgenfs.names.nearby import close_names


def given_ratios(name: str) -> list[float]:
    """What distinct bytes give, and stores of chunks of 4 KiB and of a unit, all counted."""
    content = oracle.parse(name)
    total = content.files * content.size
    ratios = [total / oracle.unique_bytes(content)]
    for chunk in (4096, content.unit):
        seen = {}
        for file in range(content.files):
            for start in range(0, content.size, chunk):
                i, within = divmod(start, content.unit)
                q = (file * content.units_per_file + i) % content.content_units
                length = min(chunk, content.size - start)
                seen[q, within, length] = length
        ratios.append(total / sum(seen.values()))
    return ratios


def off(name: str) -> float:
    named = oracle.parse(name).d_milli / 1000
    return max(abs(ratio / named - 1) for ratio in given_ratios(name))


def random_name(rng: random.Random) -> str:
    files = int(2 ** rng.uniform(0, 7)) if rng.random() < 0.7 else 1
    size = 8 + int(2 ** rng.uniform(0, 22)) // files
    dedup = rng.choice([1, 1.5, 2, 3, 10, 100, 1000, rng.randint(1000, 300_000) / 1000])
    unit = rng.choice(["", "", "_b4K", "_b64K"])
    return f"{files}x{size}_d{dedup}_c1{unit}"


def test_what_is_named_instead_is_close() -> None:
    rng = random.Random(0)
    far = 0
    for _ in range(150):
        name = random_name(rng)
        spec = Spec.parse(name)
        assert is_close(spec.layout) == (deviation(spec.layout) <= 0.02)
        if is_close(spec.layout):
            assert off(name) <= 0.02, name
            continue
        far += 1
        for other in close_names(spec):
            assert (other.files == spec.files) != (other.size == spec.size)
            assert other.dedup == spec.dedup
            if other.files * other.size < 64 << 20:
                assert off(other.name) <= 0.02, (name, other.name)
    assert far > 40


@pytest.mark.parametrize("name", ["3x100000_d2_c1", "7x9000_d3", "5x1M_d500", "20x70000_d1.5_b64K"])
def test_it_is_the_nearest(name: str) -> None:
    spec = Spec.parse(name)
    assert not is_close(spec.layout)
    count, size = close_names(spec)
    unit = name.partition("_b")[2]
    suffix = f"_d{spec.dedup}_c1" + (f"_b{unit}" if unit else "")
    between = range(1, abs(count.files - spec.files))
    files = [spec.files + sign * step for step in between for sign in (1, -1)]
    distance = abs(size.size - spec.size)
    sizes = [one for one in range(4096, 2 * spec.size, 4096) if abs(one - spec.size) < distance]
    names = [f"{one}x{spec.size}" for one in files if one > 0]
    for other in names + [f"{spec.files}x{one}" for one in sizes]:
        assert off(other + suffix) > 0.02, other


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("5053066_d1000_c1", ["4076K_d1000_c1.bin"]),
        ("3x100000_d2_c1.dat", ["2x100KB_d2_c1.dat", "3x96K_d2_c1.dat"]),
        ("1M_d4_c1_s7_b4M", ["16M_d4_c1_s7_b4M.bin"]),
        ("100x400001_d1000_f7", ["981x400001_d1000_c1_f7", "100x396K_d1000_c1_f7"]),
        ("0_d4", ["16K_d4_c1.bin"]),
        # Bytes that are the same by chance, and of more files the more so.
        ("1000000x2_d1", ["1000000x4K_d1_c1"]),
    ],
)
def test_names(name: str, others: list[str]) -> None:
    spec = Spec.parse(name)
    assert not is_close(spec.layout)
    assert [other.name for other in close_names(spec)] == others


def test_containers_keep_their_format() -> None:
    spec = Spec.parse("7x9000_d3_r1000B.h5")
    for other in close_names(spec):
        assert (other.extension, other.record) == ("h5", 1000)
        assert Spec.parse(other.name) == other
