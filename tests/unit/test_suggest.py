"""The nearest name is what was meant, or there is none."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgenfs import Spec, SpecError
from dgenfs.names.suggest import nearest_name


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ("10GB_d0.5", "10GB_d1_c1.bin"),
        ("10G-d4-c2.bin", "10G_d4_c2.bin"),
        ("10G_d4c2", "10G_d4_c2.bin"),
        ("10gib_dedup=4_c30.bin", "10G_d4_c20.bin"),
        ("10G_d4x_c2x.bin", "10G_d4_c2.bin"),
        ("10G_d4:1", "10G_d4_c1.bin"),
        ("10G_b5K", "10G_d1_c1_b4K.bin"),
        ("10G_b64", "10G_d1_c1_b64K.bin"),
        ("1000X1M_f0", "1000x1M_d1_c1_f1"),
        ("10G d4 c2", "10G_d4_c2.bin"),
        ("10G_d4 (1).bin", "10G_d4_c1.bin"),
        ("10G_d4.tar.gz", "10G_d4_c1.bin"),
        ("10G-backup2.bin", "10G_d1_c1.bin"),
        ("1e9", "1GB_d1_c1.bin"),
        ("1.5e6B_d2", "1500KB_d2_c1.bin"),
        ("8E-1_d4x", "9223372036854775807_d4_c1.bin"),
        ("4K-1_d4x", "4095_d4_c1.bin"),
        ("8E", "9223372036854775807_d1_c1.bin"),
        ("1,000M", "1000M_d1_c1.bin"),
        ("1_000", "1KB_d1_c1.bin"),
        ("1 000 000", "1MB_d1_c1.bin"),
        ("1,5M", "1536K_d1_c1.bin"),
        ("1.7G", "1741M_d1_c1.bin"),
        ("1000*1M", "1000x1M_d1_c1"),
        ("1,000 x 1M_d2", "1000x1M_d2_c1"),
        ("10G_d4,5", "10G_d4.5_c1.bin"),
        ("10G_c2.7z", "10G_d1_c2.bin"),
        ("1G.7z", "1G_d1_c1.bin"),
        ("1000\u00d71M", "1000x1M_d1_c1"),
        ("1M_b4\u212a", "1M_d1_c1_b4K.bin"),
        # Containers.
        ("10_d2.npz", "4408_d2_c1.npz"),
        ("3x1_d2.npy", "3x4097_d2_c1.npy"),
        ("5_d2.tfrecord.idx", "55_d2_c1.tfrecord.idx"),
        ("1M-d2.tfrecord.idx", "1M_d2_c1.tfrecord.idx"),
        ("10M_record=4K_d2x.safetensors", "10M_d2_c1_r4K.safetensors"),
        ("10M_rec64K_d2.tar", "10M_d2_c1_r64K.tar"),
        ("1M_r4K", "1M_d1_c1.bin"),
        ("1M_r2M.tfrecord", "1M_d1_c1.tfrecord"),
        # Not clear, or too far from what can be.
        ("10G_c50%", None),
        ("10G_d1,250", None),
        ("10G_d5000", None),
        ("10G_b1G", None),
        ("10G_s1.5", None),
        ("17E", None),
        ("1e99", None),
        ("0.5B", None),
        ("10X", None),
        ("10 gigabytes", None),
        ("1\u212a", None),
        ("10\u212aB", None),
        ("1m\u0130B", None),
        ("1..5M", None),
        ("1.000.000", None),
        ("1.7z", None),
        ("1,500.5,5M", None),
        ("0x1M", None),
        ("1000xM", None),
        ("photo.jpg", None),
        ("", None),
    ],
)
def test_nearest_name(bad: str, good: str | None) -> None:
    with pytest.raises(SpecError):
        Spec.parse(bad)
    assert nearest_name(bad) == good


UNITS = {"": 1, "B": 1, "kB": 1000, "K": 1 << 10, "MiB": 1 << 20, "g": 1 << 30, "TB": 10**12}
GROUPS = (",", "_", " ", "'")


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A number as people write it, and what it says."""
    whole = draw(st.integers(1, 10**7))
    form = draw(st.sampled_from(["plain", "grouped", "point", "comma", "power"]))
    if form == "grouped":
        return f"{whole:,}".replace(",", draw(st.sampled_from(GROUPS))), Fraction(whole)
    if form in ("point", "comma"):
        digits = draw(st.sampled_from(["5", "25", "7", "1", "0625"]))
        point = "." if form == "point" else ","
        return f"{whole}{point}{digits}", Fraction(f"{whole}.{digits}")
    if form == "power":
        power = draw(st.integers(0, 9))
        return f"{whole % 100 + 1}e{power}", Fraction((whole % 100 + 1) * 10**power)
    return str(whole), Fraction(whole)


@settings(max_examples=1000)
@given(
    st.none() | st.tuples(st.integers(1, 10**6), st.sampled_from(["x", "X", "*", " x ", "\u00d7"])),
    numbers(),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(
        ["", " ", "_", "%", "z", "7", ".7z", ".bin", "x", "e", ",", "_d4x", "-c2", "?"]
    ),
)
def test_a_size_is_what_the_number_said(
    files: tuple[int, str] | None, number: tuple[str, Fraction], unit: str, rest: str
) -> None:
    text, value = number
    head = f"{files[0]}{files[1]}" if files else ""
    said = value * UNITS[unit]
    nearest = nearest_name(f"{head}{text}{unit}{rest}")
    if nearest is None:
        # What is followed by nothing is understood, if it is a byte or more and no more than fit.
        total = said * (files[0] if files else 1)
        assert rest or said < 1 or total >= 2**63 - 1, text
        return
    spec = Spec.parse(nearest)
    assert spec.files == (files[0] if files else 1)
    if rest in ("7", "x", "e") and unit == "":
        return  # another number
    assert abs(spec.size - said) <= 1 + said / 100, nearest
