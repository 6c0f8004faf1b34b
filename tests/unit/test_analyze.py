import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lz4.block
import pytest
import zstandard
from mounting import DGENFS
from privileges import BY_THE_MODE, as_root

from dgenfs import Spec
from dgenfs.machine.libraries import MissingLibraryError
from dgenfs.verifying import analyze
from dgenfs.verifying.analyze import COMPRESS_CHUNKS, DEDUP_CHUNKS, Analysis, total_size
from dgenfs.verifying.reports import Unreadable

SIZES = [0, 1, 511, 512, 4096, 5000, 1 << 20, (5 << 20) + 77, 9 << 20]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Random blocks, some of them again and some all zero, in files with odd ends."""
    source = random.Random(1)
    blocks = [source.randbytes(4096), bytes(4096), b"text " * 820]
    blocks += [source.randbytes(1024) + bytes(3072) for _ in range(9)]
    paths = []
    for i, size in enumerate([*SIZES, *SIZES]):
        path = tmp_path / str(i % 3) / f"{i}"
        path.parent.mkdir(exist_ok=True)
        pieces = [source.choice(blocks)[:4096] for _ in range(size // 4096 + 1)]
        path.write_bytes(b"".join(pieces)[:size])
        paths.append(path)
    return paths


def measured(*paths: Path) -> Analysis:
    return analyze.analyze(paths, total_size(paths))


def cut(paths: list[Path], chunk: int) -> list[bytes]:
    found = []
    for path in paths:
        data = path.read_bytes()
        found += [data[at : at + chunk] for at in range(0, len(data), chunk)]
    return found


def test_dedup_is_what_counting_chunks_gives(files: list[Path], tmp_path: Path) -> None:
    analysis = measured(tmp_path)
    assert (analysis.files, analysis.size) == (len(files), 2 * sum(SIZES))
    assert [one.chunk for one in analysis.dedup] == list(DEDUP_CHUNKS)
    for one in analysis.dedup:
        chunks = Counter(cut(files, one.chunk))
        assert (one.chunks, one.distinct) == (chunks.total(), len(chunks))
        assert one.zero == sum(n for chunk, n in chunks.items() if not any(chunk))
        assert one.ratio == pytest.approx(analysis.size / sum(map(len, chunks)))


def test_compression_is_what_the_codecs_give(files: list[Path]) -> None:
    codecs: dict[str, Callable[[bytes], bytes]] = {
        "lz4": lambda data: lz4.block.compress(data, store_size=False),
        "zstd -3": zstandard.ZstdCompressor(level=3).compress,
        "deflate -6": lambda data: zlib.compress(data, 6, -15),
    }
    analysis = measured(*files)
    assert analysis.sampled == analysis.size
    assert len(analysis.compress) == len(codecs) * len(COMPRESS_CHUNKS)
    for one in analysis.compress:
        chunks = cut(files, one.chunk)
        compressed = sum(min(len(chunk), len(codecs[one.codec](chunk))) for chunk in chunks)
        assert one.ratio == pytest.approx(analysis.size / compressed)


def test_merging_hashes_early_changes_nothing(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = measured(*files)
    monkeypatch.setattr(analyze, "MERGE", 100)
    assert measured(*files) == at_once


def test_the_sample_is_spread_over_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three quarters zeros, then random bytes: a sample of the head alone would miss those."""
    monkeypatch.setattr(analyze, "SAMPLE", 16 << 20)
    (tmp_path / "a").write_bytes(bytes(48 << 20))
    (tmp_path / "b").write_bytes(random.Random(1).randbytes(16 << 20))
    analysis = measured(tmp_path)
    assert analysis.size == 64 << 20
    assert 16 << 20 <= analysis.sampled <= 20 << 20
    for one in analysis.compress:
        assert one.ratio == pytest.approx(4, rel=0.25)


def test_progress_comes_to_the_size(files: list[Path]) -> None:
    steps: list[int] = []
    analyze.analyze(files, total_size(files), steps.append)
    assert sum(steps) == total_size(files) == 2 * sum(SIZES)


