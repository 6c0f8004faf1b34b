"""The grammar of names, and of the sizes and ratios in them.

In docs/format.md the chapter Names::

file = size *( "_" param ) [ "." ext ] [ "." sidecar ]
tree = files "x" size *( "_" param ) [ "." ext ]
"""

import math
import re
from typing import NamedTuple, NoReturn

from dgenfs.content.containers import EXTENSIONS
from dgenfs.content.layout import MAX_FILES, MAX_SIZE, MAX_UNIT, MIN_UNIT
from dgenfs.escapes import escaped

SIDECARS = ("sha256", "sha1", "md5", "blake2b", "xxh128", "crc32")
DEFAULT_EXTENSION = "bin"
TOPOLOGY, STATS, METRICS = CONTROL_FILES = (".topology", ".stats", ".metrics")  # in a mount's root
MAX_EXTENSION = 11  # characters
INDEXED, INDEX = "tfrecord", "idx"  # the container whose index has a name, and what that ends in
MAX_NAME = 255  # bytes, NAME_MAX of limits.h
MAX_DEDUP_MILLI = 1000 * 1000
MAX_COMPRESS_MILLI = 20 * 1000
MAX_SEED = 2**64 - 1

_SIZES = "a size is 0 to 2^63-1 bytes (8E-1)"
_LETTERS = "KMGTPE"
UNITS: dict[str, int] = (
    {"": 1, "B": 1}
    | {letter: 1024**power for power, letter in enumerate(_LETTERS, 1)}
    | {f"{letter}IB": 1024**power for power, letter in enumerate(_LETTERS, 1)}
    | {f"{letter}B": 1000**power for power, letter in enumerate(_LETTERS, 1)}
)
_UNITS_TO_PRINT = sorted(
    ((factor, unit) for unit, factor in UNITS.items() if factor > 1 and "I" not in unit),
    reverse=True,
)

# [0-9] and \Z throughout: \d takes the digits of every script, and $ a trailing newline.
_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?([A-Za-z]*)\Z")
_SIZE = re.compile(r"([0-9][0-9.]*[A-Za-z]*)(?:([+-])([0-9]+))?\Z")
_RATIO = re.compile(r"([0-9]+)(?:\.([0-9]{1,3}))?\Z")
DIGITS = re.compile(r"[0-9]+\Z")
_EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]*)\Z")
_TREE = re.compile(r"([0-9]+)x(.*)\Z", re.DOTALL)


class SpecError(ValueError):
    """A name that is not valid.

    Attributes:
        name: the name.
        part: the part of it that is wrong.
        rule: the rule that the part breaks.
    """

    def __init__(self, name: str, part: str, rule: str) -> None:
        super().__init__(name, part, rule)
        self.name = name
        self.part = part
        self.rule = rule

    def __str__(self) -> str:
        return f"'{escaped(self.name)}' is not a name: '{escaped(self.part)}': {self.rule}"


class Fields(NamedTuple):
    """What a name says, as numbers.

    Attributes:
        files: number of files, 1 for a plain file.
        size: bytes of each file.
        dedup_milli: dedup ratio in thousandths.
        compress_milli: compression ratio in thousandths.
        seed: 0 to 2^64 - 1.
        unit: dedup unit, bytes; None for the default.
        record: bytes of a container's record; None for the default.
        tree: whether it is a directory's name.
        per_directory: most files in one directory of a tree, None for no directories.
        extension: without its point, None for none.
        sidecar: a checksum's name, None for none.
        is_index: whether the name is that of a container's index.
    """

    files: int
    size: int
    dedup_milli: int
    compress_milli: int
    seed: int
    unit: int | None
    record: int | None
    tree: bool
    per_directory: int | None
    extension: str | None
    sidecar: str | None
    is_index: bool


def parse_size(text: str) -> int:
    """Read a number of bytes such as ``4096``, ``1.5M``, ``10GB`` or ``8E-1``.

    Args:
        text: a size as in a name; K is 1024 and KB 1000 bytes.

    Raises:
        ValueError: ``text`` is not a size.
    """
    try:
        return Parser(text).size(text)
    except SpecError as error:
        if error.rule == _SIZES:
            raise ValueError(f"'{escaped(text)}': {_SIZES}") from error
        raise ValueError(f"'{escaped(text)}' is not a size such as 4096, 1.5M or 10GB") from error


def format_size(size: int) -> str:
    """Return ``size`` bytes in the largest unit that divides it, as names write it."""
    for factor, unit in _UNITS_TO_PRINT:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def format_ratio(milli: int) -> str:
    """Return a ratio in thousandths as names write it."""
    whole, fraction = divmod(milli, 1000)
    return f"{whole}.{fraction:03}".rstrip("0") if fraction else str(whole)


