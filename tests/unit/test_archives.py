"""Tar archives of other programs, read in order: members are compared by their names."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mounting import DGENFS
from stores import written

from dgenfs import Spec
from dgenfs.api.publishing import write_tree
from dgenfs.cli.arguments import Range
from dgenfs.cli.verification import Options, Verification
from dgenfs.names.share import Share
from dgenfs.verifying.archives import NotAnArchiveError
from dgenfs.verifying.reports import DirectoryReport, FileReport, TreeReport, Unreadable
from dgenfs.verifying.verifier import Verifier

TREE = Spec.parse("6x1000_f2")
LONG = f"{'a' * 60}/{'b' * 60}"  # a directory, longer than a header's field
PLAIN = Spec.parse("5M_d2_c2.bin")


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    with Verifier(exclude=["lost+found"]) as one:
        yield one


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    top = tmp_path / "restored"
    (top / LONG).mkdir(parents=True)
    (top / "lost+found").mkdir()
    written(Spec.parse("4K"), top)
    written(PLAIN, top / LONG)
    write_tree(TREE, top / "6x1000_f2", lambda _: None)
    return top


def tar(top: Path, *options: str) -> bytes:
    command = ["tar", "c", *options, "--sort=name", top.name]
    return subprocess.run(command, cwd=top.parent, stdout=subprocess.PIPE, check=True).stdout


def found(verifier: Verifier, data: bytes) -> DirectoryReport:
    stream = io.BytesIO(data)
    report = verifier.verify_archive(stream, "-")
    assert not stream.read()
    return report


def told(report: DirectoryReport) -> list[tuple[str, str]]:
    return [(one.path, one.reason) for one in report.unchecked]


@pytest.mark.parametrize("kind", ["gnu", "pax", "posix", "ustar"])
def test_members_are_compared_by_their_names(verifier: Verifier, restored: Path, kind: str) -> None:
    report = found(verifier, tar(restored, f"--format={kind}"))
    assert report.identical
    assert (report.path, report.excluded) == ("-", ["restored/lost+found"])
    plain = {one.path: one.size for one in report.reports if isinstance(one, FileReport)}
    assert plain == {
        "restored/4K_d1_c1.bin": 4096,
        f"restored/{LONG}/5M_d2_c2.bin": PLAIN.size,
    }
    (tree,) = (one for one in report.reports if isinstance(one, TreeReport))
    assert (tree.path, tree.name, tree.identical_files) == ("restored/6x1000_f2", str(TREE), 6)


def test_what_is_wrong_in_an_archive(verifier: Verifier, restored: Path) -> None:
    tree = restored / "6x1000_f2"
    (tree / "0001" / "000002.bin").unlink()
    (tree / "0000" / "000001.bin").write_bytes(bytes(1000))
    (tree / "0002" / "notes").touch()
    (restored / "4K_d1_c1.bin").write_bytes(bytes(4095))
    (restored / "empty" / "3x1K").mkdir(parents=True)
    (restored / "a").symlink_to("4K")
    os.link(restored / LONG / PLAIN.name, restored / "z_link")
    (restored / "000007.bin").write_bytes(b"12345678")
    with (restored / "1M").open("wb") as sparse:
        sparse.truncate(1 << 20)
    report = found(verifier, tar(restored, "-S"))
    assert not report.identical
    assert not report.readable
    named = {str(one.path): one for one in report.reports}
    assert named["restored/4K_d1_c1.bin"].identical is False
    assert named[f"restored/{LONG}/{PLAIN.name}"].identical
    broken = named["restored/6x1000_f2"]
    assert isinstance(broken, TreeReport)
    assert (broken.identical_files, broken.different_files) == (4, 1)
    assert broken.missing == ["0001/000002.bin"]
    assert broken.unexpected == ["0002/notes"]
    lost = named["restored/empty/3x1K"]
    assert isinstance(lost, TreeReport)
    assert lost.missing_files == 3
    assert sorted(told(report)) == [
        (
            "restored/000007.bin",
            "has 8 B, where its own name says 7 B;"
            " if it is a file of a tree, say --as TREE/000007.bin",
        ),
        ("restored/1M", "is sparse in the archive"),
        ("restored/a", "is a link"),
        ("restored/z_link", f"is a hard link to restored/{LONG}/{PLAIN.name}"),
    ]


def test_archives_that_break_off(verifier: Verifier, restored: Path) -> None:
    data = tar(restored)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        offsets = {one.name: one.offset for one in archive}
        ends = archive.offset
    first = offsets["restored/6x1000_f2"]
    # Between two members, in a header, and in the data of one.
    for length in (ends, ends - 512 - 1024, first, first + 100):
        report = found(verifier, data[:length])
        assert not report.readable
        assert "archive" in report.unchecked[-1].reason
    report = found(verifier, data[: offsets["restored/6x1000_f2/0001/000003.bin"] + 700])
    assert "restored/6x1000_f2/0001/000003.bin" in dict(told(report))
    damaged = bytearray(data)
    damaged[first : first + 512] = os.urandom(512)
    assert told(found(verifier, bytes(damaged)))[-1][0] == "-"
    report = found(verifier, data + b"x")
    assert told(report) == [("-", "goes on behind the end of the archive")]
    assert found(verifier, data[: ends + 512]).identical


@pytest.mark.parametrize("data", [b"", b"x", bytes(512), bytes(20480), os.urandom(20480)])
def test_what_is_no_archive(verifier: Verifier, data: bytes) -> None:
    with pytest.raises(NotAnArchiveError):
        verifier.verify_archive(io.BytesIO(data), "-")


def test_members_that_come_twice(verifier: Verifier, restored: Path) -> None:
    folder = restored.parent
    path = folder / "twice.tar"
    for _ in range(2):
        subprocess.run(
            ["tar", "rf", path, "restored/6x1000_f2/0000/000001.bin"], cwd=folder, check=True
        )
    report = found(verifier, path.read_bytes())
    assert told(report) == [("restored/6x1000_f2/0000/000001.bin", "is in the archive twice")]
    (tree,) = report.reports
    assert isinstance(tree, TreeReport)
    assert (tree.identical_files, tree.missing_files) == (1, 5)


def test_dumps_of_restic(restored: Path) -> None:
    folder = restored.parent
    environment = {
        "PATH": os.environ["PATH"],
        "RESTIC_REPOSITORY": str(folder / "repository"),
        "RESTIC_PASSWORD": "x",
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }
    given = {"cwd": folder, "env": environment, "text": True, "capture_output": True}
    script = (
        f"restic init -q && restic backup -q restored && restic dump latest / | {DGENFS} verify -"
    )
    done = subprocess.run(["sh", "-c", script], check=False, timeout=120, **given)  # type: ignore[call-overload]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("-: 3 identical, 0 different, 0 not checked")
    for options, why in (
        ({"share": Share(1, 2)}, "comes in order, and is read whole: leave out --part and --dask"),
        ({"range": Range(0, 1, None)}, "--offset, --length and --at are of one file, no tree"),
    ):
        verification = Verification(Options(None, (), False, (), **options))
        verification.check(["-"])
        assert verification.unchecked == [Unreadable("-", why)]
