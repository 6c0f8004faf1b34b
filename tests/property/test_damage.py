"""What the kernels find in wrong bytes is what tests/findings.py finds."""

import random

import numpy as np
import oracle
from findings import Finding, findings, period_of, read
from hypothesis import given, settings
from hypothesis import strategies as st

from dgenfs import Spec
from dgenfs.kernels import damage
from dgenfs.kernels.origins import others_of

NAMES = ("64K_d1_c1", "1M_d4_c2_s7", "3M+123_d3_c20", "16M_d2_c1.5", "1000x12345_d3_c3", "4K", "5P")
KINDS = {
    damage.ZEROS: "zeros",
    damage.MISPLACED: "misplaced",
    damage.OTHER_SEED: "other seed",
    damage.BIT_FLIPS: "bit flips",
    damage.UNKNOWN: "unknown",
}
WAYS = ("zeros", "ones", "text", "random", "elsewhere", "near", "seed", "roll", "flip", "flips")


def found_by_kernels(
    data: bytes, offset: int, name: str, others: list[oracle.Content]
) -> tuple[list[Finding], int]:
    rows = np.full((len(data) // 512 + 2, damage.COLUMNS), -1, np.int64)
    known = others_of(np.array([one.key for one in others], np.uint64))
    row = Spec.parse(name).layout.row
    buffer = np.frombuffer(data, np.uint8)
    count, sectors = damage.find_damage(buffer, np.uint64(offset), row, known, rows)
    found = []
    for start, end, kind, ahead, other, *wrong in rows[:count].tolist():
        whose = int(known.ranks[other]) if kind == damage.OTHER_SEED else 0
        found.append(Finding(start, end, KINDS[kind], ahead % 2**64, whose, *wrong))
    return found, sectors


def damaged(
    way: str,
    right: bytes,
    offset: int,
    there: int,
    content: oracle.Content,
    stranger: oracle.Content,
    source: random.Random,
) -> bytes:
    """Bytes instead of those that are right, or wrong in another way already, at ``offset``."""
    flips = [1 << source.randrange(8) if i % 7 == 0 else 0 for i in range(len(right))]
    ways = {
        "zeros": bytes(len(right)),
        "ones": b"\xff" * len(right),
        "text": (b"lorem ipsum " * 100)[: len(right)],
        "random": source.randbytes(len(right)),
        "elsewhere": read(content, there, len(right)),
        "near": read(content, offset + 512, len(right)),
        "seed": read(stranger, offset, len(right)),
        "roll": right[1:] + right[:1],
        "flip": bytes([right[0] ^ 16]) + right[1:],
        "flips": bytes(byte ^ flip for byte, flip in zip(right, flips, strict=True)),
    }
    return ways[way]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_of_all_kinds(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    content = oracle.parse(name)
    period = period_of(content)
    stem = name.partition("_s")[0]
    seeds = data.draw(st.lists(st.sampled_from([7, 3, 99, 100, 7, 0]), max_size=4))
    others = [oracle.parse(f"{stem}_s{seed}") for seed in seeds]
    source = data.draw(st.randoms(use_true_random=False))
    offset = source.choice([source.randrange(period), 0, period - source.randrange(1, 2000)])
    copy = bytearray(read(content, offset, source.choice([1, 100, 512, 3000, 8192])))
    for _ in range(source.randrange(8)):
        start = source.randrange(len(copy))
        end = min(len(copy), start + source.choice([1, 8, 16, 17, 24, 511, 512, 1100]))
        there = source.randrange(period)
        stranger = oracle.parse(f"{stem}_s{source.choice([3, 99, 5])}")
        way = source.choice(WAYS)
        right = bytes(copy[start:end])
        copy[start:end] = damaged(way, right, offset + start, there, content, stranger, source)
    found, sectors = found_by_kernels(bytes(copy), offset, name, others)
    assert found == findings(bytes(copy), offset, content, others)
    right = read(content, offset, len(copy))
    wrong = [i for i in range(len(copy)) if copy[i] != right[i]]
    assert sectors == len({(offset + i) // 512 for i in wrong})
    assert sum(one.wrong_bytes for one in found) == len(wrong)
