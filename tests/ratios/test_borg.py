"""Dedup ratios as borg sees them: chunks that end where the content says so."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from stores import written

from dgenfs import Spec
from dgenfs.content.prediction import content_defined_dedup

# Least, mask and most, as powers of two; a mask of n bits gives chunks of 2^n bytes on average.
SMALL = "buzhash,10,23,16,4095"
DEFAULT = "buzhash,19,23,21,4095"


def measured(folder: Path, source: Path, chunker: str) -> float:
    repository = folder / f"repository-{chunker}"
    environment = {"PATH": os.environ["PATH"], "BORG_BASE_DIR": str(folder / "borg")}
    subprocess.run(
        ["borg", "init", "--encryption", "none", str(repository)],
        env=environment,
        check=True,
        capture_output=True,
    )
    create = ["borg", "create", "--json", "--compression", "none", "--chunker-params", chunker]
    done = subprocess.run(
        [*create, f"{repository}::copy", source.name],
        cwd=source.parent,
        env=environment,
        check=True,
        capture_output=True,
    )
    statistics = json.loads(done.stdout)["archive"]["stats"]
    return float(statistics["original_size"] / statistics["deduplicated_size"])


@pytest.mark.parametrize(
    "name", ["64M_d1_c1", "64M_d2_c1", "64M_d4_c2", "128M_d2.5_c1", "128M_d4_c2"]
)
def test_file(tmp_path: Path, name: str) -> None:
    spec = Spec.parse(name)
    path = written(spec, tmp_path)
    assert measured(tmp_path, path, SMALL) == pytest.approx(spec.dedup, rel=0.02)
    # With chunks of 2 MiB, those at the ends of the file show in one this small.
    expected = content_defined_dedup(spec.layout, 2 << 20)
    assert measured(tmp_path, path, DEFAULT) == pytest.approx(expected, rel=0.1)
