import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dgenfs import Spec
from dgenfs.cli import render
from dgenfs.cli.explanation import explanation
from dgenfs.cli.units import size
from dgenfs.verifying import reports
from dgenfs.verifying.analyze import Analysis, CompressRatio, DedupRatio
from dgenfs.verifying.findings import Extent, Kind
from dgenfs.verifying.reports import FileReport, TreeReport


def lines(renderable: Any) -> list[str]:
    """Print, and return the lines with the columns' padding left out."""
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        console.print(renderable)
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def damaged(*extents: Extent, file: int = 0) -> FileReport:
    found = FileReport(Path("copy"), "1M_d1_c1.bin", file, 1 << 20, 1 << 20, wrong_sectors=3)
    for extent in extents:
        found.add(extent)
    return found


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1 MiB"),
        (5 << 30, "5 GiB"),
        (2**63 - 1, "8 EiB"),
    ],
)
def test_size(count: int, shown: str) -> None:
    assert size(count) == shown


def test_every_kind_in_words() -> None:
    shown = lines(
        render.as_text(
            damaged(
                Extent(0, 512, Kind.ZEROS, 512),
                Extent(1024, 1025, Kind.BIT_FLIPS, 1, 3),
                Extent(4096, 8192, Kind.MISPLACED, 4096, 9, belongs_at=512, belongs_in=0),
                Extent(9216, 9728, Kind.MISPLACED, 512, 9, belongs_at=0, belongs_in=7),
                Extent(10240, 10752, Kind.OTHER_SEED, 512, 9, 10240, 0, 42),
                Extent(20480, 20992, Kind.UNKNOWN, 512, 9),
                Extent(1 << 19, 1 << 20, Kind.MISSING, 1 << 19),
            )
        )
    )
    assert shown[0] == (
        "copy: different, 6 KiB wrong of 1 MiB in 3 sectors of 512 B, 512 KiB missing at the end"
    )
    assert shown[2:9] == [
        "0 512 zeros 512 B",
        "1024 1025 bit flips 3 bits",
        "4096 8192 misplaced 4 KiB at 512 (-3584)",
        "9216 9728 misplaced 512 B at 0 in file 7",
        "10240 10752 other seed 512 B at 10240 (+0) of seed 42",
        "20480 20992 unknown 512 B",
        "524288 1048576 missing tail 512 KiB",
    ]
    assert "misplaced: 2 extents, 4.5 KiB" in shown[9]


