"""Dedup ratios as borg and restic see them: chunks that end where the content says so."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stores import written_files

from dgenfs import Spec
from dgenfs.content.chunkers import (
    BORG,
    RESTIC,
    SMALL,
    Chunker,
    Expected,
    content_defined_dedup,
)
from dgenfs.content.framed_prediction import framed_content_defined

# As borg takes them: least, most and average as powers of two, and the hash's window.
SIXTY_FOUR_K = "buzhash,10,23,16,4095"
DEFAULT = "buzhash,19,23,21,4095"
PARAMETERS = {
    "buzhash,11,16,13,4095": SMALL,
    "buzhash,14,18,16,4095": Chunker(16 << 10, 64 << 10, 256 << 10),
    SIXTY_FOUR_K: Chunker(1 << 10, 64 << 10, 8 << 20),
    DEFAULT: BORG,
}


def run(command: list[str], cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def said(name: str, chunker: Chunker) -> Expected:
    spec = Spec.parse(name)
    assert spec.container is not None
    expected = framed_content_defined(spec.layout, spec.container, chunker)
    assert expected is not None, name
    return expected


class Borg:
    """A repository. Contents of different names share no chunk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._run("init", "--encryption", "none", "repository")

    def ratio(self, spec: Spec, parameters: str) -> float:
        self._count += 1
        source = self._folder / spec.name
        if not source.exists():
            written_files(spec, source)
        create = ["create", "--json", "--compression", "none", "--chunker-params", parameters]
        text = self._run(*create, f"repository::{self._count}", spec.name)
        statistics = json.loads(text)["archive"]["stats"]
        return float(statistics["original_size"] / statistics["deduplicated_size"])

    def _run(self, *arguments: str) -> str:
        base = str(self._folder / "borg")
        return run(["borg", *arguments], cwd=self._folder, BORG_BASE_DIR=base)


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ("buzhash,11,16,13,4095", ["16M_d2_c1", "16M_d3_c2", "8M_d2_c4"]),
        ("buzhash,14,18,16,4095", ["64M_d2_c1", "64M_d4_c2", "48M_d2.5_c4", "64M_d10_c1"]),
        ("buzhash,14,18,16,4095", ["7x10M_d2.5_c1.5", "20x4M_d3_c1", "100x300K_d1.5_c1"]),
        (SIXTY_FOUR_K, ["64M_d3_c1.2", "96M_d3_c10"]),
        (DEFAULT, ["256M_d2_c1"]),
    ],
)
def test_borg(tmp_path: Path, parameters: str, names: list[str]) -> None:
    borg = Borg(tmp_path)
    for name in names:
        spec = Spec.parse(name)
        expected = content_defined_dedup(spec.layout, PARAMETERS[parameters])
        assert borg.ratio(spec, parameters) == pytest.approx(expected.ratio, rel=0.03), name


@pytest.mark.parametrize(
    "name", ["64M_d1_c1", "64M_d2_c1", "64M_d4_c2", "128M_d2.5_c1", "128M_d4_c2"]
)
def test_borg_with_few_chunks(tmp_path: Path, name: str) -> None:
    borg = Borg(tmp_path)
    spec = Spec.parse(name)
    assert borg.ratio(spec, SIXTY_FOUR_K) == pytest.approx(spec.dedup, rel=0.02)
    # With chunks of 2 MiB, those at the ends of the file show in one this small.
    expected = content_defined_dedup(spec.layout, BORG)
    off = min(0.1, max(0.03, expected.spread))
    assert borg.ratio(spec, DEFAULT) == pytest.approx(expected.ratio, rel=off)


class Restic:
    """A repository, of which each has a hash of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._run("init")

    def ratios(self, names: list[str]) -> list[float]:
        """All in one snapshot, as each command takes half a second to open the repository."""
        for name in names:
            written_files(Spec.parse(name), self._folder / "source" / name)
        text = self._run("backup", "--compression", "off", "--json", "source")
        snapshot = json.loads(text.splitlines()[-1])["snapshot_id"]
        (index,) = self._run("list", "index").split()
        packs = self._cat("index", index)["packs"]
        # A blob is stored with 32 bytes of initialization vector and code.
        length = {blob["id"]: blob["length"] - 32 for pack in packs for blob in pack["blobs"]}
        tree = self._cat("snapshot", snapshot)["tree"]
        (source,) = self._cat("blob", tree)["nodes"]
        return [self._ratio(one, length) for one in self._cat("blob", source["subtree"])["nodes"]]

    def _ratio(self, node: dict[str, Any], length: dict[str, int]) -> float:
        files = self._cat("blob", node["subtree"])["nodes"]
        chunks = [blob for file in files for blob in file["content"]]
        return sum(length[one] for one in chunks) / sum(length[one] for one in set(chunks))

    def _cat(self, kind: str, name: str) -> Any:
        return json.loads(self._run("cat", kind, name))

    def _run(self, *arguments: str) -> str:
        command = ["restic", "--no-cache", "--repo", "repository", *arguments]
        return run(command, cwd=self._folder, RESTIC_PASSWORD="none", HOME=str(self._folder))


def test_restic(tmp_path: Path) -> None:
    names = sorted(
        [
            "64M_d4_c2",
            "48M_d3_c4_b4K",  # multiples of the least chunk meet the repetition at many places
            "5000000_d2_c1.5",
            "40M_d2_c1.12",  # some sectors end in zeros enough to end a chunk
            "384M_d1.25_c1",
            "100x700K_d1.25_c1",
            "3x10M_d1.5_c2",
            "20x777777_d3_c3",
        ]
    )
    for name, ratio in zip(names, Restic(tmp_path).ratios(names), strict=True):
        expected = content_defined_dedup(Spec.parse(name).layout, RESTIC)
        assert ratio == pytest.approx(expected.ratio, rel=0.03), name


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        (
            "buzhash,11,16,13,4095",
            [
                "16M_d3_c2.npy",
                "16M_d2_c1_s2.npz",
                "16M_d2_c4_r64K.h5",
                "16M_d3_c2_s1_r64K.safetensors",
                "16M_d2_c2.parquet",
            ],
        ),
        ("buzhash,14,18,16,4095", ["48M_d2.5_c4.npz", "20x4M_d3_c1_r64K.h5"]),
        ("buzhash,14,18,16,4095", ["100x1M_d1.5_c1_r64K.parquet", "100x1M_d1.5_c2_r512K.tar"]),
    ],
)
def test_borg_with_containers(tmp_path: Path, parameters: str, names: list[str]) -> None:
    borg = Borg(tmp_path)
    for name in names:
        expected = said(name, PARAMETERS[parameters])
        ratio = borg.ratio(Spec.parse(name), parameters)
        assert ratio == pytest.approx(expected.ratio, rel=0.03), name


def test_restic_with_containers(tmp_path: Path) -> None:
    names = sorted(
        [
            "64M_d4_c2.npy",
            "64M_d2_c2_r64K.h5",
            "384M_d1.25_c1.npz",
            "48M_d3_c4_b4K.safetensors",
            "100x700K_d1.25_c1.h5",
        ]
    )
    for name, ratio in zip(names, Restic(tmp_path).ratios(names), strict=True):
        assert ratio == pytest.approx(said(name, RESTIC).ratio, rel=0.03), name
