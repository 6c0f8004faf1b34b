"""How the kernel may be made to read data files; imported without a compiler."""

from enum import StrEnum


class Io(StrEnum):
    """Past the page cache or through it: by each file's size, or one way for all."""

    AUTO = "auto"
    DIRECT = "direct"
    CACHED = "cached"
