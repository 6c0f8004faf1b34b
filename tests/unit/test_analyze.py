import random
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import lz4.block
import pytest
import zstandard

from dgenfs.verifying import analyze
from dgenfs.verifying.analyze import (
    COMPRESS_CHUNKS,
    DEDUP_CHUNKS,
    Analysis,
    find_files,
)
from dgenfs.verifying.codecs import MissingLibraryError

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
    return analyze.analyze(list(find_files(paths)))


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
    found = list(find_files(files))
    analyze.analyze(found, steps.append)
    assert sum(steps) == sum(size for _, size in found) == 2 * sum(SIZES)


def test_nothing() -> None:
    analysis = measured()
    assert (analysis.files, analysis.size, analysis.sampled) == (0, 0, 0)
    assert {one.ratio for one in analysis.dedup} == {1.0}
    assert {one.ratio for one in analysis.compress} == {1.0}


def test_links_and_special_files_below_a_directory_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(find_files([tmp_path])) == [(tmp_path / "real", 3)]
    assert list(find_files([tmp_path / "link"])) == [(tmp_path / "link", 3)]


def test_paths_that_cannot_be_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="/dev/null: is no regular file"):
        list(find_files([Path("/dev/null")]))
    with pytest.raises(FileNotFoundError):
        list(find_files([tmp_path / "none"]))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'dgenfs\[analyze\]'"):
        measured()
