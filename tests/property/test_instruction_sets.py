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
# For CRCs the features are named, as kernels/carryless.py asks; the widest registers multiplied.
MULTIPLYING = {
    "x86-64": ((), "none"),
    "nehalem": (("pclmul",), "xmm"),
    "haswell": (("avx2", "pclmul", "vpclmulqdq"), "ymm"),
    "skylake-avx512": (("avx512dq", "avx512f", "pclmul", "vpclmulqdq"), "zmm"),
}
NAMES = [v.name for v in VECTORS if "x" not in v.name and v.name != "0.bin"]
SEED = 20260101
MOST = 70_000  # bytes of a range
UNIT = Path(__file__).parents[1] / "unit"

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

# Prints the width of the registers that `crc` multiplies, and runs its tests.
CRCS = f"""
import pytest
from dgenfs.kernels.crc import crc
lines = "".join(crc.inspect_asm().values()).splitlines()
code = "".join(line for line in lines if "pclmul" in line)
used = [name for name in ("xmm", "ymm", "zmm") if f"%{{name}}" in code]
print(*used[-1:] or ["none"], flush=True)
raise SystemExit(pytest.main(["-p", "no:cacheprovider", {str(UNIT / "test_crc.py")!r}]))
"""
X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="names x86-64 processors")


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


def run(program: str, folder: Path, processor: str, features: str = "", given: str = "") -> str:
    """Return what a program prints whose kernels are compiled anew for a processor."""
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": processor,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def skip_without(*features: str) -> None:
    has = binding.get_host_cpu_features()
    for feature in features:
        if not has.get(feature):
            pytest.skip(f"this processor has no {feature}")


@X86
@pytest.mark.parametrize("processor", PROCESSORS)
def test_bytes(tmp_path: Path, processor: str) -> None:
    feature, widest = PROCESSORS[processor]
    skip_without(feature)
    registers, *digests = run(GENERATE, tmp_path, processor, given=json.dumps(ranges())).split()
    assert registers == widest
    assert digests == expected()


@X86
@pytest.mark.parametrize("processor", MULTIPLYING)
def test_crcs(tmp_path: Path, processor: str) -> None:
    features, widest = MULTIPLYING[processor]
    skip_without(*features)
    named = ",".join(f"+{feature}" for feature in features)
    registers, *_ = run(CRCS, tmp_path, processor, named).split()
    assert registers == widest


@X86
def test_a_named_feature_is_taken_back(tmp_path: Path) -> None:
    program = "from dgenfs.kernels.carryless import LANES; print(LANES)"
    assert run(program, tmp_path, "x86-64", "+vpclmulqdq,+pclmul,-vpclmulqdq,-pclmul") == "0\n"
