"""A profile's data set in a mount: listed, read, copied and verified, however many files it has."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounting import DGENFS, PLANES, Mount, mounted
from profile_sets import SETS

from dgenfs.kernels import ids
from dgenfs.names.catalog import find
from dgenfs.names.data_set import DataSet
from dgenfs.names.file_set import ProfileFile
from dgenfs.names.profile import read

MIB = 1 << 20
MIXED = (
    f"seed = 7\n{SETS}"
    + """
[[set]]
name = "{index}0K.txt"
files = 5
size = { distribution = "list", sizes = ["1K", 5000, "3M"], weights = [3, 1, 1] }

[[set]]
directory = "empty"
files = 0
size = 0
"""
)
BILLION = """
[[set]]
directory = "train"
files = 1_000_000_000
subfolders = 1000
size = "5000"
"""
# What is kept is a tenth of what it is else, so that a tenth of the requests show that it is.
SOON = (
    "from dgenfs.mount import operations; from dgenfs.cli.main import main;"
    " operations.KEPT //= 10; operations.COUNTED //= 10; main()"
)
SCALES = {
    "home-directories": "0.00001",
    "mlperf-unet3d": "0.01",
    "mlperf-resnet50": "0.001",
    "mlperf-cosmoflow": "0.00001",
    "mlperf-dlrm": "0.001",
    "vm-images": "0.01",
}
COPIED = 512 * MIB  # most bytes that are copied; more are only looked at


def dgenfs(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [DGENFS, *map(str, arguments)], capture_output=True, check=False, text=True, timeout=240
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def walked(top: Path) -> dict[str, os.stat_result]:
    """All below a directory, by their paths in it."""
    found = {}
    for folder, directories, files in os.walk(top):
        for name in directories + files:
            path = Path(folder, name)
            found[str(path.relative_to(top))] = path.stat()
    return found


def check_tree(top: Path, data_set: DataSet) -> None:
    """What is there is what the profile says, and every file is that of its plain name."""
    found = walked(top)
    nodes = {node.path: node for node in data_set.top.walk()}
    assert found.keys() == nodes.keys()
    assert len({status.st_ino for status in found.values()}) == len(found)
    for path, node in nodes.items():
        status = found[path]
        assert ids.PLAIN <= status.st_ino < 2**53
        if isinstance(node, ProfileFile):
            assert (status.st_size, status.st_mode & 0o7777) == (node.size, 0o444)
        else:
            assert status.st_nlink == 2 + node.directories


@pytest.fixture(scope="module", params=PLANES)
def mount(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mount]:
    folder = tmp_path_factory.mktemp("profile")
    (folder / "mixed.toml").write_text(MIXED)
    options = ["--profile", str(folder / "mixed.toml"), "--data-plane", request.param]
    # A name that the profile has at its top too is listed once.
    with mounted(folder, "10K.txt", *options, limit=240) as mount:
        yield mount


def profile_of(mount: Mount) -> str:
    return str(mount.path.with_name("mixed.toml"))


def test_listings_and_attributes(mount: Mount) -> None:
    data_set = read(profile_of(mount))
    check_tree(mount.path, data_set)
    assert os.listdir(mount.path) == [  # noqa: PTH208
        *("train", "valid", "empty"),
        *(f"{index}0K.txt" for index in range(5)),
    ]
    (statistics,) = (os.statvfs(mount.path),)
    assert statistics.f_files == data_set.top.files
    assert statistics.f_blocks == -(-data_set.top.size // MIB)
    for missing in ("train/5", "train/0/img_01_of_30.npy", "valid/x", "notes-5.txt", "empty/1K"):
        assert not (mount.path / missing).exists()


def test_content_is_that_of_the_plain_name(mount: Mount) -> None:
    for node in read(profile_of(mount)).top.walk():
        if not isinstance(node, ProfileFile):
            continue
        path = mount.path / node.path
        data = path.read_bytes()
        assert data == node.view().read(0, node.size + 1)
        if node.spec is not None:
            assert os.getxattr(path, "user.dgenfs.name").decode() == node.spec.name
            assert data == (mount.path / node.spec.name).read_bytes()
        else:
            assert os.listxattr(path) == []
        with path.open("rb") as file:
            assert os.pread(file.fileno(), 100, max(0, node.size - 50)) == data[-50:]


def test_other_names_are_there_too(mount: Mount) -> None:
    assert (mount.path / "4K_s3.bin").stat().st_size == 4096
    assert (mount.path / "3x4K/000002.bin").read_bytes() == find("3x4K/000002.bin").spec.view(
        2
    ).read(0, 4096)
    assert (mount.path / ".stats").stat().st_size > 0


def test_a_copy_is_verified(mount: Mount, tmp_path: Path) -> None:
    options = ["--profile", profile_of(mount)]
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", mount.path, copy], check=True)
    assert walked(copy).keys() == walked(mount.path).keys()
    assert "44 of 44 files identical, 0 different" in dgenfs("verify", copy, *options)
    (copy / "train/3/img_03_of_30.npy").unlink()
    (copy / "valid/more").touch()
    text = dgenfs("verify", copy, *options, code=1)
    assert "43 of 44 files identical, 0 different, 1 missing, 1 unexpected" in text


@pytest.mark.parametrize("name", SCALES)
def test_shipped_profiles(tmp_path: Path, name: str) -> None:
    options = ["--profile", name, "--scale", SCALES[name]]
    data_set = read(name, SCALES[name])
    with mounted(tmp_path, *options, limit=300) as mount:
        check_tree(mount.path, data_set)
        if data_set.top.size > COPIED:
            file = next(node for node in data_set.top.walk() if isinstance(node, ProfileFile))
            assert file.spec is not None
            for offset in (0, file.size // 2, file.size - 9999):
                with (mount.path / file.path).open("rb") as opened:
                    data = os.pread(opened.fileno(), 9999, offset)
                assert data == file.view().read(offset, 9999)
            return
        copy = tmp_path / "copy"
        subprocess.run(["cp", "-r", mount.path, copy], check=True)
    files = data_set.top.files
    assert f"{files} of {files} files identical" in dgenfs("verify", copy, *options)


@pytest.fixture(scope="module")
def billion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    folder = tmp_path_factory.mktemp("billion")
    (folder / "mixed.toml").write_text(BILLION)
    options = ["--profile", str(folder / "mixed.toml")]
    with mounted(folder, *options, command=(sys.executable, "-c", SOON), limit=600) as mount:
        yield mount


def settled_rss(mount: Mount) -> int:
    mount.settled()
    return mount.rss()


def path_of(mount: Mount, index: int) -> str:
    return f"{mount.path}/train/{index % 1000:04}/img_{index:010}_of_1000000000.bin"


def test_a_billion_files(billion: Mount) -> None:
    data_set = read(profile_of(billion))
    file = data_set.sets[0]
    for index in (0, 10**9 - 1):
        path = path_of(billion, index)
        assert os.stat(path).st_size == file.size(index)  # noqa: PTH116
        assert Path(path).read_bytes() == file.spec(index).view(0).read(0, MIB)
    assert not os.path.exists(path_of(billion, 10**9))  # noqa: PTH110

    def list_some(first: int) -> None:
        with os.scandir(f"{billion.path}/train/0017") as entries:
            for number, entry in zip(range(first), entries, strict=False):
                assert entry.name == f"img_{1000 * number + 17:010}_of_1000000000.bin"

    def look_up(first: int, last: int) -> None:
        for index in range(first, last):
            os.stat(path_of(billion, 997 * index))  # noqa: PTH116

    def read_some(first: int, last: int) -> None:
        for index in range(first, last):
            file = os.open(path_of(billion, 991 * index), os.O_RDONLY)
            os.read(file, 100)
            os.close(file)

    list_some(1000)
    look_up(0, 1500)
    read_some(0, 1200)
    before = settled_rss(billion)
    look_up(1500, 6000)
    list_some(60_000)
    read_some(1200, 2700)
    assert settled_rss(billion) - before < 4 * MIB
    found = billion.stats()["requests"]
    assert found.get("FORGET", 0) >= 5000


def test_errors_say_where(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[[set]]\nfiles = 3\nsize = '140X'\n")
    (tmp_path / "m").mkdir()
    for arguments in (["mount", tmp_path / "m"], ["gen", "-o", tmp_path / "x"], ["verify", "/"]):
        done = subprocess.run(
            [sys.executable, "-m", "dgenfs", *arguments, "--profile", path],
            capture_output=True,
            check=False,
            text=True,
        )
        assert done.returncode == 2
        rule = "size: '140X' is not a size such as 4096, 1.5M or 10GB"
        assert done.stderr == f"dgenfs: {path}:3: {rule}\n"