def test_nothing() -> None:
    analysis = measured()
    assert (analysis.files, analysis.size, analysis.sampled) == (0, 0, 0)
    assert {one.ratio for one in analysis.dedup} == {1.0}
    assert {one.ratio for one in analysis.compress} == {1.0}


def test_links_below_a_directory_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to(tmp_path)
    for path in (tmp_path, tmp_path / "link"):
        analysis = measured(path)
        assert (analysis.files, analysis.size, analysis.unreadable_paths) == (1, 3, 0)


def test_what_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    for name in ("a", "z"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "file").write_bytes(b"abc")
    os.mkfifo(tmp_path / "tree" / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/tree/socket")
    as_root("mknod", f"{tmp_path}/tree/device", "c", "1", "3")
    paths = [tmp_path / "none", Path("/dev/null"), tmp_path / "tree"]
    said: list[Unreadable] = []
    analysis = analyze.analyze(paths, total_size(paths), report=said.append)
    assert (analysis.files, analysis.size) == (2, 6)
    assert analysis.unreadable == said
    assert analysis.unreadable_paths == 5
    assert [(one.path, one.reason) for one in said] == [
        (f"{tmp_path}/none", "No such file or directory"),
        ("/dev/null", "is no regular file, block device or directory"),
        (f"{tmp_path}/tree/device", "is a character device"),
        (f"{tmp_path}/tree/fifo", "is a FIFO"),
        (f"{tmp_path}/tree/socket", "is a socket"),
    ]


def test_what_goes_or_fails_meanwhile(tmp_path: Path) -> None:
    """The first file is read before the others go, and address 0 of a process never is."""
    for name in ("a", "b", "c", "d/e", "z"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"abc")

    def change(_: int) -> None:
        (tmp_path / "b").unlink(missing_ok=True)
        if (tmp_path / "c").is_file():
            (tmp_path / "c").unlink()
            os.mkfifo(tmp_path / "c")
        shutil.rmtree(tmp_path / "d", ignore_errors=True)

    analysis = analyze.analyze([tmp_path, Path("/proc/self/mem")], 15, change)
    assert analysis.files == 3  # a, z and the process
    reasons = {one.path.removeprefix(f"{tmp_path}/"): one.reason for one in analysis.unreadable}
    assert reasons == {
        "b": "No such file or directory",
        "c": "is a FIFO",
        "d": "No such file or directory",
        "/proc/self/mem": "Input/output error",
    }


def test_files_of_others(tmp_path: Path) -> None:
    """A directory that may be listed only is no way up either."""
    for name in ("a", "b/c", "d/e/f", "d/g", "h/i", "j"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"abc")
    (tmp_path / "a").chmod(0)
    (tmp_path / "d/e").chmod(0o400)
    (tmp_path / "h").chmod(0)
    command = [*BY_THE_MODE, DGENFS, "analyze", "--json", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 2, done.stderr
    found = json.loads(done.stdout)
    assert (found["files"], found["size"], found["unreadable_paths"]) == (3, 9, 3)
    assert [(one["path"], one["reason"]) for one in found["unreadable"]] == [
        (path, "Permission denied") for path in ("./a", "./d/e/f", "./h")
    ]
    assert done.stderr.decode().splitlines() == [
        f"dgenfs: {path}: Permission denied" for path in ("./a", "./d/e/f", "./h")
    ]


def test_directories_of_any_depth(tmp_path: Path) -> None:
    """Deeper than Python calls itself, and with paths longer than the system takes (4 KiB)."""
    depth = 1200
    above = os.open(tmp_path, os.O_RDONLY)
    try:
        for level in range(depth):
            descriptor = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=above)
            os.write(descriptor, f"{level}".encode())
            os.close(descriptor)
            os.mkdir("directory", dir_fd=above)
            below = os.open("directory", os.O_RDONLY, dir_fd=above)
            os.close(above)
            above = below
        os.mkfifo("last", dir_fd=above)
    finally:
        os.close(above)
    before = list(Path("/proc/self/fd").iterdir())
    analysis = measured(tmp_path)
    assert analysis.files == depth
    assert analysis.dedup[0].distinct == depth
    assert [one.path for one in analysis.unreadable] == [
        f"{tmp_path}/{'directory/' * depth}last",
    ]
    assert list(Path("/proc/self/fd").iterdir()) == before
    subprocess.run(["rm", "-rf", tmp_path / "directory"], check=True)


def test_a_directory_that_is_moved_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "top/a/b/c").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for name in ("top/a/b/c/file", "top/z"):
        (tmp_path / name).write_bytes(b"abc")

    def move(_: int) -> None:
        if (tmp_path / "top/a/b").exists():
            (tmp_path / "top/a/b").rename(tmp_path / "other/b")

    analysis = analyze.analyze([tmp_path / "top", tmp_path / "other"], 6, move)
    assert analysis.files == 2  # once in the first path and once in the second
    assert [one.path for one in analysis.unreadable] == [f"{tmp_path}/top/a/b"]


