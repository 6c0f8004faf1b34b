"""The profiles that dgenfs ships, and what docs/profiles.md says of them and of profiles."""

import re
from pathlib import Path

import numpy as np
import pytest

from dgenfs.names.distributions import deviate
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.profile import SHIPPED, read, shipped

DOCS = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text()


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
    # All 10^6 sizes were added up once.
    assert read("home-directories").top.size == pytest.approx(271.09e9, rel=0.01)
    container = read("mlperf-cosmoflow").sets[0].spec(17).container
    assert container is not None
    assert container.records == 1


def test_vectors_of_the_docs() -> None:
    rows = re.findall(
        r"^\| ([0-9^ -]+?)(?: \(.*\))? \|(.*)\| ([0-9,]+) \| ([0-9,]+) \|$", DOCS, re.M
    )
    assert len(rows) == 6
    for word, z, *sizes in rows:
        power, _, less = word.partition(" - ")
        base, _, exponent = power.partition("^")
        number = int(base) ** int(exponent or 1) - int(less or 0)
        assert z.strip() in ("", str(deviate(number)))
        for name, size in zip(("mlperf-unet3d", "home-directories"), sizes, strict=True):
            assert read(name).sets[0].sizes.size(number) == int(size.replace(",", ""))


def test_example_of_the_docs(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```$", DOCS, re.M | re.S)
    (tmp_path / "mine.toml").write_text(example)
    top = read(str(tmp_path / "mine.toml")).top
    assert top.files == 100_042
    file = top.find(["train", "07", "img_000017_of_100000.npz"])
    assert isinstance(file, ProfileFile)
    assert file.spec is not None
    assert (file.spec.dedup, file.index) == (1.5, 17)


def test_every_shipped_profile_is_in_the_docs() -> None:
    assert re.findall(r"^\| `([a-z0-9-]+)` \| [0-9,^]+ ", DOCS, re.M) != []
    for name in shipped():
        assert f"| `{name}` |" in DOCS
    file = read("mlperf-unet3d").sets[0].spec(0)
    assert f"--as {file}" in DOCS
