"""Copies of a part of a content: at their start, behind something else, or in a stream."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import oracle
import pytest
from mounting import DGENFS
from processes import run

from dgenfs.cli.arguments import Range
from dgenfs.cli.verification import Options, Verification
from dgenfs.names.catalog import File, find
from dgenfs.names.share import Share
from dgenfs.verifying.findings import Kind
from dgenfs.verifying.reports import FileReport
from dgenfs.verifying.verifier import Verifier
from dgenfs.verifying.windows import Window

NAME = "9M+5_d2"


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    with Verifier() as verifier:
        yield verifier


def right(name: str = NAME) -> bytes:
    content = oracle.parse(name)
    return oracle.read(content, 0, 0, content.size)


def file_of(name: str = NAME) -> File:
    node = find(name)
    assert isinstance(node, File)
    return node


@pytest.mark.parametrize("name", [NAME, "9M+5_d2_r70000.npz"])
@pytest.mark.parametrize("at", [0, 4096, 1, 1 << 20])
@pytest.mark.parametrize(
    ("offset", "length"), [(0, 9 << 20), (1 << 20, 1 << 20), (12345, 5_000_001)]
)
def test_what_begins_somewhere(
    verifier: Verifier, tmp_path: Path, name: str, at: int, offset: int, length: int
) -> None:
    data = bytearray(right(name)[offset : offset + length])
    path = tmp_path / "copy"
    spec = find(name).spec
    window = Window(offset, length, at, ends=False)
    path.write_bytes(b"x" * at + data + b"behind")
    report = verifier.verify_file(path, File(spec), window=window)
    assert report.identical
    assert report.ranges == [(at, at + length)]
    whole = verifier.verify_file(path, File(spec), window=Window(offset, length, at, ends=True))
    assert whole.totals.keys() == {Kind.EXCESS}
    assert whole.wrong_bytes == 6
    data[777_777] ^= 1
    path.write_bytes(b"x" * at + data[:-100])
    report = verifier.verify_file(path, File(spec), window=window)
    flip, tail = report.extents
    assert (flip.start, flip.end, flip.kind) == (at + 777_777, at + 777_778, Kind.BIT_FLIPS)
    assert (tail.start, tail.end) == (at + length - 100, at + length)
    assert tail.kind is Kind.MISSING
    streamed = verifier.verify_stream(
        io.BytesIO(path.read_bytes()), "-", file_of(name), window=window
    )
    assert streamed.extents == report.extents
    assert streamed.totals == report.totals


def test_where_it_belongs_is_an_offset_of_the_content(verifier: Verifier, tmp_path: Path) -> None:
    data = bytearray(right()[1 << 20 : 2 << 20])
    data[8192:12288] = right()[3 << 20 : (3 << 20) + 4096]
    (tmp_path / "p").write_bytes(data)
    window = Window(1 << 20, 1 << 20, 0, ends=True)
    (extent,) = verifier.verify_file(tmp_path / "p", File(find(NAME).spec), window=window).extents
    assert (extent.kind, extent.start, extent.belongs_at) == (Kind.MISPLACED, 8192, 3 << 20)


def test_a_window_that_ends_a_copy_says_how_long_it_is(verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(right()[:5000])
    for length in (0, 4096):
        window = Window(0, length, 0, ends=True)
        report = verifier.verify_file(tmp_path / "p", File(find(NAME).spec), window=window)
        assert (report.expected_size, report.size) == (length, 5000)
        assert report.totals[Kind.EXCESS].wrong_bytes == 5000 - length


def test_a_window_past_the_end(verifier: Verifier, tmp_path: Path) -> None:
    (tmp_path / "p").touch()
    window = Window(9 << 20, 100, 0, ends=True)
    with pytest.raises(ValueError, match=r"length 100: 9437189_d2_c1\.bin ends at"):
        verifier.verify_file(tmp_path / "p", File(find(NAME).spec), window=window)


def test_a_window_and_a_share(verifier: Verifier, tmp_path: Path) -> None:
    window = Window(0, 100, 0, ends=True)
    with pytest.raises(ValueError, match="part 1/2 and a window: give one"):
        verifier.verify_file(tmp_path, File(find(NAME).spec), share=Share(1, 2), window=window)


def checked(path: Path | str, range_: Range, name: str = NAME) -> Verification:
    verification = Verification(Options(name, (), False, (), range=range_))
    verification.check([str(path)])
    return verification


def test_the_options(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(right()[1 << 20 : 2 << 20])
    asked = Range.parse("1M", "1M", None)
    assert asked is not None
    assert checked(path, asked).code == 0
    path.write_bytes(b"x" * 4096 + right()[1 << 20 :] + b"more")
    asked = Range.parse("1M", None, "4096")
    assert asked is not None
    verification = checked(path, asked)
    assert verification.code == 0
    (report,) = verification.reports
    assert isinstance(report, FileReport)
    assert report.size == report.expected_size == (8 << 20) + 5
    tree = checked(tmp_path, asked, "3x4K")
    assert tree.unchecked[0].reason == "--offset, --length and --at are of one file, no tree"
    assert Range.parse(None, None, None) is None
    with pytest.raises(ValueError, match="'1Q'"):
        Range.parse("1Q", None, None)
    with pytest.raises(ValueError, match="--part 1/2: is of all, not of --offset"):
        Options(NAME, (), False, (), share=Share(1, 2), range=asked)


@pytest.mark.parametrize("size", [0, 1, 4096, 9 << 20, (9 << 20) + 5, (9 << 20) + 6, 20 << 20])
def test_streams(verifier: Verifier, size: int) -> None:
    data = (right() + right() + right())[:size]
    report = verifier.verify_stream(_Trickle(data), "-", file_of())
    whole = (9 << 20) + 5
    assert report.size == size
    assert report.identical == (size == whole)
    wrong = {kind: total.wrong_bytes for kind, total in report.totals.items()}
    assert wrong == (
        {}
        if size == whole
        else {Kind.MISSING: whole - size}
        if size < whole
        else {Kind.EXCESS: size - whole}
    )


class _Trickle:
    """Bytes that come as a pipe gives them: fewer than are asked for."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readinto(self, buffer: memoryview, /) -> int:
        return self._data.readinto(buffer[: 1 + len(buffer) * 2 // 3])


def test_a_stream_that_fails(verifier: Verifier) -> None:
    class Failing:
        def readinto(self, _: memoryview, /) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        verifier.verify_stream(Failing(), "-", file_of())


def test_a_stream_that_does_not_wait_has_not_ended(verifier: Verifier) -> None:
    """Else what comes after a pause would not be in excess."""
    ends = os.pipe()
    try:
        os.set_blocking(ends[0], False)
        os.write(ends[1], right("4096"))
        stream = io.FileIO(ends[0], closefd=False)
        with pytest.raises(BlockingIOError, match="has no bytes yet"):
            verifier.verify_stream(stream, "-", file_of("4096"))
    finally:
        for end in ends:
            os.close(end)
    pause = "import os, time; os.set_blocking(1, False); os.write(1, b'{}'); time.sleep({})"
    slow = f'{sys.executable} -c "{pause.format("x" * 4096, 1)}; os.write(1, bytes(9))"'
    done = run("sh", "-c", f"{slow} | {DGENFS} verify - --as 4096", code=1)
    assert b"the file has 4105 B instead of 4096 B" in done.out


def test_standard_input_and_fifos(tmp_path: Path) -> None:
    """By the command, with a writer that comes in its own time."""
    command = f"{DGENFS} gen {NAME} -o - | {DGENFS} verify - --as {NAME}"
    assert run("sh", "-c", command).out == b"-: identical, 9 MiB\n"
    done = run("sh", "-c", f"echo short | {DGENFS} verify - --as {NAME}", code=1)
    assert b"the file has 6 B instead of 9437189 B" in done.out
    assert "standard input has no name" in run(DGENFS, "verify", "-", code=2).err
    done = run("sh", "-c", f"echo | {DGENFS} verify - --as {NAME} --part 1/2", code=2)
    assert "leave out --part" in done.err
    pipe = tmp_path / NAME
    os.mkfifo(pipe)
    with subprocess.Popen([DGENFS, "verify", pipe], stdout=subprocess.PIPE) as process:
        writer = threading.Thread(target=pipe.write_bytes, args=(right(),))
        writer.start()
        try:
            out, _ = process.communicate(timeout=60)
        finally:
            if process.poll() is None:
                process.kill()
                os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))  # lets the writer end
            writer.join()
    assert out.decode() == f"{pipe}: identical, 9 MiB\n"
