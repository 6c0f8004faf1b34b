from pathlib import PurePath

import pytest
from vectors import VECTORS, Vector

from dgenfs import Spec, SpecError
from dgenfs.names.catalog import File, find_file
from dgenfs.names.grammar import parse_size


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_layout_of_the_vectors(vector: Vector) -> None:
    layout = Spec.parse(vector.name).layout
    assert (layout.key, layout.unit, layout.units, layout.content_units) == (
        vector.key,
        vector.unit,
        vector.units,
        vector.content_units,
    )


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("10G_d4_c2.bin", "10G_d4_c2.bin"),
        ("1024M_c2_d4.dat", "1G_d4_c2.bin"),
        ("1.5k", "1536_d1_c1.bin"),
        ("3MB_d3_c1_b64K.bin", "3MB_d3_c1_b64K.bin"),
        ("3000000B", "3MB_d1_c1.bin"),
        ("4096.bin", "4K_d1_c1.bin"),
        ("0", "0_d1_c1.bin"),
        ("8E-1", "9223372036854775807_d1_c1.bin"),
        ("1M_b4K_d4_c2_s0", "1M_d4_c2.bin"),
        ("1M_b8K_d04.50_c1.250_s007", "1M_d4.5_c1.25_s7_b8K.bin"),
        ("1G.bin.sha256", "1G_d1_c1.bin.sha256"),
        ("5x5M_d2", "5x5M_d2_c1"),
        ("1000x1M_f100_d2.dat", "1000x1M_d2_c1_f100.dat"),
    ],
)
def test_canonical_name(name: str, canonical: str) -> None:
    spec = Spec.parse(name)
    assert spec.name == canonical
    assert Spec.parse(canonical) == spec


@pytest.mark.parametrize(
    ("name", "part", "rule"),
    [
        ("", "", "starts with a size"),
        ("file.txt", "file", "starts with a size"),
        ("10X", "X", "unit"),
        ("1..5M", "1..5M", "digits"),
        ("1.0001K", "1.0001K", "whole bytes"),
        ("8E", "8E", "2^63-1"),
        ("4K-5000", "4K-5000", "2^63-1"),
        ("10G_d0.5", "d0.5", "1 to 1000"),
        ("10G_c20.001", "c20.001", "1 to 20"),
        ("10G_d1.2345", "d1.2345", "3 decimals"),
        ("10G_d2_c3_d2", "d2", "once"),
        ("10G_s18446744073709551616", "s18446744073709551616", "seed"),
        ("10G_b5K", "b5K", "power of two"),
        ("10G_b4096", "b4096", "its unit"),
        ("10G_f10", "f10", "tree"),
        ("10G__d4", "", "parameter"),
        ("10G_d4.tar.gz", "d4.tar", "ratio"),
        ("10G.abcdefghijkl", ".abcdefghijkl", "10 letters"),
        ("10G.md5.sha1", ".md5", "checksum"),
        ("5x1M.md5", ".md5", "tree"),
        ("0x1M", "0", "files"),
        ("10x1M_f0", "f0", "directory"),
        ("2x8E-1", "2x8E-1", "2^63-1"),
        ("1" * 256, "1111111111111111...", "255"),
        ("1K\n", "1K\n", "size"),
        ("٣K", "٣K", "size"),
    ],
)
def test_error_names_the_part_and_the_rule(name: str, part: str, rule: str) -> None:
    with pytest.raises(SpecError) as caught:
        Spec.parse(name)
    assert caught.value.part == part
    assert rule in caught.value.rule
    assert repr(part) in str(caught.value)


def test_values() -> None:
    spec = Spec.parse("10M_d2.5_c3_s42.bin")
    assert (spec.files, spec.size, spec.dedup, spec.compress, spec.seed) == (
        1,
        10 << 20,
        2.5,
        3.0,
        42,
    )
    assert spec.effective_dedup == 2.5
    assert spec.effective_compress == pytest.approx(3, rel=1e-3)
    assert hash(spec) == hash(Spec.parse("10M_d2.5_c3_s42.dat"))
    assert Spec.parse("200x5000_d3").effective_dedup == pytest.approx(200 / 67)


def test_find_file() -> None:
    tree = Spec.parse("1000x1M_d2_f100")
    assert find_file(PurePath("/a/1000x1M_d2_f100/0009/000999.bin")) == File(tree, 999)
    assert find_file(PurePath("5x1K/000004.bin")) == File(Spec.parse("5x1K"), 4)
    # Not a file of the tree, so only its own name can say what it holds.
    assert find_file(PurePath("5x1K/000005.bin")) == File(Spec.parse("5.bin"))
    assert find_file(PurePath("/a/b/1M_d2")) == File(Spec.parse("1M_d2"))
    for bad in ("5x1K", "1M.sha256", "a/b"):
        with pytest.raises(SpecError):
            find_file(PurePath(bad))


def test_parse_size() -> None:
    assert parse_size("1.5M") == 3 << 19
    for bad in ("-1", "", "x", "10Q", "1.0001K"):
        with pytest.raises(ValueError, match=f"'{bad}' is not a size"):
            parse_size(bad)
