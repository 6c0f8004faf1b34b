"""What explain says of containers."""

import pytest
from rich.console import Console

from dgenfs import Spec
from dgenfs.cli.explanation import explanation


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        (
            "140M_d2_c1.5_r112K.npz",
            {
                "format": "npz",
                "records": "1279 of 114688 bytes; 98180 bytes behind them that readers do not see",
                "payload": "146784132 bytes, from byte 4096 on",
                "format's own": "16508 bytes, 0.01 %",
                "records start at": "multiples of 4 KiB",
                "a store of 4 KiB chunks sees": "2.000:1 dedup",
                "a store of 1 MiB chunks sees": "1.944:1 dedup",
            },
        ),
        (
            "10M_d3_r1000B.tar",
            {
                "records": "4095 of 1000 bytes, the last of 2560",
                "records start at": "any byte",
                "a store of 4 KiB chunks sees": "1.000:1 dedup",
            },
        ),
        ("1M_d4.npy", {"codecs find repetition": "in pieces longer than 256 KiB"}),
        ("64M.tfrecord.idx", {"index": "of 496 records"}),
    ],
)
def test_rows(name: str, rows: dict[str, str]) -> None:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(explanation(Spec.parse(name)))
    lines = captured.get().splitlines()
    found = dict(line.strip().split("  ", 1) for line in lines)
    for row, text in rows.items():
        assert found[row].strip() == text
