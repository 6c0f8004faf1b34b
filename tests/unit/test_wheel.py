"""The wheel, installed where the source tree is out of sight."""

import os
import shutil
import subprocess
import sys
import sysconfig
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


def environment(folder: Path, wheel: Path) -> Path:
    """Make a virtual environment with the wheel and all that we have, but for pyfuse3."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (target,) = folder.glob("lib/python*/site-packages")
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not any(name in package.name for name in ("pyfuse3", "dgenfs")):
            (target / package.name).symlink_to(package)
    pip(folder, "install", "--no-deps", "--no-index", str(wheel))
    return folder


def pip(folder: Path, *arguments: str) -> None:
    subprocess.run([*PIP, "--python", str(folder / "bin" / "python"), *arguments], check=True)


def files(folder: Path) -> set[str]:
    return {f"{path}/{name}" for path, _, names in os.walk(folder) for name in names}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("installed"), wheel)


def run(
    installed: Path, command: str, *arguments: str, code: int = 0, **variables: str
) -> tuple[str, str]:
    """Run a command of the environment, where Python may write files; return what it prints."""
    ours = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(installed / "bin" / command), *arguments],
        cwd=installed,
        env=ours | variables,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done
    return done.stdout, done.stderr


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"dgenfs"}
    for source in (ROOT / "dgenfs").rglob("*.py"):
        assert str(source.relative_to(ROOT)) in names
    for source in (ROOT / "kernels").glob("*.py"):
        assert f"dgenfs/kernels/{source.name}" in names
    assert "dgenfs/py.typed" in names
    assert "dgenfs/profiles/mlperf-unet3d.toml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name for name in names)


def test_without_pyfuse3(installed: Path) -> None:
    """Hosts that only generate and check need no compiler and no headers of FUSE."""
    pip(installed, "check")
    program = (
        "import hashlib, importlib.util, dgenfs, dgenfs.kernels.fill as fill\n"
        "print(fill.__file__)\n"
        "print(importlib.util.find_spec('kernels'), importlib.util.find_spec('pyfuse3'))\n"
        "print(*(getattr(dgenfs, name).__name__ for name in ('open', 'AsyncDataGenerator')))\n"
        "print(hashlib.sha256(dgenfs.generate_data(1 << 20, 4, 2).data).hexdigest())"
    )
    (package,) = installed.glob("lib/python*/site-packages/dgenfs")
    assert run(installed, "python", "-c", program)[0].splitlines() == [
        str(package / "kernels" / "fill.py"),
        "None None",
        "open AsyncDataGenerator",
        "c87abee1d606684ea8983df110df0598212aa7896d585a52af0f97e7a2ed874e",
    ]
    assert "1G_d4_c1.bin" in run(installed, "dgenfs", "explain", "1G_d4")[0]
    assert run(installed, "dgenfs", "gen", "20x4K_d2") == ("", "")
    assert "identical" in run(installed, "dgenfs", "verify", "20x4K_d2")[0]
    assert "2.000:1" in run(installed, "dgenfs", "analyze", "20x4K_d2")[0]
    run(installed, "dgenfs", "mount", "--help")


@pytest.mark.parametrize("options", [(), ("-f",)])
def test_what_to_install_for_a_mount(installed: Path, options: tuple[str, ...]) -> None:
    out, error = run(installed, "dgenfs", "mount", *options, "anywhere", code=1)
    assert out == ""
    assert error.startswith("dgenfs: pyfuse3 is needed to mount")
    assert "pip install 'dgenfs[mount]'" in error
    assert error.count("\n") == 1


def test_nothing_is_left_when_it_is_removed(wheel: Path, tmp_path: Path) -> None:
    folder = environment(tmp_path / "here", wheel)
    installed = files(folder)
    program = "import dgenfs.kernels.counters"
    run(folder, "python", "-c", program, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path / "cache"))
    run(folder, "dgenfs", "explain", "1G")
    assert {Path(path).suffix for path in files(folder) - installed} <= {".pyc"}
    assert list((tmp_path / "cache" / "dgenfs").iterdir())
    pip(folder, "uninstall", "--yes", "dgenfs")
    assert [path for path in files(folder) if "dgenfs" in path.removeprefix(str(folder))] == []
