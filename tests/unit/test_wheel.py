"""The wheel, installed where the source tree is out of sight."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From a copy: setuptools leaves its build folder in the source tree.
    source = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("dgenfs", "kernels"):
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignore)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", "dist"]
    subprocess.run([*PIP, "wheel", *options, "."], cwd=source, check=True)
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*PIP, "install", *options, str(wheel)], check=True)
    return target


def run(installed: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=installed.parent,
        env={"PYTHONPATH": str(installed), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"dgenfs"}
    for source in (ROOT / "dgenfs").rglob("*.py"):
        assert str(source.relative_to(ROOT)) in names
    for source in (ROOT / "kernels").glob("*.py"):
        assert f"dgenfs/kernels/{source.name}" in names
    assert "dgenfs/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name for name in names)


def test_kernels_work_and_take_nobodys_name(installed: Path) -> None:
    program = (
        "import hashlib, importlib.util, dgenfs, dgenfs.kernels.fill as fill\n"
        "print(fill.__file__)\n"
        "print(importlib.util.find_spec('kernels'))\n"
        "print(hashlib.sha256(dgenfs.generate_data(1 << 20, 4, 2).data).hexdigest())"
    )
    assert run(installed, "-c", program).splitlines() == [
        str(installed / "dgenfs" / "kernels" / "fill.py"),
        "None",
        "c87abee1d606684ea8983df110df0598212aa7896d585a52af0f97e7a2ed874e",
    ]


def test_command(installed: Path) -> None:
    assert "1G_d4_c1.bin" in run(installed, str(installed / "bin" / "dgenfs"), "explain", "1G_d4")