def test_memory_of_small_files(tmp_path: Path) -> None:
    """The same tree again and again: what is kept of a file is measured, not of a directory."""
    folder = tmp_path / "0"
    folder.mkdir()
    for i in range(100):
        (folder / f"{i}").write_bytes(f"{i}".encode())

    def peak(times: int) -> int:
        tracemalloc.start()
        try:
            analysis = measured(*[folder] * times)
            assert analysis.files == 100 * times
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert (peak(21) - peak(1)) / 2000 < 150  # bytes a file


def mixed(path: Path, seed: int) -> None:
    """Data and holes of many lengths."""
    source = random.Random(seed)
    with path.open("wb") as file:
        for _ in range(3):
            file.write(source.randbytes(source.choice([1, 4096, 5000, 1 << 20])))
            file.seek(source.choice([4096, 70_000, 5 << 20, 9 << 20]), os.SEEK_CUR)
        if seed % 2:
            file.write(b"end")
        else:
            file.truncate(file.tell())


@pytest.mark.parametrize("sample", [1 << 20, 16 << 20, 1 << 40])
def test_holes_are_zeros(tmp_path: Path, sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyze, "SAMPLE", sample)
    for folder in ("sparse", "full"):
        (tmp_path / folder).mkdir()
    holes = 0
    for i in range(3):
        path = tmp_path / "sparse" / f"{i}"
        mixed(path, i)
        (tmp_path / "full" / f"{i}").write_bytes(path.read_bytes())
        holes += path.stat().st_size - 512 * path.stat().st_blocks
    sparse, full = measured(tmp_path / "sparse"), measured(tmp_path / "full")
    assert holes < sparse.holes < sparse.size
    assert full.holes == 0
    assert replace(sparse, holes=0) == full


def test_a_hole_of_a_tebibyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(random.Random(1).randbytes(4096))
        file.truncate((1 << 40) + 5)
    steps: list[int] = []
    analysis = analyze.analyze([path], total_size([path]), steps.append)
    assert sum(steps) == analysis.size == (1 << 40) + 5
    assert analysis.holes == (1 << 40) + 5 - 4096
    assert 64 << 20 <= analysis.sampled <= 72 << 20
    for one in analysis.dedup:
        assert one.chunks == (1 << 40) // one.chunk + 1
        first = max(1, 4096 // one.chunk)
        assert one.distinct == first + 2  # a chunk of zeros, and five zeros
        assert one.zero == one.chunks - first


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'dgenfs\[analyze\]'"):
        measured()


@pytest.mark.parametrize("stem", ["24M_d3_c2", "24M_d2_c1.5_r256K"])
@pytest.mark.parametrize(
    "extension", ["npy", "npz", "tfrecord", "h5", "parquet", "safetensors", "tar"]
)
def test_containers_reduce_as_their_content_does(tmp_path: Path, stem: str, extension: str) -> None:
    found = []
    for name in (stem.removesuffix("_r256K"), f"{stem}.{extension}"):
        (tmp_path / name).write_bytes(Spec.parse(name).view(0).read(0, 24 << 20))
        found.append(measured(tmp_path / name))
    raw, container = found
    assert container.size == raw.size
    assert container.dedup[1].ratio == pytest.approx(raw.dedup[1].ratio, rel=0.1)  # chunks of 4 KiB
    for one, other in zip(container.compress, raw.compress, strict=True):
        assert one.ratio == pytest.approx(other.ratio, rel=0.05)
