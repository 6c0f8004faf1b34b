"""CRCs, bit by bit."""

POLYNOMIALS = {0: 0xEDB88320, 1: 0x82F63B78}  # CRC-32 and CRC-32C, the lowest bit is that of x^31


def extended(data: bytes, before: int, kind: int) -> list[int]:
    """Return the CRCs of what has the CRC ``before`` and each of the first bytes: 0, 1, 2 ..."""
    state = before ^ 0xFFFFFFFF
    found = [before]
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (POLYNOMIALS[kind] if state & 1 else 0)
        found.append(state ^ 0xFFFFFFFF)
    return found


def crc_of(data: bytes, kind: int) -> int:
    return extended(data, 0, kind)[-1]
