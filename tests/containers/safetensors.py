"""A safetensors file, slow and obvious, written from docs/format.md alone."""

import itertools
import struct

LEAST = 81
VECTORS = {
    "5000_d2_c2.safetensors": "b753601a8d0c4058628174c85d6e829eb790ed01502b8314275be640590cc582",
    "1M_d4_c2_r999.safetensors": "eb76ef07707d1695d515938026348ec3bbf2157267e6948d6e9eef7e11d70350",
    "3M_d3_c2_r64K.safetensors": "6930e51cea108d9f677c2a85ae89bb64c23ef44da01c691649ba68bc15f45278",
}


def file(size: int, record: int | None, repeats: bool, content: bytes) -> bytes:  # noqa: ARG001
    record = size if record is None else record
    boundary = 4096 if min(record, size) >= 65536 else 8

    def first(n: int) -> int:
        entry = 61 + max(3, len(str(n - 1))) + 3 * len(str(size))
        return -(-(9 + n * entry) // boundary) * boundary

    n = next(n for n in itertools.count(1) if first(n + 1) + (n + 1) * record > size)
    lengths = [record] * (n - 1)
    lengths.append(size - first(n) - sum(lengths))
    entries = []
    start = 0
    for i, length in enumerate(lengths):
        name = "layer." + str(i).rjust(max(3, len(str(n - 1))), "0") + ".weight"
        shape, a, b = (str(x).rjust(len(str(size))) for x in (length, start, start + length))
        entries.append(f'"{name}":{{"dtype":"U8","shape":[{shape}],"data_offsets":[{a},{b}]}}')
        start += length
    header = ("{" + ",".join(entries) + "}").encode().ljust(first(n) - 8)
    data = struct.pack("<Q", first(n) - 8) + header + content[:start]
    assert len(data) == size
    return data
