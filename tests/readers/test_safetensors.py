"""safetensors files, read by the safetensors library."""

import random
from pathlib import Path

import pytest
from containers import safetensors as oracle
from safetensors import safe_open
from safetensors.numpy import load_file

CONTENT = random.Random(2).randbytes(2**20)


def check(path: Path, size: int, record: int | None, content: bytes) -> None:
    """Tensors of ``record`` bytes, and the last of what is left, that make up the payload."""
    assert path.stat().st_size == size
    tensors = load_file(path)
    names = sorted(tensors, key=lambda name: int(name.split(".")[1]))
    assert names == [f"layer.{i:03d}.weight" for i in range(len(names))] or len(names) > 1000
    assert all(tensors[name].dtype == "uint8" for name in names)
    payload = b"".join(tensors[name].tobytes() for name in names)
    assert payload == content[: len(payload)]
    if record is None:
        assert len(names) == 1
    else:
        assert {tensors[name].shape for name in names[:-1]} <= {(record,)}
    with safe_open(path, framework="np") as file:
        assert set(file.keys()) == set(names)
        last = file.get_slice(names[-1])
        (length,) = last.get_shape()
        middle = last[length // 3 : length // 2 + 1].tobytes()
        start = len(payload) - length
        assert middle == content[start + length // 3 : start + length // 2 + 1]


@pytest.mark.parametrize(
    ("size", "record"),
    [
        (81, None),
        (100, 1),
        (1000, 1),
        (100_001, 30),
        (300_000, 100),
        (65_535, None),
        (65_536, None),
        (2**20, None),
        (2**20, 2**16),
        (2**20 - 1, 2**16 + 1),
        (2**20, 2**20),
        (2**20, 10**6),
    ],
)
def test_tensors(tmp_path: Path, size: int, record: int | None) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(oracle.file(size, record, False, CONTENT))
    check(path, size, record, CONTENT)
