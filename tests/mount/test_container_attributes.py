"""Extended attributes that containers have besides those of all files."""

import os
from collections.abc import Iterator

import pytest
from mounting import PLANES, Mount, mounted

OTHERS = ("name", "dedup", "compress", "unit", "key", "format")


@pytest.fixture(scope="module", params=PLANES)
def mount(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    options = ["--data-plane", request.param]
    with mounted(tmp_path_factory.mktemp("attributes"), *options, limit=120) as mount:
        yield mount


def test_attributes_of_containers(mount: Mount) -> None:
    expected = {
        "10M_d2_r64K.tfrecord": ("65536", "150", "4096"),
        "20x1M_r1000B.npz": ("1000", "1035", "4096"),
        "20x1M_r1000B.npz/000003.npz": ("1000", "1035", "4096"),
        "5000.tar": ("2048", "1", "512"),
    }
    names = ("record", "records", "payload_offset")
    for path, values in expected.items():
        found = [os.getxattr(mount.path / path, f"user.dgenfs.{name}").decode() for name in names]
        assert tuple(found) == values, path
        if "/" not in path:
            assert os.listxattr(mount.path / path)[-3:] == [f"user.dgenfs.{name}" for name in names]
    for path in ("5000.bin", "10M_d2_r64K.tfrecord.idx"):
        assert os.listxattr(mount.path / path) == [f"user.dgenfs.{name}" for name in OTHERS]
