"""Names: what a file or a tree of files contains, read from its name and written back to it.

Content format v1::

    file = size *( "_" param ) [ "." ext ] [ "." sidecar ]
    tree = files "x" size *( "_" param ) [ "." ext ]
"""

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import NoReturn

from dgenfs.content.layout import (
    MAX_FILES,
    MAX_SIZE,
    MAX_UNIT,
    MIN_UNIT,
    Layout,
    default_unit,
)

SIDECARS = ("sha256", "sha1", "md5", "blake2b", "xxh128", "crc32")
DEFAULT_EXTENSION = "bin"
MAX_NAME = 255  # bytes, NAME_MAX of limits.h
MAX_DEDUP_MILLI = 1000 * 1000
MAX_COMPRESS_MILLI = 20 * 1000
MAX_SEED = 2**64 - 1

_LETTERS = "KMGTPE"
_UNITS: dict[str, int] = (
    {"": 1, "B": 1}
    | {letter: 1024**power for power, letter in enumerate(_LETTERS, 1)}
    | {f"{letter}IB": 1024**power for power, letter in enumerate(_LETTERS, 1)}
    | {f"{letter}B": 1000**power for power, letter in enumerate(_LETTERS, 1)}
)
_UNITS_TO_PRINT = sorted(
    ((factor, unit) for unit, factor in _UNITS.items() if factor > 1 and "I" not in unit),
    reverse=True,
)

# [0-9] and \Z throughout: \d takes the digits of every script, and $ a trailing newline.
_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?([A-Za-z]*)\Z")
_SIZE = re.compile(r"([0-9][0-9.]*[A-Za-z]*)(?:([+-])([0-9]+))?\Z")
_RATIO = re.compile(r"([0-9]+)(?:\.([0-9]{1,3}))?\Z")
_DIGITS = re.compile(r"[0-9]+\Z")
_EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]*)\Z")
_TREE = re.compile(r"([0-9]+)x(.*)\Z", re.DOTALL)


