"""An HDF5 file, slow and obvious, written from docs/format.md alone."""

LEAST = 4105
VECTORS = {
    "5000_d2_c2.hdf5": "fecfdbac70c1fdd81937e572ae1339233b32991dd0b9ea73ed4580b9b13cddc3",
    "1M_d4_c2_r999.hdf5": "1b48412d7993a7d6cdd2027f9d66fe6f640027e220861630898e05464c33c5fa",
    "3M_d3_c2_r64K.hdf5": "d4df298ee1170bb17ca0872fe8c0c382dcdebb2b5df7342f067655737c498228",
}
NONE = b"\xff" * 8


def number(value: int, width: int = 8) -> bytes:
    return value.to_bytes(width, "little")


def header(messages: list[tuple[int, bytes]]) -> bytes:
    body = b""
    for kind, data in messages:
        while len(data) % 8:
            data += b"\0"
        body += number(kind, 2) + number(len(data), 2) + bytes(4) + data
    return (
        b"\1\0" + number(len(messages), 2) + number(1, 4) + number(len(body), 4) + bytes(4) + body
    )


def dataset(shape: list[int], datatype: str, address: int, size: int) -> bytes:
    return header(
        [
            (1, bytes([1, len(shape)]) + bytes(6) + b"".join(number(length) for length in shape)),
            (3, bytes.fromhex(datatype)),
            (5, bytes.fromhex("02 02 02 01 00 00 00 00")),
            (8, bytes([3, 1]) + number(address) + number(size)),
        ]
    )


def file(size: int, record: int | None, repeats: bool, content: bytes) -> bytes:  # noqa: ARG001
    record = min(131072 if record is None else record, size - 4104)
    n = 0
    while 4096 + (n + 1) * (record + 8) <= size:
        n += 1
    pieces = {
        0: bytes.fromhex("89 48 44 46 0d 0a 1a 0a"),
        8: bytes.fromhex("00 00 00 00 00 08 08 00") + number(4, 2) + number(16, 2) + bytes(4),
        24: number(0) + NONE + number(size) + NONE,
        56: number(0) + number(96) + number(1, 4) + number(0, 4) + number(136) + number(680),
        96: header([(0x11, number(136) + number(680))]),
        136: b"TREE\0\0\1\0" + NONE + NONE + number(0) + number(800) + number(16),
        680: b"HEAP\0\0\0\0" + number(88) + number(32) + number(712),
        720: b"labels",
        728: b"records_0",
        744: number(1) + number(56),
        800: b"SNOD\1\0\2\0" + number(8) + number(1128),
        848: number(16) + number(1240),
        1128: dataset([n], "10 08 00 00 08 00 00 00 00 00 40 00", size - 8 * n, 8 * n),
        1240: dataset([n, record], "10 00 00 00 01 00 00 00 00 00 08 00", 4096, n * record),
        4096: content[: size - 8 * n - 4096],
    }
    data = bytearray(size)
    for offset, piece in pieces.items():
        data[offset : offset + len(piece)] = piece
    assert len(data) == size
    return bytes(data)
