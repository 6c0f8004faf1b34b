"""The valid name nearest to an invalid one."""

import re
from contextlib import suppress
from fractions import Fraction

from dgenfs.content.containers import EXTENSIONS
from dgenfs.content.layout import MAX_SIZE, MAX_UNIT, MIN_UNIT
from dgenfs.names.grammar import (
    INDEX,
    INDEXED,
    MAX_COMPRESS_MILLI,
    MAX_DEDUP_MILLI,
    MAX_EXTENSION,
    MAX_SEED,
    SIDECARS,
    UNITS,
    SpecError,
    format_ratio,
)
from dgenfs.names.spec import Spec

FACTOR = 2  # most that a number is changed by to be in its range

_FLAGS = re.IGNORECASE | re.ASCII  # or K would also be the sign of kelvins
# Nothing is given back of what was matched: half of a number is another number.
_DIGITS = r"(?>[0-9]{1,3}(?:[,_' ][0-9]{3})+(?![0-9])|[0-9]+)"
_TREE = re.compile(rf"({_DIGITS})\s*[x*\u00d7]\s*", _FLAGS)
_SIZE = re.compile(
    rf"""(?P<whole>{_DIGITS})
    (?P<fraction>(?>[.,][0-9]+)?)
    (?P<power>(?>e[0-9]{{1,2}}(?![0-9]))?)
    \s*+(?P<unit>(?>(?:[kmgtpe]i?)?b?))(?>(?:ytes?)?)
    (?P<offset>(?>[+-][0-9]+(?=[_.]|\Z))?)
    (?u:(?![0-9a-z%*,'\u00d7]))""",
    _FLAGS | re.VERBOSE,
)
_PARAM = re.compile(
    r"(?<![a-z])(d|c|s|b|f|r|dedup[a-z]*|comp[a-z]*|seed|unit|block|rec[a-z]*)[=:_-]?"
    r"([0-9]+(?:[.,][0-9]+)?)((?![dcsbfr][0-9])[a-z%:][a-z0-9%:]*)?",
    _FLAGS,
)
_LETTERS = {"u": "b"}  # of words that begin with another letter than their parameter
_EXTENSION = re.compile(rf"\.([A-Za-z][A-Za-z0-9]{{0,{MAX_EXTENSION - 1}}})\Z")


def nearest_name(text: str) -> str | None:
    """Return the valid name that says what ``text`` seems to say, None if that is not clear.

    Values outside their range go to the range's end if that is near. Words that are no parameter
    and the name of a checksum are left out. The result is canonical.

    Args:
        text: what was taken for a name.
    """
    text = text[:255]
    for sidecar in SIDECARS:
        text = text.removesuffix(f".{sidecar}")
    indexed = text.endswith(f".{INDEXED}.{INDEX}")
    tree = _TREE.match(text)
    head = _SIZE.match(text, tree.end() if tree else 0)
    size = head and _size(head)
    if head is None or size is None:
        return None
    values: dict[str, str] = {}
    for matched in _PARAM.finditer(text, head.end()):
        letter = matched[1][0].lower()
        letter = _LETTERS.get(letter, letter)
        if letter in values or (letter == "f" and not tree):
            continue
        value = _value(letter, matched[2], matched[3] or "", last=matched.end() == len(text))
        if value is None:
            return None
        values[letter] = value
    record = values.pop("r", "")
    files = f"{_whole(tree[1])}x" if tree else ""
    rest = "".join("_" + letter + value for letter, value in values.items())
    extension = _EXTENSION.search(text.removesuffix(f".{INDEX}") if indexed else text)
    endings = [f".{extension[1]}" if extension else ""]
    least = size
    if extension and extension[1] in EXTENSIONS:
        from dgenfs.content.containers.formats import FORMATS  # here, as most names need none

        least = max(size, FORMATS[extension[1]].least)
        endings.insert(0, f"_r{record}{endings[0]}" if record else endings[0])
        endings = [f"{ending}.{INDEX}" for ending in endings if indexed and not tree] + endings
    for candidate in (f"{files}{least}{rest}{ending}" for ending in endings):
        try:
            return Spec.parse(candidate).name
        except SpecError:
            continue
    with suppress(SpecError):
        return Spec.parse(f"{files}{size}{rest}").name
    return None


def _whole(digits: str) -> int:
    """Return a number whose digits may stand in groups of three."""
    return int(re.sub("[^0-9]", "", digits))


def _size(matched: re.Match[str]) -> int | None:
    """Return the bytes that a size says."""
    fraction = matched["fraction"]
    if fraction.startswith(",") and len(fraction) == 4:
        return None  # a thousand times more in one country than in another
    number = _whole(matched["whole"]) + Fraction(f"0.{fraction[1:]}0")
    number *= 10 ** int(matched["power"][1:] or 0)
    unit = matched["unit"].upper()
    if not unit and re.match(r"\.(?![A-Za-z])", matched.string[matched.end() :]):
        return None  # as 1.000.000
    factor = UNITS[f"{unit}B" if unit.endswith("I") else unit]
    if (number * factor).denominator > 1:
        # Whole in the next smaller unit, which is within a thousandth.
        smaller = 1024 if factor % 1024 == 0 else 1000
        number = Fraction(round(number * smaller), smaller)
    size = round(number * factor) + int(matched["offset"] or 0)
    if size == 0 < number or not 0 <= size <= MAX_SIZE + MAX_SIZE // 100:
        return None
    return min(size, MAX_SIZE)


def _value(letter: str, number: str, suffix: str, *, last: bool) -> str | None:
    """Return the value of a parameter as names write it, None if it is not clear.

    Args:
        letter: the parameter's.
        number: with a point or a comma, if it has a fraction.
        suffix: letters, and digits behind them, that follow.
        last: whether nothing follows these.
    """
    whole, point, fraction = number.replace(",", ".").partition(".")
    if letter in "dc":
        if suffix.lower() not in ("", "x", ":1"):
            if not (point and last and suffix.isalnum()):
                return None
            fraction = ""  # of an extension such as .7z
        elif "," in number and len(fraction) == 3:
            return None
        most = MAX_DEDUP_MILLI if letter == "d" else MAX_COMPRESS_MILLI
        milli = round(Fraction(f"{whole}.{fraction}0") * 1000)
        return None if milli > FACTOR * most else format_ratio(min(most, max(1000, milli)))
    if letter in "sf":
        if point or suffix:
            return None
        return str(min(MAX_SEED, int(whole)) if letter == "s" else max(1, int(whole)))
    matched = _SIZE.fullmatch(number + suffix)
    unit = matched and _size(matched)
    if letter == "r":
        return f"{unit}B" if unit else None
    if unit and not suffix and unit < MIN_UNIT:
        unit *= 1024  # b64 can mean nothing else
    if not unit or not MIN_UNIT <= FACTOR * unit <= FACTOR * FACTOR * MAX_UNIT:
        return None
    return f"{1 << min(MAX_UNIT, max(MIN_UNIT, unit)).bit_length() - 1}B"