@pytest.mark.parametrize(
    ("size", "expected", "extents", "head"),
    [
        (
            100,
            4096,
            [Extent(100, 4096, Kind.MISSING, 3996)],
            "3.9 KiB missing at the end, the rest is identical; "
            "the file has 100 B instead of 4096 B",
        ),
        (
            0,
            4096,
            [Extent(0, 4096, Kind.MISSING, 4096)],
            "4 KiB missing at the end; the file has 0 B instead of 4096 B",
        ),
        (
            5000,
            4096,
            [Extent(4096, 5000, Kind.EXCESS, 904)],
            "904 B in excess at the end, the rest is identical; "
            "the file has 5000 B instead of 4096 B",
        ),
        (
            9,
            0,
            [Extent(0, 9, Kind.EXCESS, 9)],
            "9 B in excess at the end; the file has 9 B instead of 0 B",
        ),
        (
            8192,
            8192,
            [Extent(0, 4096, Kind.UNREADABLE, 4096)],
            "4 KiB unreadable, the rest is identical",
        ),
        (4096, 4096, [Extent(0, 4096, Kind.UNREADABLE, 4096)], "4 KiB unreadable"),
        (
            8192,
            9000,
            [
                Extent(0, 512, Kind.ZEROS, 510),
                Extent(4096, 8192, Kind.UNREADABLE, 4096),
                Extent(8192, 9000, Kind.MISSING, 808),
            ],
            "510 B wrong of 8.79 KiB in 1 sector of 512 B, 4 KiB unreadable, "
            "808 B missing at the end; the file has 8192 B instead of 9000 B",
        ),
    ],
)
def test_what_is_wrong_is_told_apart(
    size: int, expected: int, extents: list[Extent], head: str
) -> None:
    sectors = sum(extent.kind is Kind.ZEROS for extent in extents)
    found = FileReport(Path("copy"), "1M_d1_c1.bin", 0, expected, size, wrong_sectors=sectors)
    for extent in extents:
        found.add(extent)
    found.ranges = [(0, expected)]
    assert lines(render.as_text(found))[0] == f"copy: different, {head}"
    found.ranges = [(0, expected // 2)]  # the rest is another part's
    shown = head.replace(", the rest is identical", "") if expected else head
    assert lines(render.as_text(found))[0] == f"copy: different, {shown}"
    assert found.readable == (not any(extent.kind is Kind.UNREADABLE for extent in extents))


def test_long_lists_are_cut_in_text_only() -> None:
    extents = [Extent(i * 4096, i * 4096 + 512, Kind.ZEROS, 512) for i in range(50)]
    found = damaged(*extents)
    assert "and 30 more extents; --json has more" in lines(render.as_text(found))
    values = render.as_json(found)
    assert len(values.pop("extents")) == 50
    assert sorted(values) == [
        *("changed", "expected_size", "file", "identical", "name", "omitted_extents"),
        *("path", "ranges", "size", "totals", "wrong_bytes", "wrong_sectors"),
    ]


def test_tree() -> None:
    found = TreeReport(Path("tree"), "9x1K_d1_c1", 9, identical_files=9)
    assert json.loads(json.dumps(render.as_json(found)))["identical"] is True
    found.identical_files, found.different_files = 6, 1
    found.missing_files, found.unexpected_files = 2, 1
    found.different.append(damaged(Extent(0, 512, Kind.ZEROS, 512), file=3))
    found.missing += ["000001.bin", "000002.bin"]
    found.unexpected.append("notes.txt")
    shown = lines(render.as_text(found))
    assert shown[0] == "tree: 6 of 9 files identical, 1 different, 2 missing, 1 unexpected"
    assert {"0 512 zeros 512 B", "missing: 000002.bin", "unexpected: notes.txt"} <= set(shown)
    values = json.loads(json.dumps(render.as_json(found)))
    assert (values["identical"], values["different"][0]["file"]) == (False, 3)


def test_a_tree_keeps_extents_of_its_first_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MAX_TREE_EXTENTS", 8)
    monkeypatch.setattr(reports, "MAX_PATHS", 4)
    found = TreeReport(Path("tree"), "9x1M_d1_c1", 9)
    for file in range(6):
        found.add_file(
            damaged(
                *(Extent(i * 4096, i * 4096 + 512, Kind.ZEROS, 512) for i in range(3)), file=file
            )
        )
    assert [len(file.extents) for file in found.different] == [3, 3, 2, 0]
    assert [file.omitted_extents for file in found.different] == [0, 0, 1, 3]
    assert (found.different_files, found.kept_extents, found.omitted_extents) == (6, 8, 10)
    shown = lines(render.as_text(found))
    assert "10 extents counted only" in shown
    assert (shown.count("and 1 more extent"), shown.count("and 3 more extents")) == (1, 1)
    assert sum(line.startswith("offset") for line in shown) == 3
    assert render.as_json(found)["omitted_extents"] == 10


def test_explanation() -> None:
    assert {
        "name 1M_d4_c2.bin",
        "dedup unit 4 KiB",
        "units 256, of which 64 distinct",
        "key 21f446af0206781f",
        "dedup 4 named, 4.0000 given",
        "a store of 4 KiB chunks sees 4.000:1 dedup",
        "lz4 and zstd see 2.00:1 (within 3.5 %, chunks of 4 KiB to 1 MiB)",
    } <= set(lines(explanation(Spec.parse("1M_d4_c2.bin"))))
    tree = lines(explanation(Spec.parse("2500x1M_f1000")))
    assert "first and last file 0000/000000.bin 0002/002499.bin" in tree


@pytest.mark.parametrize("name", ["0", "8E-1_d1000_c20", "1000000000x8G_d1.5", "3x0"])
def test_explanation_of_extremes(name: str) -> None:
    spec = Spec.parse(name)
    assert f"name {spec.name}" in lines(explanation(spec))


def test_analysis() -> None:
    analysis = Analysis(
        2,
        1 << 20,
        1 << 19,
        [DedupRatio(4096, 256, 64, 32, 4.0)],
        [CompressRatio("lz4", 4096, 1.5), CompressRatio("zstd -3", 4096, 2.0)],
    )
    shown = lines(render.analysis_as_text(analysis))
    assert "4 KiB 256 64 4.000:1 12.50 %" in shown
    assert "4 KiB 1.500:1 2.000:1" in shown
    assert json.loads(json.dumps(render.analysis_as_json(analysis)))["size"] == 1 << 20
