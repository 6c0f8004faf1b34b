"""Part k of n: what of a name one of several hosts writes or checks.

It follows from the name alone, so that hosts need no coordinator: files in order of their numbers
where there are several, ranges of RANGE bytes in a single one.
"""

import re
from dataclasses import dataclass

RANGE = 64 << 20  # bytes; where parts of one file meet
MAX_COUNT = 10**6  # as who merges their reports names those that are missing


@dataclass(frozen=True, slots=True)
class Share:
    """Part ``number`` of ``count``.

    Attributes:
        number: 1 to ``count``.
        count: 1 to MAX_COUNT.
    """

    number: int = 1
    count: int = 1

    @staticmethod
    def parse(text: str) -> "Share":
        """Read a part such as ``3/8``.

        Raises:
            ValueError: it is none.
        """
        matched = re.fullmatch("([0-9]{1,10})/([0-9]{1,10})", text)
        if matched is None:
            raise ValueError(f"--part '{text}': is no part such as 3/8, the third of eight")
        number, count = int(matched[1]), int(matched[2])
        if not 1 <= count <= MAX_COUNT:
            raise ValueError(f"--part '{text}': parts are 1 to {MAX_COUNT:,}")
        if not 1 <= number <= count:
            rule = f"parts are 1/{count} to {count}/{count}"
            counted = "; add 1 to an index that begins at 0" if number == 0 else ""
            raise ValueError(f"--part '{text}': {rule}{counted}")
        return Share(number, count)

    @property
    def first(self) -> bool:
        """Whether it is the first part, which looks for what belongs to no part."""
        return self.number == 1

    @property
    def last(self) -> bool:
        """Whether it is the last part, which looks at what is behind the end."""
        return self.number == self.count

    def of(self, items: int) -> range:
        """Return which of ``items`` things in order are in it."""
        return range(
            items * (self.number - 1) // self.count,
            items * self.number // self.count,
        )

    def range(self, size: int) -> tuple[int, int]:
        """Return from where to where a file of ``size`` bytes is in it."""
        ranges = self.of(-(-size // RANGE))
        return min(size, ranges.start * RANGE), min(size, ranges.stop * RANGE)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Share()
