"""Numbers for people."""


def count(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(length: int) -> str:
    """Return a number of bytes in the largest binary unit that leaves it at 1 or more."""
    value, unit = float(length), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if round(value, 2) < 1024 or unit == "EiB":
            break
        value /= 1024
    return f"{value:.2f}".rstrip("0").rstrip(".") + f" {unit}"