class Parser:
    """One name being read, left to right; keeps the name for the errors."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fail(self, part: str, rule: str) -> NoReturn:
        """Raise SpecError."""
        raise SpecError(self.name, part, rule)

    def parse(self) -> Fields:
        """Read all of it.

        Raises:
            SpecError: it breaks a rule.
        """
        if len(self.name.encode(errors="surrogatepass")) > MAX_NAME:
            self.fail(self.name[:16] + "...", f"a name has at most {MAX_NAME} bytes")
        body, sidecar, extension, index = self.suffixes()
        head, *params = body.split("_")
        tree = _TREE.match(head)
        files = self.files(tree[1]) if tree else 1
        if tree and sidecar:
            self.fail(f".{sidecar}", "a tree has no checksum file; name one of its files")
        if tree and index:
            self.fail(f".{INDEX}", "a tree has no index; name that of one of its files")
        size = self.size(tree[2] if tree else head)
        if files * size > MAX_SIZE:
            self.fail(head, "files times size must not pass 2^63-1 bytes")
        values: dict[str, int] = {}
        for param in params:
            letter = param[:1]
            if letter in values:
                self.fail(param, f"the parameter {letter!r} stands once at the most")
            values[letter] = self.param(param, is_tree=tree is not None)
        if "r" in values and extension not in EXTENSIONS:
            self.fail(f"r{values['r']}", f"only containers ({', '.join(EXTENSIONS)}) have records")
        if values.get("r", 1) > max(1, size):
            self.fail(f"r{values['r']}", f"a record has 1 to {size} bytes, the size")
        return Fields(
            files=files,
            size=size,
            dedup_milli=values.get("d", 1000),
            compress_milli=values.get("c", 1000),
            seed=values.get("s", 0),
            unit=values.get("b"),
            record=values.get("r"),
            tree=tree is not None,
            per_directory=values.get("f"),
            extension=extension,
            sidecar=sidecar,
            is_index=index,
        )

    def suffixes(self) -> tuple[str, str | None, str | None, bool]:
        """Return the name without its suffixes, the sidecar, the extension, whether of an index."""
        body, sidecar = self.name, None
        for candidate in SIDECARS:
            if body.endswith(f".{candidate}"):
                body, sidecar = body.removesuffix(f".{candidate}"), candidate
                break
        index = body.endswith(f".{INDEXED}.{INDEX}")
        if index:
            body = body.removesuffix(f".{INDEX}")
        matched = _EXTENSION.search(body)
        if matched is None:
            return body, sidecar, None, False
        extension = matched[1]
        if len(extension) > MAX_EXTENSION:
            rule = f"an extension is a letter and up to {MAX_EXTENSION - 1} letters or digits"
            self.fail(matched[0], rule)
        if extension in SIDECARS:
            self.fail(matched[0], f"a checksum's name ({', '.join(SIDECARS)}) comes last and once")
        return body[: matched.start()], sidecar, extension, index

    def files(self, text: str) -> int:
        """Read a number of files."""
        files = int(text)
        if not 1 <= files <= MAX_FILES:
            self.fail(text, "a tree has 1 to 1000000000 files")
        return files

    def size(self, text: str) -> int:
        """Read a size, such as 1.5M or 4K-1."""
        matched = _SIZE.match(text)
        if matched is None:
            self.fail(text, "a name starts with a size, such as 10G, 1.5M, 4096 or 4K-1")
        size = self.number(matched[1])
        if matched[2]:
            size += int(matched[2] + matched[3])
        if not 0 <= size <= MAX_SIZE:
            self.fail(text, _SIZES)
        return size

    def number(self, text: str) -> int:
        """Read a number with its unit."""
        matched = _NUMBER.match(text)
        if matched is None:
            self.fail(text, "a number is digits, with a point and more digits for a fraction")
        whole, fraction, unit = matched[1], matched[2] or "", matched[3]
        factor = UNITS.get(unit.upper())
        if factor is None:
            self.fail(unit, "a unit is B, K M G T P E (1024, also KiB ...) or KB MB ... (1000)")
        scale: int = 10 ** len(fraction)
        value, rest = divmod(int(whole + fraction) * factor, scale)
        if rest:
            self.fail(text, "must come to whole bytes")
        return value

    def ratio(self, text: str, most_milli: int) -> int:
        """Read a parameter that is a ratio; return thousandths."""
        matched = _RATIO.match(text[1:])
        if matched is None:
            self.fail(text, "a ratio is a number with at most 3 decimals, such as 2 or 1.5")
        milli = int(matched[1]) * 1000 + int((matched[2] or "").ljust(3, "0"))
        if not 1000 <= milli <= most_milli:
            self.fail(text, f"this ratio is 1 to {most_milli // 1000}")
        return milli

    def digits(self, text: str) -> int:
        """Read a parameter that is a whole number."""
        if not DIGITS.match(text[1:]):
            self.fail(text, f"the value of {text[0]} is a whole number, in digits alone")
        return int(text[1:])

    def param(self, text: str, *, is_tree: bool) -> int:
        """Read a parameter."""
        match text[:1]:
            case "d":
                return self.ratio(text, MAX_DEDUP_MILLI)
            case "c":
                return self.ratio(text, MAX_COMPRESS_MILLI)
            case "s":
                seed = self.digits(text)
                if seed > MAX_SEED:
                    self.fail(text, f"a seed is 0 to {MAX_SEED}")
                return seed
            case "b":
                unit = self.number(text[1:])
                if not text[-1].isalpha():
                    self.fail(text, "a dedup unit is written with its unit, such as b64K")
                if not MIN_UNIT <= unit <= MAX_UNIT or not math.log2(unit).is_integer():
                    self.fail(text, "a dedup unit is a power of two from 4K to 4M")
                return unit
            case "r":
                record = self.number(text[1:])
                if record < 1:
                    self.fail(text, "a record has at least 1 byte")
                return record
            case "f" if is_tree:
                files = self.digits(text)
                if files < 1:
                    self.fail(text, "a directory has at least 1 file")
                # No tree has more files, so more is no other tree, and the number stays small.
                return min(files, MAX_FILES)
            case "f":
                self.fail(text, "only a tree (such as 1000x1M_f100) has directories")
            case _:
                self.fail(text, "a parameter is d, c, s, b, r or f and a value, such as d4 or c1.5")
