"""The valid name nearest to an invalid one."""

import re

from dgenfs.content.layout import MAX_UNIT, MIN_UNIT
from dgenfs.names.grammar import (
    MAX_COMPRESS_MILLI,
    MAX_DEDUP_MILLI,
    MAX_SEED,
    SIDECARS,
    SpecError,
    format_ratio,
)
from dgenfs.names.spec import Spec

_TREE = re.compile(r"[0-9]{1,10}x", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgtpe]?i?b?)(?:ytes?)?", re.IGNORECASE)
_PARAM = re.compile(
    r"(dedup|compress|comp|seed|unit|block|[dcsbf])[a-z]*[=:_-]?([0-9]+(?:\.[0-9]+)?)([a-z]*)",
    re.IGNORECASE,
)
_LETTERS = {"dedup": "d", "compress": "c", "comp": "c", "seed": "s", "unit": "b", "block": "b"}
_EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]{0,7})\Z")


def nearest_name(text: str) -> str | None:
    """Return the valid name that keeps most of ``text``, None if there is no size in it.

    Values outside their range go to the range's end, what is not understood is left out, as is the
    name of a checksum, and the result is canonical.

    Args:
        text: what was taken for a name.
    """
    text = text[:255]
    for sidecar in SIDECARS:
        text = text.removesuffix(f".{sidecar}")
    tree = _TREE.match(text)
    head = _SIZE.match(text, tree.end() if tree else 0)
    if head is None:
        return None
    parts = [(tree[0].lower() if tree else "") + _size(head)]
    seen = set()
    for matched in _PARAM.finditer(text, head.end()):
        letter = _LETTERS.get(matched[1].lower(), matched[1].lower())
        if letter not in seen and (letter != "f" or tree):
            seen.add(letter)
            parts.append(letter + _value(letter, matched[2], matched[3]))
    extension = _EXTENSION.search(text)
    name = "_".join(parts)
    for candidate in (f"{name}.{extension[1]}" if extension else name, name, parts[0]):
        try:
            return Spec.parse(candidate).name
        except SpecError:
            continue
    return None


def _size(matched: re.Match[str]) -> str:
    unit = matched[2].upper()
    return matched[1] + (unit[0] if len(unit) == 2 and unit[1] == "I" else unit)


def _value(letter: str, number: str, unit: str) -> str:
    if letter in "dc":
        most = MAX_DEDUP_MILLI if letter == "d" else MAX_COMPRESS_MILLI
        return format_ratio(min(most, max(1000, round(float(number) * 1000))))
    whole = int(number.partition(".")[0])  # exactly: seeds have more digits than floats
    if letter == "s":
        return str(min(MAX_SEED, whole))
    if letter == "f":
        return str(max(1, whole))
    scale = {"k": 1 << 10, "m": 1 << 20}.get(unit[:1].lower(), 1)
    wanted = min(MAX_UNIT, max(MIN_UNIT, float(number) * scale))
    return f"{1 << round(wanted).bit_length() - 1}B"
