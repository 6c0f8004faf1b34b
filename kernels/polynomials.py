"""Polynomials over GF(2), for the constants that CRCs are computed with.

A polynomial is an int, bit i of which is the coefficient of x^i. Where it is reflected, as what is
loaded from memory is, the highest power stands lowest: bit i is that of x^(bits - 1 - i). Called
by crc and carryless as they are imported.
"""

CRC_32 = 0  # of Ethernet, gzip, zip and PNG
CRC_32C = 1  # Castagnoli's, of iSCSI, ext4 and TFRecord
BITS = 32  # degree of both

REFLECTED = (0xEDB88320, 0x82F63B78)  # without x^32, in 32 bits


def reflected(polynomial: int, bits: int) -> int:
    """Return a polynomial of a degree below ``bits`` with its coefficients in reverse."""
    return int(f"{polynomial:0{bits}b}"[::-1], 2)


def divided(dividend: int, divisor: int) -> tuple[int, int]:
    """Return quotient and remainder."""
    quotient = 0
    while (shift := dividend.bit_length() - divisor.bit_length()) >= 0:
        quotient |= 1 << shift
        dividend ^= divisor << shift
    return quotient, dividend


POLYNOMIALS = tuple(1 << BITS | reflected(one, BITS) for one in REFLECTED)


def power(exponent: int, kind: int, bits: int = BITS) -> int:
    """Return x^exponent modulo the polynomial of ``kind``, reflected."""
    return reflected(divided(1 << exponent, POLYNOMIALS[kind])[1], bits)


def powers(kind: int, count: int) -> list[int]:
    """Return x^8, x^16, x^32 ..., each the square of the one before, reflected in 32 bits."""
    found = [1 << 8]
    while len(found) < count:
        # All mixed terms of a square cancel: what is left is each coefficient at twice its place.
        square = int("0".join(f"{found[-1]:b}"), 2)
        found.append(divided(square, POLYNOMIALS[kind])[1])
    return [reflected(one, BITS) for one in found]
