"""The same bytes whatever instructions the compiler may use."""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import oracle
import pytest
from llvmlite import binding
from vectors import VECTORS

# What Numba compiles for: the feature that the processor must have, the widest registers used.
# NUMBA_CPU_FEATURES adds to what is compiled for, so it stays empty.
PROCESSORS = {
    "x86-64": ("sse2", "xmm"),
    "haswell": ("avx2", "ymm"),
    "skylake-avx512": ("avx512dq", "zmm"),
}
NAMES = [v.name for v in VECTORS if "x" not in v.name and v.name != "0.bin"]
SEED = 20260101
MOST = 70_000  # bytes of a range

# Prints the width of the registers that `fill` uses and a digest of each range.
GENERATE = """
import hashlib, json, random, sys
import numpy as np
from dgenfs import DataGenerator
from dgenfs.kernels.compare import compare
from dgenfs.kernels.fill import fill_run
code = "".join(fill_run.inspect_asm().values())
print(max(name for name in ("xmm", "ymm", "zmm") if f"%{name}" in code))
for name, offset, length in json.loads(sys.stdin.read()):
    data = np.empty(length, np.uint8)
    generator = DataGenerator(name)
    count = generator.read_into(data, offset)
    print(hashlib.sha256(data[:count]).hexdigest())
    layout = generator.spec.layout
    assert compare(data[:count], np.uint64(offset % layout.period), layout.row) == (-1, 0, 0), name
"""


def ranges() -> list[tuple[str, int, int]]:
    source = random.Random(SEED)
    found = [(name, 0, MOST) for name in NAMES]
    for name in (*NAMES, "8E-1_d3_c1.7.bin"):
        size = oracle.parse(name).size
        found += [(name, source.randrange(size), source.randint(1, MOST)) for _ in range(5)]
    return found


def expected() -> list[str]:
    return [
        hashlib.sha256(oracle.read(oracle.parse(name), 0, offset, length)).hexdigest()
        for name, offset, length in ranges()
    ]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names x86-64 processors")
@pytest.mark.parametrize("processor", PROCESSORS)
def test_bytes(tmp_path: Path, processor: str) -> None:
    feature, widest = PROCESSORS[processor]
    if not binding.get_host_cpu_features().get(feature):
        pytest.skip(f"this processor has no {feature}")
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": processor,
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", GENERATE],
        input=json.dumps(ranges()),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    registers, *digests = done.stdout.split()
    assert registers == widest
    assert digests == expected()
