import os
import threading
from pathlib import Path

import oracle
import pytest
from writing import ignore

from dgenfs import Spec
from dgenfs.api.chunks import CHUNK
from dgenfs.api.publishing import write_file, write_stream, write_tree
from dgenfs.content.view import View

NAME = "20M+77_d2_c3_s5"
DATA = oracle.read(oracle.parse(NAME), 0, 0, 32 << 20)


def part(offset: int, length: int) -> View:
    return Spec.parse(NAME).view(0).part(offset, length)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, len(DATA)), (0, 0), (1, 1), (4097, CHUNK), (5, CHUNK + 1), (len(DATA) - 9, 9)],
)
def test_file(tmp_path: Path, offset: int, length: int) -> None:
    steps: list[int] = []
    write_file(part(offset, length), tmp_path / "out", steps.append)
    assert (tmp_path / "out").read_bytes() == DATA[offset : offset + length]
    assert sum(steps) == length
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_stream() -> None:
    reader, writer = os.pipe()
    found = bytearray()

    def drain() -> None:
        while data := os.read(reader, 1 << 16):
            found.extend(data)

    draining = threading.Thread(target=drain)
    draining.start()
    steps: list[int] = []
    write_stream(part(3, len(DATA) - 3), writer, steps.append)
    os.close(writer)
    draining.join()
    os.close(reader)
    assert found == DATA[3:]
    assert sum(steps) == len(DATA) - 3


def test_tree(tmp_path: Path) -> None:
    name = "12x9000_d3_c2_f5.dat"
    content = oracle.parse(name)
    write_tree(Spec.parse(name), tmp_path / "tree", ignore)
    found = sorted(p for p in (tmp_path / "tree").rglob("*") if p.is_file())
    assert len(found) == 12
    for file in range(12):
        path = tmp_path / "tree" / oracle.tree_path(content, file)
        assert path.read_bytes() == oracle.read(content, file, 0, 9000)


def test_a_tree_of_empty_files(tmp_path: Path) -> None:
    write_tree(Spec.parse("3x0"), tmp_path / "tree", ignore)
    assert [p.stat().st_size for p in (tmp_path / "tree").iterdir()] == [0, 0, 0]


def test_what_is_there_stays(tmp_path: Path) -> None:
    for name in ("out", "other.part"):
        (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="--force"):
        write_file(part(0, 10), tmp_path / "out", ignore)
    with pytest.raises(FileExistsError, match="is there already"):
        write_tree(Spec.parse("3x1K"), tmp_path / "out", ignore)
    with pytest.raises(FileExistsError, match=r"other\.part: is in the way"):
        write_file(part(0, 10), tmp_path / "other", ignore)
    with pytest.raises(FileExistsError, match=r"other\.part: is in the way"):
        write_tree(Spec.parse("3x1K"), tmp_path / "other", ignore)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        "out": b"precious",
        "other.part": b"precious",
    }
    write_file(part(0, 10), tmp_path / "out", ignore, force=True)
    assert (tmp_path / "out").read_bytes() == DATA[:10]


class StopError(Exception):
    pass


def stop(_: int) -> None:
    raise StopError


def test_an_error_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        write_tree(Spec.parse("9x1M"), tmp_path / "out", stop)
    with pytest.raises(StopError):
        write_file(part(0, len(DATA)), tmp_path / "out", stop)
    assert list(tmp_path.iterdir()) == []
