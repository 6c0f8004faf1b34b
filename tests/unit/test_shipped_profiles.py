"""The profiles that dgenfs ships: as many files as their sources say, and as large."""

import numpy as np
import pytest

from dgenfs.names.profile import SHIPPED, read, shipped


def test_shipped_profiles() -> None:
    expected = {
        "mlperf-unet3d": 168,
        "mlperf-resnet50": 1024,
        "mlperf-cosmoflow": 524_288,
        "mlperf-dlrm": 1024,
        "home-directories": 1_000_000,
        "vm-images": 108,
    }
    assert set(shipped()) == expected.keys()
    for name, files in expected.items():
        assert (SHIPPED / f"{name}.toml").read_text().startswith("# ")
        assert read(name).top.files == files


def test_shipped_sizes() -> None:
    unet = read("mlperf-unet3d").sets[0]
    sizes = [unet.size(index) for index in range(unet.files)]
    assert np.mean(sizes) == pytest.approx(146_600_628, rel=0.1)
    assert np.std(sizes) == pytest.approx(68_341_808, rel=0.15)
    for name, records, record in (
        ("mlperf-resnet50", 1251, 114_660),
        ("mlperf-dlrm", 1_536_000, 761),
    ):
        container = read(name).sets[0].spec(17).container
        assert container is not None
        assert (container.records, container.record, container.last) == (records, record, record)
        assert container.rest == 0
    container = read("mlperf-cosmoflow").sets[0].spec(17).container
    assert container is not None
    assert container.records == 1
