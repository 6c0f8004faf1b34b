"""A Parquet file, slow and obvious, written from docs/format.md alone."""

LEAST = 106
VECTORS = {
    "5000_d2_c2.parquet": "f99d80b4990035e7ef6ed298bc294ce2fd0d089e78f47096905c1e9afe3460a3",
    "1M_d4_c2_r999.parquet": "ffa9dc2e3b7069935963fd080dd006b320531ebc5d8fef57dc29a172faa4f018",
    "3M_d3_c2_r64K.parquet": "109e16c29d7d3c6a162875b6c61541efad918df0b818600f67a93f2d8b06b0ba",
}


def varint(value: int, width: int = 1) -> bytes:
    data = bytearray([value % 128])
    while value := value // 128:
        data[-1] += 128
        data.append(value % 128)
    while len(data) < width:
        data[-1] += 128
        data.append(0)
    return bytes(data)


def zigzag(value: int, width: int = 1) -> bytes:
    return varint(2 * value, width)


def page_header(g: int, r: int) -> bytes:
    size = zigzag(g * r)
    levels = bytes.fromhex("15 00 15 06 15 06 00 00")
    return b"\x15\x00\x15" + size + b"\x15" + size + b"\x2c\x15" + zigzag(g) + levels


def entry(g: int, r: int, p: int, width: int) -> bytes:
    t = zigzag(len(page_header(g, r)) + g * r)
    place = b"\x26" + zigzag(p, width)
    column = bytes.fromhex("15 0e 19 15 00 19 18 04") + b"data" + b"\x15\x00"
    column += b"\x16" + zigzag(g) + b"\x16" + t + b"\x16" + t + place + b"\x00\x00"
    group = b"\x16" + t + b"\x16" + zigzag(g) + place + b"\x16" + t + b"\x00"
    return bytes.fromhex("19 1c 26 00 1c") + column + group


class Table:
    """A file with n rows of r bytes."""

    def __init__(self, size: int, r: int, repeats: bool, n: int) -> None:
        self.size, self.r, self.n = size, r, n
        self.G = min(1024, (2**31 - 1) // r)
        header = len(page_header(self.G, r))
        self.first = 4096 if min(size, self.G * r) >= 65536 else 4 + header
        if self.G * r < 65536:
            self.stride = self.G * r + header
        elif repeats:
            self.stride = self.G * r + 4096
        else:
            self.stride = self.G * r + header
            while self.stride % 4096:
                self.stride += 1
        self.rows = [self.G] * (n // self.G)
        if n % self.G:
            self.rows.append(n % self.G)

    def footer(self) -> bytes:
        width = len(zigzag(self.size))
        data = b"\x15\x02\x19\x2c\x48\x06schema\x15\x02\x00\x15\x0e\x15" + zigzag(self.r)
        data += b"\x15\x00\x18\x04data\x00\x16" + zigzag(self.n) + b"\x19"
        k = len(self.rows)
        data += bytes([16 * k + 12]) if k < 15 else b"\xfc" + varint(k)
        for i, g in enumerate(self.rows):
            start = self.first + i * self.stride - len(page_header(g, self.r))
            data += entry(g, self.r, start, width)
        return data + b"\x00"

    def end(self) -> int:
        values = self.rows[-1] * self.r
        start = self.first + (len(self.rows) - 1) * self.stride
        return start + values + len(self.footer()) + 8

    def fits(self) -> bool:
        return self.end() <= self.size


def file(size: int, record: int | None, repeats: bool, content: bytes) -> bytes:
    record = 131072 if record is None else record
    steps = [2**power for power in reversed(range(40))]
    r = n = 0
    for step in steps:
        if r + step <= min(record, size) and Table(size, r + step, repeats, 1).fits():
            r += step
    for step in steps:
        if (n + step) * r <= size and Table(size, r, repeats, n + step).fits():
            n += step
    table = Table(size, r, repeats, n)
    data = bytearray(b"PAR1")
    used = 0
    for i, g in enumerate(table.rows):
        header = page_header(g, r)
        data += bytes(table.first + i * table.stride - len(header) - len(data))
        data += header + content[used : used + g * r]
        used += g * r
    footer = table.footer()
    rest = size - len(data) - len(footer) - 8
    data += content[used : used + rest] + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    assert len(data) == size
    return bytes(data)
