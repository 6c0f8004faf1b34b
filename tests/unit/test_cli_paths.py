"""What verify and analyze make of the paths that users have: mixed, renamed, and not there."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from mounting import DGENFS
from processes import run
from servers import Server
from stores import written

from dgenfs import Spec
from dgenfs.api.publishing import write_tree
from dgenfs.cli.arguments import LEFT_BEHIND, Range
from dgenfs.cli.verification import Options, Verification
from dgenfs.names.share import Share
from dgenfs.verifying.analyze import analyze, total_size
from dgenfs.verifying.reports import Unreadable

RULE = "a name starts with a size, such as 10G, 1.5M, 4096 or 4K-1"
TREE = Spec.parse("6x1000_f2")
FLAT = Spec.parse("5x5000")
PLAIN = ("4K_d1_c1.bin", "5M_d2_c2.bin")

Verify = Callable[..., tuple[int, Any, list[str]]]


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """Verify in this process; the exit code, and the lines of both outputs."""

    def call(*paths: object, as_json: bool = False, **options: Any) -> Any:
        given = {"as_name": None, "seeds": (), "direct": False, "exclude": LEFT_BEHIND, **options}
        verification = Verification(Options(**given))
        verification.check([str(path) for path in paths])
        verification.print(as_json=as_json)
        out, err = capsys.readouterr()
        return verification.code, json.loads(out) if as_json else out.splitlines(), err.splitlines()

    return call


def fill(top: Path) -> None:
    """Plain names, a tree, what systems leave behind and an empty directory."""
    (top / "sub" / "deep").mkdir(parents=True)
    (top / "empty").mkdir()
    written(Spec.parse(PLAIN[0]), top)
    written(Spec.parse(PLAIN[1]), top / "sub" / "deep")
    write_tree(TREE, top / "sub" / "6x1000_f2", lambda _: None)
    (top / "lost+found").mkdir()
    (top / "lost+found" / "4K").write_bytes(b"x")


@pytest.fixture
def restored(tmp_path: Path) -> Path:
    top = tmp_path / "restored"
    top.mkdir()
    fill(top)
    return top


def test_a_directory_of_names(restored: Path, verify: Verify) -> None:
    code, out, err = verify(restored)
    assert (code, err) == (0, [])
    assert out == [
        f"{restored}/4K_d1_c1.bin: identical, 4 KiB",
        f"{restored}/sub/6x1000_f2: 6 of 6 files identical, 0 different, 0 missing, 0 unexpected",
        f"{restored}/sub/deep/5M_d2_c2.bin: identical, 5 MiB",
        f"{restored}: 3 identical, 0 different, 0 not checked, 1 excluded",
    ]
    found = verify(restored, as_json=True)[1]
    assert found["identical"] is True
    assert [one["name"] for one in found["reports"]] == [PLAIN[0], TREE.name, PLAIN[1]]
    assert (found["unchecked"], found["unchecked_paths"]) == ([], 0)
    assert (found["excluded"], found["excluded_paths"]) == ([f"{restored}/lost+found"], 1)


def test_what_no_name_is_was_not_checked(restored: Path, verify: Verify) -> None:
    (restored / "notes.txt").touch()
    (restored / "link").symlink_to(PLAIN[0])
    (restored / "up").symlink_to("..")
    os.mkfifo(restored / "sub" / "4K")
    (restored / "sub" / "6x1000.sha256").touch()
    code, out, err = verify(restored)
    assert (code, err) == (2, [])
    assert [line for line in out if line.startswith("not checked")] == [
        f"not checked: {restored}/link: is a link",
        f"not checked: {restored}/notes.txt: 'notes.txt' is not a name: 'notes': {RULE}",
        f"not checked: {restored}/sub/4K: is a FIFO",
        *(line for line in out if f"not checked: {restored}/sub/6x1000.sha256: '6x" in line),
        f"not checked: {restored}/up: is a link",
    ]
    assert out[-1] == f"{restored}: 3 identical, 0 different, 5 not checked, 1 excluded"
    found = verify(restored, as_json=True)[1]
    assert found["identical"] is False
    assert len(found["unchecked"]) == found["unchecked_paths"] == 5
    assert found["unchecked"][2] == {"path": f"{restored}/sub/4K", "reason": "is a FIFO"}
    patterns = [*LEFT_BEHIND, "notes*", "link", "up", "*.sha256"]
    assert verify(restored, exclude=[*patterns, "4K"])[0] == 0
    code, out, _ = verify(restored, exclude=patterns)
    assert code == 2
    assert out[-1] == f"{restored}: 3 identical, 0 different, 1 not checked, 5 excluded"


def test_a_bad_copy_hides_no_other(restored: Path, verify: Verify) -> None:
    (restored / PLAIN[0]).write_bytes(bytes(4096))
    (restored / "sub" / "6x1000_f2" / "0001" / "000002.bin").unlink()
    code, out, _ = verify(restored)
    assert code == 1
    assert out[-1] == f"{restored}: 1 identical, 2 different, 0 not checked, 1 excluded"
    assert out[0].startswith(f"{restored}/4K_d1_c1.bin: different, 3.98 KiB wrong")
    assert "missing: 0001/000002.bin" in out
    (restored / "sub" / "notes").touch()
    assert verify(restored)[0] == 2
    code, out, err = verify(restored / "none", restored, restored / PLAIN[0])
    assert code == 2
    assert err == [f"dgenfs: {restored}/none: No such file or directory"]
    assert out[-4].startswith(f"{restored}/4K_d1_c1.bin: different")


def test_parts_of_a_directory(restored: Path, verify: Verify) -> None:
    found = [verify(restored, as_json=True, share=Share(k, 2))[1]["reports"] for k in (1, 2)]
    ranges = [[one.get("ranges", one.get("files")) for one in part] for part in found]
    assert ranges == [[[], 3, []], [[[0, 4096]], 3, [[0, 5 << 20]]]]
    code, _, err = verify(restored, range=Range(0, 100, None))
    assert code == 2
    assert err == [f"dgenfs: {restored}: --offset, --length and --at are of one file, no tree"]


def test_more_than_are_kept(
    restored: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgenfs.verifying.reports.MAX_PATHS", 3)
    for number in range(5):
        (restored / f"notes{number}").touch()
    code, out, _ = verify(restored)
    assert code == 2
    assert out[-2] == "and 2 more not checked"
    assert sum(line.startswith("not checked") for line in out) == 3


def test_directories_without_a_name_in_them(tmp_path: Path, verify: Verify) -> None:
    write_tree(FLAT, tmp_path / "mnt", lambda _: None)
    (tmp_path / "7K" / "below").mkdir(parents=True)
    (tmp_path / "7K" / "below" / "notes").touch()
    code, out, err = verify(tmp_path / "mnt", tmp_path / "7K")
    assert (code, out) == (2, [])
    assert err == [
        f"dgenfs: {tmp_path}/mnt: 'mnt' is not a name: 'mnt': {RULE}; say what it holds: --as NAME",
        f"dgenfs: {tmp_path}/7K: is a directory, and 7K_d1_c1.bin is not a tree",
    ]
    # What a plain name is called may hold names.
    written(Spec.parse("4K"), tmp_path / "7K" / "below")
    assert verify(tmp_path / "7K")[1][0] == f"{tmp_path}/7K/below/4K_d1_c1.bin: identical, 4 KiB"


def test_as_for_directories(restored: Path, verify: Verify) -> None:
    tree = restored / "sub" / "6x1000_f2"
    code, out, _ = verify(tree / "0001")  # which its parent's name tells
    assert (code, out[0].startswith(f"{tree}/0001: 2 of 2 files identical")) == (0, True)
    lone = tree.rename(restored / "mnt") / "0001"
    for name in ("6x1000_f2/0001", "6x1000_f2/0001/"):
        code, out, _ = verify(lone, as_name=name)
        assert code == 0
        assert out == [f"{lone}: 2 of 2 files identical, 0 different, 0 missing, 0 unexpected"]
    found = verify(lone, as_name="6x1000_f2/0001", as_json=True)[1]
    (report,) = found["reports"]
    assert (report["name"], report["files"]) == (f"{TREE}/0001", 2)
    code, out, _ = verify(restored / "mnt", as_name="6x1000_f2")
    assert (code, out[0].startswith(f"{restored}/mnt: 6 of 6")) == (0, True)
    (lone / "000003.bin").write_bytes(b"x" * 1000)
    (lone / "000004.bin").touch()
    code, out, _ = verify(lone, as_name="6x1000_f2/0001")
    assert code == 1
    assert out[0] == f"{lone}: 1 of 2 files identical, 1 different, 0 missing, 1 unexpected"
    assert out[-1] == "unexpected: 000004.bin"
    for path, name, why in (
        (restored, "4K", "is a directory, and 4K_d1_c1.bin is not a tree"),
        (restored / PLAIN[0], "6x1000_f2/0001", "is no directory, unlike 6x1000_f2/0001"),
        (
            lone,
            "6x1000_f2/0003",
            f"'{TREE}/0003' is not a name: '0003': {TREE}/ holds 0000 to 0002",
        ),
        (
            lone,
            "6x1000_f2/0001/000003.bin",
            f"is a directory, and {TREE}/0001/000003.bin is not a tree",
        ),
    ):
        code, out, err = verify(path, as_name=name)
        assert (code, out) == (2, [])
        assert err == [f"dgenfs: {path}: {why}"]


def test_numbers_that_are_no_sizes(tmp_path: Path, verify: Verify) -> None:
    def sized(name: str, size: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
        return path

    hint = "if it is a file of a tree, say --as "
    for name, size, why in (
        ("mnt/000017.bin", 1000, "has 1000 B, where its own name says 17 B; {}TREE/000017.bin"),
        ("mnt/000000.bin", 0, "is empty; {}TREE/000000.bin"),  # so is a tree's that was cut
        ("mnt/000001.bin", 0, "is empty; {}TREE/000001.bin"),
        ("2000000x5/123456.bin", 9, "9 B"),
    ):
        code, out, err = verify(sized(name, size))
        if name.startswith("mnt"):
            assert (code, out) == (2, [])
            assert err == [f"dgenfs: {tmp_path}/{name}: {why.format(hint)}"]
    # A size that begins with no zero is one, though it may be a tree's number.
    code, out, _ = verify(sized("mnt/1000000.bin", 999_999))
    assert code == 1
    assert out[0].endswith(f"; {hint}TREE/1000000.bin")
    code, out, _ = verify(sized("mnt/000005.bin", 5))
    assert code == 1
    assert out[0].endswith(f"; {hint}TREE/000005.bin")
    # Of a number below a tree that has it.
    (tmp_path / "200000x5" / "old").mkdir(parents=True)
    code, _, err = verify(sized("200000x5/old/123456.bin", 9))
    assert code == 2
    assert err[0].endswith(f"; {hint}200000x5_d1_c1/123456.bin")
    run(DGENFS, "gen", "000017.bin", "-o", tmp_path / "000017.bin")
    assert verify(tmp_path / "000017.bin")[0] == 0


def test_what_is_not_there(tmp_path: Path, verify: Verify) -> None:
    said = "No such file or directory"
    nothing = f"{said}: the pattern matched nothing"
    (tmp_path / "a[1]").mkdir()
    for inside, why in (
        ("*.bin", nothing),
        ("none/4K", said),
        ("n?ne/4K", nothing),
        ("a[0-9]/4K", nothing),
        ("a[1]/4K", said),
    ):
        path = tmp_path / inside
        assert verify(path) == (2, [], [f"dgenfs: {path}: {why}"])
        told: list[Unreadable] = []
        analyze([path], 0, None, told.append)
        assert told == [Unreadable(str(path), why)]
    for name in ("4K", "5x5000"):
        done = run(DGENFS, "gen", name, "-o", tmp_path / "n*" / "x", code=2)
        assert done.err == f"dgenfs: {tmp_path}/n*: {nothing}\n"


@pytest.fixture
def bucket(seaweedfs: Server, restored: Path) -> Iterator[str]:
    """A bucket with a restored backup and a tree of another name."""
    name = "paths"
    s3 = seaweedfs.s3
    s3.create_bucket(Bucket=name)
    write_tree(FLAT, restored.parent / "mnt", lambda _: None)
    keys = []
    for path in restored.parent.rglob("*"):
        if path.is_file():
            keys.append(str(path.relative_to(restored.parent)))
            s3.put_object(Bucket=name, Key=keys[-1], Body=path.read_bytes())
    with seaweedfs.configured():
        yield f"s3://{name}"
    for key in keys:
        s3.delete_object(Bucket=name, Key=key)
    s3.delete_bucket(Bucket=name)


def test_a_prefix_of_names(bucket: str, seaweedfs: Server, verify: Verify) -> None:
    url = f"{bucket}/restored"
    code, out, err = verify(f"{url}/")
    assert (code, err) == (0, [])
    assert sorted(out) == [
        f"{url}/4K_d1_c1.bin: identical, 4 KiB",
        f"{url}/: 3 identical, 0 different, 0 not checked, 1 excluded",
        f"{url}/sub/6x1000_f2: 6 of 6 files identical, 0 different, 0 missing, 0 unexpected",
        f"{url}/sub/deep/5M_d2_c2.bin: identical, 5 MiB",
    ]
    put = {"Bucket": "paths", "Key": "restored/notes.txt"}
    seaweedfs.s3.put_object(**put, Body=b"x")
    for given in (url, f"{url}/"):
        code, out, _ = verify(given)
        assert code == 2
        assert out[-2].startswith(f"not checked: {url}/notes.txt: 'notes.txt' is not a name")
    code, out, err = verify(f"{url}/notes.txt", f"{bucket}/none", f"{bucket}/none/*.bin", url)
    assert code == 2
    assert out[0].endswith("identical, 4 KiB")
    assert err == [
        f"dgenfs: {url}/notes.txt: 'notes.txt' is not a name: 'notes': {RULE};"
        " say what is there: --as NAME",
        f"dgenfs: {bucket}/none: no object has this prefix",
        f"dgenfs: {bucket}/none/*.bin: no object has this prefix: the pattern matched nothing",
    ]
    seaweedfs.s3.delete_object(**put)


def test_trees_of_other_names_in_a_store(bucket: str, verify: Verify) -> None:
    code, out, err = verify(f"{bucket}/mnt/000003.bin", f"{bucket}/mnt/")
    assert (code, out) == (2, [])
    assert err[0] == (
        f"dgenfs: {bucket}/mnt/000003.bin: has 5000 B, where its own name says 3 B;"
        " if it is a file of a tree, say --as TREE/000003.bin"
    )
    assert err[1].endswith("; say what is there: --as NAME")
    for path, name in (
        ("mnt/", "5x5000"),
        ("mnt/000003.bin", "5x5000/000003.bin"),
        ("restored/sub/6x1000_f2/0001/", "6x1000_f2/0001"),
        ("restored/sub/6x1000_f2/0001/", None),
        ("restored/sub/6x1000_f2/0001/000003.bin", None),
    ):
        code, out, err = verify(f"{bucket}/{path}", as_name=name)
        assert (code, err) == (0, [])


@pytest.fixture(params=["file", "http", "memory"])
def prefix(
    request: pytest.FixtureRequest, restored: Path, rclone_http: Server
) -> Iterator[tuple[str, str]]:
    """A URL of a restored backup, and how reports call it."""
    if request.param == "file":
        yield f"file://{restored}", str(restored)
        return
    if request.param == "http":
        served = rclone_http.log_path.parent / "data" / restored.parent.name
        shutil.copytree(restored, served)
        yield f"{rclone_http.url}{served.name}", f"{rclone_http.url}{served.name}"
        shutil.rmtree(served)
        return
    memory = MemoryFileSystem()
    memory.put(str(restored), str(restored), recursive=True)
    yield f"memory:/{restored}", f"memory:/{restored}"
    memory.rm(str(restored), recursive=True)


def test_prefixes_of_other_stores(prefix: tuple[str, str], verify: Verify) -> None:
    url, called = prefix
    for given in (url, f"{url}/"):
        code, out, err = verify(given)
        assert (code, err) == (0, [])
        ends = ": 3 identical, 0 different, 0 not checked, 1 excluded"
        assert out[-1] in (f"{called}{ends}", f"{called}/{ends}")
    code, out, err = verify(f"{url}/none/", f"{url}/sub/6x1000_f2/0002/", f"{url}/4K_d1_c1.bin")
    assert (code, len(err), len(out)) == (2, 1, 2)
    assert err[0].casefold().startswith(f"dgenfs: {url}/none/: no such ".casefold())
    assert out[0].startswith(f"{called}/sub/6x1000_f2/0002")
    assert ": 2 of 2 files identical" in out[0]


def test_objects_are_measured_as_files_are(bucket: str, restored: Path) -> None:
    def measured(*paths: str) -> Any:
        told: list[Unreadable] = []
        steps: list[int] = []
        size = total_size(paths)
        analysis = analyze(paths, size, steps.append, told.append)
        assert sum(steps) == size == analysis.size
        assert analysis.unreadable == told
        return analysis

    local = measured(str(restored))
    for given in (f"{bucket}/restored", f"{bucket}/restored/", f"file://{restored}"):
        assert measured(given) == local
    one = measured(f"{bucket}/restored/{PLAIN[0]}")
    assert (one.files, one.size) == (1, 4096)
    both = measured(f"{restored}/{PLAIN[0]}", f"{bucket}/restored/{PLAIN[0]}", f"{bucket}/none")
    assert (both.files, both.size, both.unreadable_paths) == (2, 8192, 1)
    assert both.dedup[1].ratio == 2
    assert both.unreadable == [Unreadable(f"{bucket}/none", "no object has this prefix")]


def test_objects_that_go_or_become_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dgenfs.verifying.object_blocks.AHEAD", 1)
    for name in ("first", "gone", "short", "whole"):
        (tmp_path / name).write_bytes(bytes(5 << 20))

    def spoil(_: int) -> None:
        if memory.exists(f"{tmp_path}/gone"):
            memory.rm(f"{tmp_path}/gone")
        memory.pipe(f"{tmp_path}/short", bytes(100))

    memory = MemoryFileSystem()
    memory.put(str(tmp_path), str(tmp_path), recursive=True)
    url = f"memory:/{tmp_path}"
    analysis = analyze([url], total_size([url]), spoil)
    assert (analysis.files, analysis.size) == (3, (10 << 20) + 100)
    assert analysis.unreadable == [
        Unreadable(f"{url}/gone", "no such object or directory"),
        Unreadable(f"{url}/short", "ends at 100 B, before the size that is told"),
    ]
    memory.rm(str(tmp_path), recursive=True)
