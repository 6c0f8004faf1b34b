"""Tar archives, slow and obvious, from docs/format.md alone."""

LEAST = 3072
VECTORS = {
    "10000_d1.5_c2_r100B.tar": ("8a7b15a6967e593dd2398662843b92c70659a06165100bc70b07fd2a3e8f4ed7"),
    "300000_d2_c1.5_s7.tar": ("fa95a793df378165ffa1f7537cae0c4ba2c4da6380ad02fc3468ccb6fbc9858c"),
    "1M_d2_c2_r64K.tar": ("9f1e1a10d1a89f407af9b8e8bc64cbe76bb5a0d81927714b463f08a641a3dee2"),
    "1MB_d3_c1.5_r100KB.tar": ("6c0127ec256e219e58e151954d6ce48a60f37ef96bd3418044d7b64aa7223519"),
}


def header(name: str, size: int, kind: str) -> bytes:
    fields = [
        name.encode().ljust(100, b"\0"),
        b"0000644\0",
        b"0000000\0",
        b"0000000\0",
        f"{size:011o}\0".encode() if size < 2**33 else b"\x80" + size.to_bytes(11, "big"),
        b"13602760400\0",
        b"        ",
        kind.encode(),
        bytes(100),
        b"ustar\x0000",
        bytes(64),
        b"0000000\0",
        b"0000000\0",
        bytes(167),
    ]
    fields[6] = f"{sum(b''.join(fields)):06o}\0 ".encode()
    return b"".join(fields)


def line(key: str, value: str) -> str:
    """A line of a pax header, its length found by trying."""
    return next(text for length in range(100) if len(text := f"{length} {key}={value}\n") == length)


def pax(size: int, d: int) -> bytes:
    value = line("size", str(size)) if size >= 2**33 else ""
    c = d - len(value)
    comment = f"{c} comment="
    value += comment + " " * (c - len(comment) - 1) + "\n"
    assert len(value) == d
    return header("././@PaxHeader", d, "x") + value.encode()


def file(size: int, record: int | None, repeats: bool, content: bytes) -> bytes:
    r = min(131072 if record is None else record, size)
    room = -(-r // 512) * 512
    if r < 65536:
        first, stride = 512, room + 1536
    elif repeats and r % 512 == 0:
        first, stride = 4096, r + 4096
    else:
        first, stride = 4096, -(-(r + 2560) // 4096) * 4096
    n = 1
    while first + room + 2048 + n * stride <= size:
        n += 1
    out = bytearray()
    for i in range(n):
        number = str(i).rjust(max(6, len(str(n - 1))), "0")
        last = size // 512 * 512 - (first + 2048 + (n - 1) * stride)
        length = last if i == n - 1 else r
        if r >= 65536:
            out += pax(length, 3072 if i == 0 else stride - room - 2048)
        out += header(number + ".bin", length, "0")
        payload = content[i * r : i * r + length]
        assert len(payload) == length
        out += payload
        while len(out) % 512:
            out += b"\0"
        out += header(number + ".cls", 1, "0")
        out += b"0" + bytes(511)
    out += bytes(1024 + size % 512)
    return bytes(out)