class SpecError(ValueError):
    """A name that is none.

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
        return f"{self.name!r} is not a name: {self.part!r}: {self.rule}"


@dataclass(frozen=True)
class Spec:
    """What a name says; immutable and hashable.

    Names of the same content, such as ``1024M_c2_d4.dat`` and ``1G_d4_c2.bin``, give equal specs.

    Attributes:
        layout: the numbers of the content.
        tree: whether the name is a directory's; a plain file is laid out like a tree of one file.
        per_directory: most files in one directory of a tree, None for no directories.
        extension: of a tree's files; always ``bin`` for a plain file, as no content depends on it.
        sidecar: the checksum that the name asks for instead of the content, None for the content.
    """

    layout: Layout
    tree: bool = False
    per_directory: int | None = None
    extension: str = DEFAULT_EXTENSION
    sidecar: str | None = None

    @staticmethod
    def parse(name: str) -> "Spec":
        """Read a name.

        Args:
            name: one path component, such as ``10G_d4_c2.bin`` or ``1000x1M_d2_f100``.

        Raises:
            SpecError: ``name`` is not a name of content format v1.
        """
        return _Parser(name).parse()

    @property
    def files(self) -> int:
        """Number of files, 1 for a plain file."""
        return self.layout.files

    @property
    def size(self) -> int:
        """Bytes of each file."""
        return self.layout.size

    @property
    def dedup(self) -> float:
        """Dedup ratio as named, 1 to 1000; see ``effective_dedup``."""
        return self.layout.dedup_milli / 1000

    @property
    def compress(self) -> float:
        """Compression ratio as named, 1 to 20; see ``effective_compress``."""
        return self.layout.compress_milli / 1000

    @property
    def seed(self) -> int:
        """Seed, 0 to 2^64 - 1."""
        return self.layout.seed

    @property
    def unit(self) -> int:
        """Dedup unit, bytes."""
        return self.layout.unit

    @property
    def key(self) -> int:
        """The 64-bit key of the content."""
        return self.layout.key

    @property
    def effective_dedup(self) -> float:
        """Dedup ratio that whole units really give."""
        return self.layout.effective_dedup

    @property
    def effective_compress(self) -> float:
        """Compression ratio that whole words really give."""
        return self.layout.effective_compress

    @cached_property
    def name(self) -> str:
        """The canonical name, which parses to an equal spec."""
        layout = self.layout
        head = f"{layout.files}x" if self.tree else ""
        parts = [
            head + format_size(layout.size),
            f"d{format_ratio(layout.dedup_milli)}",
            f"c{format_ratio(layout.compress_milli)}",
        ]
        if layout.seed:
            parts.append(f"s{layout.seed}")
        if layout.unit != default_unit(layout.files, layout.size, layout.dedup_milli):
            parts.append(f"b{format_size(layout.unit)}")
        if self.per_directory is not None:
            parts.append(f"f{self.per_directory}")
        name = "_".join(parts)
        if not self.tree or self.extension != DEFAULT_EXTENSION:
            name += f".{self.extension}"
        if self.sidecar is not None:
            name += f".{self.sidecar}"
        return name

    def __str__(self) -> str:
        return self.name

    def with_seed(self, seed: int) -> "Spec":
        """Return the spec that differs from this one only in its seed.

        Args:
            seed: 0 to 2^64 - 1.

        Raises:
            ValueError: ``seed`` is outside that range.
        """
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed {seed}: must be 0 to {MAX_SEED}")
        return replace(self, layout=replace(self.layout, seed=seed))

    def require_content(self) -> None:
        """Raise SpecError if the name asks for a checksum, which has no content of its own."""
        if self.sidecar is not None:
            rule = "names the checksum of a file, not a file; leave it out"
            raise SpecError(self.name, f".{self.sidecar}", rule)

    def path(self, file: int) -> str:
        """Return the path of file number ``file`` within the tree; the name of a plain file.

        Args:
            file: 0 to ``files`` - 1.

        Raises:
            IndexError: there is no such file.
        """
        if not 0 <= file < self.files:
            raise IndexError(f"file {file} of {self.name}: must be 0 to {self.files - 1}")
        if not self.tree:
            return self.name
        name = self.file_name(file)
        if self.per_directory is None:
            return name
        return f"{self.directory_name(file // self.per_directory)}/{name}"

    def file_name(self, file: int) -> str:
        """Return the name of file number ``file`` of the tree within its directory."""
        return f"{file:0{_digits(self.files, 6)}}.{self.extension}"

    def index(self, path: str) -> int | None:
        """Return the number of the file at ``path`` within the tree, None if there is none."""
        digits = re.search(r"([0-9]+)\.[A-Za-z0-9]+\Z", path)
        if not self.tree or digits is None or len(digits[1]) > _digits(MAX_FILES, 6):
            return None
        file = int(digits[1])
        return file if file < self.files and self.path(file) == path else None

    def directory_name(self, directory: int) -> str:
        """Return the name of directory number ``directory`` within the tree."""
        return f"{directory:0{_digits(self.directories, 4)}}"

    def directory_index(self, name: str) -> int | None:
        """Return the number of the directory ``name`` within the tree, None if there is none."""
        if not _DIGITS.match(name) or len(name) > _digits(MAX_FILES, 4):
            return None
        directory = int(name)
        within = directory < self.directories and self.directory_name(directory) == name
        return directory if within else None

    @property
    def directories(self) -> int:
        """Number of directories in the tree, 0 where its files stand side by side."""
        return 0 if self.per_directory is None else -(-self.files // self.per_directory)


def find_file(path: PurePath) -> tuple[Spec, int]:
    """Read the spec and the file's number from a path that ends in a name or in a file of a tree.

    Args:
        path: ``.../10G_d4_c2.bin`` or ``.../1000x1M_d2/000017.bin``. A directory above wins:
            ``000017.bin`` alone would be the name of a file of 17 bytes.

    Raises:
        SpecError: the last component is not a name, or a tree's, which has no single content.
    """
    for depth in (1, 2):
        tree = path.parts[-1 - depth : -depth]
        if tree:
            try:
                spec = Spec.parse(tree[0])
            except SpecError:
                continue
            file = spec.index("/".join(path.parts[-depth:]))
            if file is not None:
                return spec, file
    spec = Spec.parse(path.name)
    spec.require_content()
    if spec.tree:
        raise SpecError(
            path.name, path.name, f"is a tree; name a file in it, such as {spec.path(0)}"
        )
    return spec, 0


def parse_size(text: str) -> int:
    """Read a number of bytes such as ``4096``, ``1.5M``, ``10GB`` or ``8E-1``.

    Args:
        text: a size as in a name; K is 1024 and KB 1000 bytes.

    Raises:
        ValueError: ``text`` is not a size.
    """
    try:
        return _Parser(text).size(text)
    except SpecError as error:
        raise ValueError(f"{text!r} is not a size such as 4096, 1.5M or 10GB") from error


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


def _digits(count: int, least: int) -> int:
    """Return the digits that the last of ``count`` indices needs, at least ``least``."""
    return max(least, len(str(count - 1)))


class _Parser:
    """One name being read, left to right; keeps the name for the errors."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fail(self, part: str, rule: str) -> NoReturn:
        raise SpecError(self.name, part, rule)

    def parse(self) -> Spec:
        if len(self.name.encode(errors="surrogatepass")) > MAX_NAME:
            self.fail(self.name[:16] + "...", f"a name has at most {MAX_NAME} bytes")
        body, sidecar, extension = self.suffixes()
        head, *params = body.split("_")
        tree = _TREE.match(head)
        files = self.files(tree[1]) if tree else 1
        if tree and sidecar:
            self.fail(f".{sidecar}", "a tree has no checksum file; name one of its files")
        size = self.size(tree[2] if tree else head)
        if files * size > MAX_SIZE:
            self.fail(head, "files times size must not pass 2^63-1 bytes")
        values: dict[str, int] = {}
        for param in params:
            letter = param[:1]
            if letter in values:
                self.fail(param, f"the parameter {letter!r} stands once at the most")
            values[letter] = self.param(param, is_tree=tree is not None)
        dedup = values.get("d", 1000)
        layout = Layout(
            files=files,
            size=size,
            dedup_milli=dedup,
            compress_milli=values.get("c", 1000),
            seed=values.get("s", 0),
            unit=values.get("b") or default_unit(files, size, dedup),
        )
        if tree is None:
            return Spec(layout, sidecar=sidecar)
        return Spec(
            layout,
            tree=True,
            per_directory=values.get("f"),
            extension=extension or DEFAULT_EXTENSION,
        )

    def suffixes(self) -> tuple[str, str | None, str | None]:
        """Return the name without its suffixes, the sidecar and the extension."""
        body, sidecar = self.name, None
        for candidate in SIDECARS:
            if body.endswith(f".{candidate}"):
                body, sidecar = body.removesuffix(f".{candidate}"), candidate
                break
        found = _EXTENSION.search(body)
        if found is None:
            return body, sidecar, None
        extension = found[1]
        if len(extension) > 8:
            self.fail(found[0], "an extension is a letter and up to 7 letters or digits")
        if extension in SIDECARS:
            self.fail(found[0], f"a checksum's name ({', '.join(SIDECARS)}) comes last and once")
        return body[: found.start()], sidecar, extension

    def files(self, text: str) -> int:
        files = int(text)
        if not 1 <= files <= MAX_FILES:
            self.fail(text, "a tree has 1 to 1000000000 files")
        return files

    def size(self, text: str) -> int:
        found = _SIZE.match(text)
        if found is None:
            self.fail(text, "a name starts with a size, such as 10G, 1.5M, 4096 or 4K-1")
        size = self.number(found[1])
        if found[2]:
            size += int(found[2] + found[3])
        if not 0 <= size <= MAX_SIZE:
            self.fail(text, "a size is 0 to 2^63-1 bytes (8E-1)")
        return size

    def number(self, text: str) -> int:
        found = _NUMBER.match(text)
        if found is None:
            self.fail(text, "a number is digits, with a point and more digits for a fraction")
        whole, fraction, unit = found[1], found[2] or "", found[3]
        factor = _UNITS.get(unit.upper())
        if factor is None:
            self.fail(unit, "a unit is B, K M G T P E (1024, also KiB ...) or KB MB ... (1000)")
        scale: int = 10 ** len(fraction)
        value, rest = divmod(int(whole + fraction) * factor, scale)
        if rest:
            self.fail(text, "must come to whole bytes")
        return value

    def ratio(self, text: str, most_milli: int) -> int:
        found = _RATIO.match(text[1:])
        if found is None:
            self.fail(text, "a ratio is a number with at most 3 decimals, such as 2 or 1.5")
        milli = int(found[1]) * 1000 + int((found[2] or "").ljust(3, "0"))
        if not 1000 <= milli <= most_milli:
            self.fail(text, f"this ratio is 1 to {most_milli // 1000}")
        return milli

    def digits(self, text: str) -> int:
        if not _DIGITS.match(text[1:]):
            self.fail(text, f"the value of {text[0]} is a whole number, in digits alone")
        return int(text[1:])

    def param(self, text: str, *, is_tree: bool) -> int:
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
            case "f" if is_tree:
                files = self.digits(text)
                if files < 1:
                    self.fail(text, "a directory has at least 1 file")
                # No tree has more files, so more is no other tree, and the number stays small.
                return min(files, MAX_FILES)
            case "f":
                self.fail(text, "only a tree (such as 1000x1M_f100) has directories")
            case _:
                self.fail(text, "a parameter is d, c, s, b or f and its value, such as d4 or c1.5")
