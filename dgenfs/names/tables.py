"""Tables of TOML, read key by key; errors say file, line, key, value and rule."""

import re
import stat
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from dgenfs.content.layout import MAX_SIZE
from dgenfs.escapes import escaped
from dgenfs.names.grammar import parse_size

MAX_BYTES = 1 << 20  # of a file

_LINE = re.compile(r"\(at line ([0-9]+), column ([0-9]+)\)\Z")
_DIGITS = re.compile("[0-9](?:_?[0-9]){639}")  # Python may be told to take no more, or up to 4300
_AT_END = " (at end of document)"


class ProfileError(ValueError):
    """A profile that breaks a rule; says where it does."""


def load(path: Path) -> "Table":
    """Read a file.

    Raises:
        ProfileError: it is no TOML.
        OSError: it cannot be read.
    """
    text = _text(path)
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ProfileError(_syntax(path, text, error)) from error
    return Table(path, text, values)


def _text(path: Path) -> str:
    if not stat.S_ISREG(path.stat().st_mode):  # a FIFO would keep us waiting
        raise ProfileError(f"{path}: is no regular file, and a profile is one")
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ProfileError(f"{path}: a profile has at most {MAX_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ProfileError(f"{path}:{line}: is not UTF-8, and TOML is") from error


def _syntax(path: Path, text: str, error: Exception) -> str:
    """Return what is wrong with a file that is no TOML."""
    if str(error).startswith("Exceeds the limit") and (digits := _DIGITS.search(text)) is not None:
        line = text.count("\n", 0, digits.start()) + 1
        return f"{path}:{line}: is no TOML: a whole number has 64 bits, and this one more"
    said = str(error) if isinstance(error, ValueError) else "a number or a nesting is too large"
    if (found := _LINE.search(said)) is not None:
        said = f"{said[: found.start()].rstrip()}, column {found[2]}"
        return f"{path}:{found[1]}: is no TOML: {said}"
    if said.endswith(_AT_END):
        line = max(1, len(text.splitlines()))
        return f"{path}:{line}: is no TOML: {said.removesuffix(_AT_END)}, at its end"
    return f"{path}: is no TOML: {said}"


class Table:
    """A table of a profile; what is not taken from it is an error in the end."""

    def __init__(
        self, path: Path, text: str, values: dict[str, Any], keys: tuple[str | int, ...] = ()
    ) -> None:
        """Read ``values``, which stand at ``keys`` of the file."""
        self._path = path
        self._text = text
        self._values = dict(values)
        self._keys = keys

    def fail(self, key: str, rule: str, value: object = None) -> NoReturn:
        """Raise ProfileError."""
        said = "" if value is None else f" = {_shown(value)}"
        line = _line(self._text, (*self._keys, key))
        raise ProfileError(f"{self._path}:{line}: {escaped(key)}{said}: {rule}")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def require(self, key: str, rule: str) -> None:
        """Raise ProfileError if a key is not there."""
        if key not in self._values:
            self.fail(key, f"is missing: {rule}")

    def take(self, key: str, usual: Any = None) -> Any:
        """Return a value, and do not ask for it again."""
        return self._values.pop(key, usual)

    def close(self) -> None:
        """Raise ProfileError if there is a key that nobody has asked for."""
        for key in self._values:
            self.fail(key, "is no key of a profile here; docs/profiles.md has them")

    def tables(self, key: str, most: int) -> list["Table"]:
        """Return an array of tables."""
        self.require(key, f"a profile has at least one [[{key}]]")
        values = self.take(key)
        if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
            self.fail(key, f"is written [[{key}]]", values)
        if not 1 <= len(values) <= most:
            self.fail(key, f"a profile has 1 to {most} of them")
        return [
            Table(self._path, self._text, one, (*self._keys, key, at))
            for at, one in enumerate(values)
        ]

    def is_table(self, key: str) -> bool:
        """Return whether a value is a table."""
        return isinstance(self._values.get(key), dict)

    def table(self, key: str) -> "Table":
        """Return a table."""
        return Table(self._path, self._text, self.take(key), (*self._keys, key))

    def text(self, key: str, usual: str) -> str:
        """Return a text."""
        value = self.take(key, usual)
        if not isinstance(value, str):
            self.fail(key, "is a text, in quotes", value)
        return value

    def whole(self, key: str, least: int, most: int, usual: int | None = None) -> int:
        """Return a whole number."""
        value = self.take(key, usual)
        if type(value) is not int or not least <= value <= most:
            self.fail(key, f"is a whole number from {least} to {most}", value)
        return value

    def real(self, key: str, least: int, most: int) -> Decimal:
        """Return a number."""
        value = self.take(key)
        if type(value) is int:
            value = Decimal(value)
        finite = isinstance(value, Decimal) and value.is_finite()
        if not finite or not least <= value <= most:
            self.fail(key, f"is a number from {least} to {most}", value)
        assert isinstance(value, Decimal)
        return value

    def ratio(self, key: str, most_milli: int) -> int:
        """Return a ratio in thousandths."""
        value = self._values.get(key, 1)
        milli = self.real(key, 1, most_milli // 1000) * 1000 if key in self else Decimal(1000)
        if milli != int(milli):
            self.fail(key, "has at most 3 decimals", value)
        return int(milli)

    def size(self, key: str, usual: int | None = None) -> int:
        """Return a number of bytes."""
        return self.size_of(key, self.take(key, usual))

    def array(self, key: str, usual: list[Any] | None = None) -> list[Any]:
        """Return an array that is not empty."""
        values = self.take(key, usual)
        if not isinstance(values, list) or not values:
            self.fail(key, "is an array of at least one value", values)
        return values

    def size_of(self, key: str, value: object) -> int:
        """Return the bytes that a value of ``key`` says, as a number or as names do."""
        size = value
        if isinstance(value, str):
            try:
                size = parse_size(value)
            except ValueError as error:
                self.fail(key, str(error))
        if type(size) is not int or not 0 <= size <= MAX_SIZE:
            self.fail(key, "is a size such as 4096, '1.5M' or '10GB', up to '8E-1'", value)
        return size


def _shown(value: object) -> str:
    try:
        text = escaped(str(value))
    except ValueError:  # Python does not write whole numbers of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 64 else f"{text[:64]}..."


def _line(text: str, keys: Sequence[str | int]) -> int:
    """Return the line on which a key stands, or the first of its table; 1 if neither is found."""
    lines = text.splitlines()
    first, last = 0, len(lines)
    name = str(keys[-1])
    if len(keys) >= 3:
        header = re.compile(rf"\s*\[\[\s*[\"']?{re.escape(str(keys[0]))}[\"']?\s*\]\]")
        starts = [at for at, line in enumerate(lines) if header.match(line)]
        number = int(keys[1])
        if number < len(starts):
            first = starts[number]
            last = starts[number + 1] if number + 1 < len(starts) else len(lines)
    for wanted in (name, *(str(key) for key in reversed(keys[2:-1]))):
        key = re.compile(rf"\s*(?:\[+[^\]=]*?)?[\"']?{re.escape(wanted)}[\"']?\s*[\].=]")
        inline = re.compile(rf"[{{,]\s*[\"']?{re.escape(wanted)}[\"']?\s*=")
        for at in range(first, last):
            if key.match(lines[at]) or inline.search(lines[at]):
                return at + 1
    return first + 1
