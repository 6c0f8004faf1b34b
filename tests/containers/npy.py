"""npy files, slow and obvious, written from docs/format.md alone."""

import struct

LEAST = 4097
VECTORS = {
    "5000_c2.npy": "e4c1ae94ba1cdfdcdad26b9f47044e61b25af81a8822022aeb152065001677aa",
    "1M_d4_c2_r64K.npy": "8a25efde6053f67aa9576be5e331be36e90ca7c4ac0c18616a5701965078335a",
    "3MB_d3_c1.5_r112K.npy": "eef1e6b74791648d5b8927df27bae5f390af12e15db29201e3292b5c6b0f13c2",
}


def file(size: int, _record: int | None, _repeats: bool, content: bytes) -> bytes:
    payload = content[: size - 4096]
    head = b"\x93NUMPY" + bytes([1, 0]) + struct.pack("<H", 4086)
    head += f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(payload)},), }}".encode()
    while len(head) < 4095:
        head += b" "
    return head + b"\n" + payload
