"""Parts k of n: what each takes follows from the name, and their reports merge into one."""

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import run
from writing import write

from dgenfs.cli import render
from dgenfs.cli.verification import Options, Verification
from dgenfs.distributed.verifying import DistributedVerifier
from dgenfs.names import share as shares
from dgenfs.names.share import WHOLE, Share
from dgenfs.verifying.merging import Merged, PartReport, merged
from dgenfs.verifying.reports import FileReport, TreeReport
from dgenfs.verifying.verifier import Verifier


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(shares, "RANGE", 64 << 10)
        yield


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_each_item_is_in_one_part(items: int, count: int) -> None:
    parts = [Share(number, count).of(items) for number in range(1, count + 1)]
    assert parts[0].start == 0
    assert parts[-1].stop == items
    for part, behind in itertools.pairwise(parts):
        assert part.stop == behind.start
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, 2**63 - 1), st.integers(1, 40))
def test_each_byte_is_in_one_part(size: int, count: int) -> None:
    parts = [Share(number, count).range(size) for number in range(1, count + 1)]
    assert parts[0][0] == 0
    assert parts[-1][1] == size
    for (_, end), (start, _) in itertools.pairwise(parts):
        assert end == start
        assert end % (64 << 20) == 0 or end == size


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("3", "no part such as 3/8"),
        ("0/8", "parts are 1/8 to 8/8; add 1 to an index that begins at 0"),
        ("9/8", "parts are 1/8 to 8/8"),
        ("1/0", "parts are 1 to"),
        ("-1/8", "no part such as 3/8"),
        ("1/8/", "no part such as 3/8"),
    ],
)
def test_what_is_no_part(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Share.parse(text)
    assert Share.parse("3/8") == Share(3, 8)
    assert Share.parse("1/1") == WHOLE


def reported(path: Path, share: Share, folder: Path) -> Path:
    """The report of a part, as the command line writes it."""
    verification = Verification(Options(None, (), False, (), share=share))
    verification.check([str(path)])
    document = {
        "part": {"number": share.number, "count": share.count},
        "reports": [render.as_json(report) for report in verification.reports],
        "unchecked": [render.unreadable_as_json(one) for one in verification.unchecked],
    }
    report = folder / f"report-{share.number}.json"
    report.write_text(json.dumps(document))
    return report


def together(path: Path, count: int, folder: Path) -> Merged:
    files = [reported(path, Share(number, count), folder) for number in range(1, count + 1)]
    return merged(PartReport.parse(file.read_text(), file.name) for file in reversed(files))


def whole(path: Path) -> FileReport | TreeReport:
    verification = Verification(Options(None, (), False, ()))
    verification.check([str(path)])
    return verification.reports[0]


@pytest.mark.usefixtures("small_ranges")
@pytest.mark.parametrize("name", ["700000_d2_c2", "700000_d2_r9000.npz", "1", "0", "65537"])
@pytest.mark.parametrize("change", ["none", "zeros", "short", "long"])
def test_parts_of_a_file(tmp_path: Path, name: str, change: str) -> None:
    path = tmp_path / name
    write(name, path)
    data = bytearray(path.read_bytes())
    if change == "zeros":
        data[60_000:200_000] = bytes(len(data[60_000:200_000]))
    elif change == "short":
        del data[len(data) // 3 :]
    elif change == "long":
        data += b"more"
    path.write_bytes(data)
    one = whole(path)
    for count in (2, 5):
        result = together(path, count, tmp_path)
        (report,) = result.reports
        assert not result.missing
        assert not result.unchecked
        assert isinstance(one, FileReport)
        assert isinstance(report, FileReport)
        report.last = one.last
        assert render.as_json(report) == render.as_json(one)


def test_parts_of_a_tree(tmp_path: Path) -> None:
    path = tmp_path / "40x9000_d2_f7"
    write(path.name, path)
    (path / "0001/000008.bin").write_bytes(bytes(9000))
    (path / "0002/000020.bin").unlink()
    (path / "0005/000039.bin").write_bytes(b"short")
    (path / "0003/more").touch()
    (path / "lost+found").mkdir()
    one = whole(path)
    assert isinstance(one, TreeReport)
    assert (one.different_files, one.missing_files, one.unexpected_files) == (2, 1, 2)
    for count in (1, 3, 40, 41):
        (report,) = together(path, count, tmp_path).reports
        assert render.as_json(report) == render.as_json(one)


def test_parts_that_never_reported_are_named(tmp_path: Path) -> None:
    """By the command, in text and in JSON."""
    path = tmp_path / "20x5000"
    write(path.name, path)
    for number in range(1, 9):
        reported(path, Share(number, 8), tmp_path)
    files = [tmp_path / f"report-{number}.json" for number in range(1, 9)]
    done = run("dgenfs", "merge", *files, code=0)
    assert (
        done.out.decode()
        .splitlines()[-1]
        .endswith("20 of 20 files identical, 0 different, 0 missing, 0 unexpected")
    )
    some = [file for file in files if file.stem not in ("report-3", "report-7")]
    done = run("dgenfs", "merge", *some, code=2)
    assert done.out.decode().splitlines()[-1] == "2 of 8 parts have not reported: 3, 7"
    told = json.loads(run("dgenfs", "merge", *some, "--json", code=2).out)
    assert told["identical"] is False
    assert told["parts"] == {"count": 8, "missing": [3, 7]}
    shutil.rmtree(path)
    done = run("dgenfs", "verify", path, "--part", "2/8", "--json", code=2)
    files[1].write_bytes(done.out)
    done = run("dgenfs", "merge", *files, code=2)
    assert "20x5000: No such file or directory" in done.err
    assert "no report of it by part 2/8" in done.err


def test_reports_that_do_not_merge(tmp_path: Path) -> None:
    path = tmp_path / "2x500"
    write(path.name, path)
    one = reported(path, Share(1, 2), tmp_path)
    first = PartReport.parse(one.read_text(), "a.json")
    with pytest.raises(ValueError, match=r"b\.json: is part 1/2, as a\.json is"):
        merged([first, PartReport.parse(one.read_text(), "b.json")])
    third = PartReport.parse(reported(path, Share(3, 3), tmp_path).read_text(), "c.json")
    with pytest.raises(ValueError, match=r"c\.json: is part 3/3, and a\.json part 1/2"):
        merged([first, third])


def test_what_is_no_report(tmp_path: Path) -> None:
    """Whatever is left out, or has another type, is refused with the file's name."""
    for name in ("2x500", "70000"):
        write(name, tmp_path / name)
        (tmp_path / name / "000001.bin" if name == "2x500" else tmp_path / name).write_bytes(b"bad")
    texts = [b"", b"[]", b"{}", b'{"reports": 3, "unchecked": []}', b'{"reports": [{}]}']
    texts += [b'{"reports": ' + b"[" * 10**5, b"\xff", b'"\xff"']
    for name in ("2x500", "70000"):
        before = json.loads(reported(tmp_path / name, Share(1, 2), tmp_path).read_text())
        (report,) = before["reports"]
        values: dict[str, object] = {
            **{key: [[[report]]] for key in report},
            **{key: -1 for key, value in report.items() if isinstance(value, int)},
            "ranges": [[0, 1, 2]],
            "totals": {"rust": {}},
        }
        for key in report.keys() - {"identical", "wrong_bytes", "omitted_extents"}:
            for changed in (None, values[key], "5"):
                if key in ("path", "name") and isinstance(changed, str):
                    continue
                document = {**before, "reports": [{**report, key: changed}]}
                texts.append(json.dumps(document).encode())
            left = {one: value for one, value in report.items() if one not in (key, "files")}
            texts.append(json.dumps({**before, "reports": [left]}).encode())
    for text in texts:
        with pytest.raises(ValueError, match=r"d\.json: is no report of dgenfs verify --json"):
            PartReport.parse(text, "d.json")


def test_what_merge_made_hides_no_missing_part(tmp_path: Path) -> None:
    path = tmp_path / "4x500"
    write(path.name, path)
    half = tmp_path / "half.json"
    one = reported(path, Share(1, 2), tmp_path)
    half.write_bytes(run("dgenfs", "merge", one, "--json", code=2).out)
    done = run("dgenfs", "merge", half, code=2)
    assert "merge made it: give the reports of the parts" in done.err
    with pytest.raises(ValueError, match="it reports on nothing"):
        PartReport.parse('{"reports": [], "unchecked": []}', "e.json")


def test_what_no_part_compared(tmp_path: Path) -> None:
    """Reports of all parts that leave out something do not make an identical copy."""
    for name in ("9x500", "7000", "0"):
        write(name, tmp_path / name)
        parts = [
            PartReport.parse(
                reported(tmp_path / name, Share(number, 2), tmp_path).read_text(), f"{number}.json"
            )
            for number in (1, 2)
        ]
        twice = [replace(parts[0], source="2.json", share=Share(2, 2)), parts[0]]
        if name == "7000":  # of one range, which the second part has
            twice = [replace(parts[1], share=Share(1, 2)), parts[1]]
            with pytest.raises(ValueError, match=r"2\.json: .*7000: bytes 0 to 7000 are in"):
                merged(twice)
            twice = [parts[0], replace(parts[0], share=Share(2, 2))]
        result = merged(twice)
        assert [one.path for one in result.unchecked] == [str(tmp_path / name)] * (name != "0")


def test_what_a_worker_does_not_see_is_told(tmp_path: Path) -> None:
    """Of what all parts list, each adds what the others could not check, once."""
    write("140M", tmp_path / "140M")
    write("4x500", tmp_path / "4x500")
    (tmp_path / "notes").touch()
    parts = [Share(number, 4) for number in range(1, 5)]

    def some_see_less(*_: Any) -> Iterator[tuple[Share, Any]]:
        for share in parts:
            with Verifier() as verifier:
                report = verifier.verify_directory(tmp_path, share=share)
            report.unchecked_paths = 12_000  # of which no more are kept
            if share.number == 3:  # of the file a range is its
                report.reports = [one for one in report.reports if isinstance(one, TreeReport)]
            yield share, report

    with (
        patch("dgenfs.distributed.verifying.done", some_see_less),
        patch("dgenfs.distributed.verifying.shares", lambda *_: parts),
        DistributedVerifier(None) as verifier,  # type: ignore[arg-type]  # which is not asked
    ):
        found = verifier.verify_directory(tmp_path)
    assert [one.identical for one in found.reports] == [True, True]
    assert not found.identical
    assert [Path(one.path).name for one in found.unchecked] == ["notes", "140M"]
    assert found.unchecked[1].reason.startswith("no report of it by part 3/4")
    assert found.unchecked_paths == 12_000


def test_whole_runs_stand_side_by_side(tmp_path: Path) -> None:
    for name in ("3000", "4000"):
        write(name, tmp_path / name)
    parts = [
        PartReport.parse(reported(tmp_path / name, WHOLE, tmp_path).read_text(), name)
        for name in ("3000", "4000")
    ]
    result = merged(parts)
    assert [str(report.path) for report in result.reports] == [
        str(tmp_path / name) for name in ("3000", "4000")
    ]
    assert not result.missing
