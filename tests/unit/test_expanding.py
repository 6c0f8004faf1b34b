"""What containers are expanded by: each encoding and CRC against values worked out elsewhere."""

import pytest
from containers.expanding import crc_32c, expand, masked

from dgenfs.content.containers.frames import Container, Crc, CrcKind, Encoding, Number, Run


def one(run: Run, content: bytes = b"") -> bytes:
    return expand(Container((run,), 1, 1, 1), content)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (Number(1, 3, Encoding.DECIMAL, 9, 1), b"009010"),
        (Number(1, 3, Encoding.SPACED, 9, 1), b"  9 10"),
        (Number(1, 3, Encoding.VARINT, 1, 299), b"\x81\x80\x00\xac\x82\x00"),
        (Number(1, 3, Encoding.TAR_CHECKSUM, 99, 1, more=64), b"122101"),
        (Number(1, 3, Encoding.DECIMAL, 3, 0), b"003003"),
    ],
)
def test_numbers(field: Number, expected: bytes) -> None:
    data = one(Run("index", b"<...", tail=b">", count=2, fields=(field,)))
    assert data == b"<" + expected[:3] + b"><" + expected[3:] + b">"


def test_holes_and_crcs() -> None:
    fields = (
        Crc(5, CrcKind.CRC_32, b"1234", 5, payload=1, step=5),
        Number(0, 1, Encoding.DECIMAL, 1, 1),
    )
    run = Run("record header", b"k", 4, b"....", payload=2, count=2, fields=fields)
    data = one(run, b"_56789abcdef")
    assert data[:9] == b"16789" + (0xCBF43926).to_bytes(4, "little")
    assert data[9:14] == b"2abcd"
    assert one(Run("padding", b"(", 3, b")", filler=0x20)) == b"(   )"
    zeros = Crc(0, CrcKind.CRC_32, b"", 32)
    assert one(Run("footer", bytes(4), fields=(zeros,))) == (0x190A55AD).to_bytes(4, "little")


def test_crc_32c() -> None:
    """RFC 3720, B.4, and a masked length as TensorFlow writes it."""
    assert crc_32c(bytes(32)) == 0x8A9136AA
    assert crc_32c(b"\xff" * 32) == 0x62A8AB43
    assert crc_32c(bytes(range(32))) == 0x46DD794E
    assert crc_32c(b"123456789") == 0xE3069283
    assert masked(0) == 0xA282EAD8
