"""Profiles: what a data set's files are called, and how large they are, in TOML.

docs/profiles.md has the keys. A profile that dgenfs ships is given by its name, others by a path.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from dgenfs.content.containers import EXTENSIONS
from dgenfs.content.layout import MAX_FILES, MAX_SIZE
from dgenfs.escapes import escaped
from dgenfs.names.data_set import DataSet, Folder
from dgenfs.names.distributions import Distribution, Fixed, LogNormal, Normal, Weighted
from dgenfs.names.file_set import NUMBER_BYTES, SUFFIXES, FileSet
from dgenfs.names.grammar import (
    CONTROL_FILES,
    MAX_COMPRESS_MILLI,
    MAX_DEDUP_MILLI,
    MAX_EXTENSION,
    MAX_NAME,
    MAX_SEED,
    SIDECARS,
    SpecError,
)
from dgenfs.names.tables import Table, load

SHIPPED = Path(__file__).parents[1] / "profiles"
ENDING = ".toml"
MAX_SETS = 1000
MAX_SUBFOLDERS = 10**6
MAX_EXPONENT = 100  # of e, in the median of a log-normal distribution, and in its deviation
MAX_WEIGHT = 10**9
INDEXED = "indexed_binary"  # DLIO's name of a format of records and two indices
USUAL_NAME = "img_{index}_of_{files}.{format}"  # DLIO's

_RESERVED = f"the root of a mount has files {', '.join(CONTROL_FILES)} of its own"
_FIELD = re.compile(r"\{([^{}]*)\}")
_FORMAT = re.compile(f"[A-Za-z][A-Za-z0-9]{{0,{MAX_EXTENSION - 1}}}")


def read(profile: str, scale: str = "1") -> DataSet:
    """Read a profile.

    Args:
        profile: a file's path, if it has a slash in it or ends in ``.toml``; else the name of one
            that dgenfs ships.
        scale: what the number of files of each set is multiplied by; one is left of any.

    Raises:
        ProfileError: it is not valid.
        ValueError: ``scale`` is no number above 0, or no profile of that name is shipped.
        OSError: it cannot be read.
    """
    factor = _factor(scale)
    path = _path(profile)
    top = load(path)
    seed = top.whole("seed", 0, MAX_SEED, 0)
    tables = top.tables("set", MAX_SETS)
    top.close()
    sets = tuple(_file_set(table, number, seed, factor) for number, table in enumerate(tables))
    folders = _folders(sets)
    _require_distinct(sets, tables, folders)
    mark = hashlib.blake2b(repr(sets).encode(), digest_size=4, person=b"dgenfs-set").digest()
    return DataSet(path.stem, sets, folders, int.from_bytes(mark, "little"))


def shipped() -> list[str]:
    """Return the names of the profiles that dgenfs ships."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{ENDING}"))


def _factor(scale: str) -> Fraction:
    # Few digits, as an exponent of a billion is a number that nobody can wait for.
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?|\.[0-9]{1,12}", scale) and Fraction(scale) > 0:
        return Fraction(scale)
    raise ValueError(
        f"--scale '{escaped(scale)}': is a number above 0, such as 0.01, without an exponent and of"
        " at most 12 digits before the point and 12 behind it"
    )


def _path(profile: str) -> Path:
    if "/" in profile or profile.endswith(ENDING):
        return Path(profile)
    if profile not in shipped():
        raise ValueError(
            f"--profile '{escaped(profile)}': is none of {', '.join(shipped())}; a file of your own"
            f" is given with a slash or {ENDING}, such as ./{escaped(profile)}"
        )
    return SHIPPED / f"{profile}{ENDING}"


def _file_set(table: Table, number: int, seed: int, scale: Fraction) -> FileSet:
    table.require("files", "say how many there are")
    files = table.whole("files", 0, MAX_FILES)
    scaled = max(min(files, 1), int(files * scale))
    if scaled > MAX_FILES:
        table.fail("files", f"scaled these are {scaled}, and a set has at most {MAX_FILES}")
    named = table.text("format", "bin")
    if named != INDEXED and (not _FORMAT.fullmatch(named) or named in SIDECARS):
        table.fail(
            "format",
            f"is {INDEXED}, or an extension: a letter and up to {MAX_EXTENSION - 1} letters or "
            "digits, and no checksum's",
            named,
        )
    subfolders = table.whole("subfolders", 0, MAX_SUBFOLDERS, 0)
    before, behind, digits = _name(table, scaled, named)
    made = FileSet(
        number=number,
        seed=seed,
        directory=_directory(table),
        subfolders=subfolders if subfolders > 1 else 0,
        files=scaled,
        name=(before, behind),
        digits=digits,
        extension="bin" if named == INDEXED else named,
        sizes=Fixed(0),
        record=_record(table, named),
        dedup_milli=table.ratio("dedup", MAX_DEDUP_MILLI),
        compress_milli=table.ratio("compress", MAX_COMPRESS_MILLI),
        indexed=named == INDEXED,
    )
    reserved = () if made.directory or made.subfolders else CONTROL_FILES
    if any(made.find(one) for one in reserved):
        table.fail("name", _RESERVED)
    made = _with_sizes(table, made)
    table.close()
    return made


def _directory(table: Table) -> tuple[str, ...]:
    text = table.text("directory", "")
    names = tuple(text.split("/")) if text else ()
    for name in names:
        _require_component(table, "directory", name)
    if names and names[0] in CONTROL_FILES:
        table.fail("directory", _RESERVED, names[0])
    if len(text.encode(errors="surrogatepass")) > MAX_NAME:
        table.fail("directory", f"has at most {MAX_NAME} bytes")
    return names


def _require_component(table: Table, key: str, name: str) -> None:
    """Raise ProfileError if no file can be called ``name``."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        table.fail(key, "has an empty name in it, '.', '..', a slash too many or a zero", name)
    if len(name.encode(errors="surrogatepass")) > MAX_NAME:
        table.fail(key, f"a name has at most {MAX_NAME} bytes")


def _name(table: Table, files: int, named: str) -> tuple[str, str, int]:
    """Return what stands before the number of a file's name, what behind it, and its digits."""
    pattern = table.text("name", USUAL_NAME)
    fields = _FIELD.findall(pattern)
    others = set(fields) - {"index", "files", "format"}
    if others or re.search("[{}]", _FIELD.sub("", pattern)):
        table.fail("name", "has {index}, {files} and {format}, and no other braces", pattern)
    if fields.count("index") > 1 or (files > 1 and "index" not in fields):
        table.fail("name", "has {index} once, or not at all in a set of one file", pattern)
    before, _, behind = pattern.partition("{index}")
    values = {"{files}": str(files), "{format}": named}
    for field, value in values.items():
        before, behind = before.replace(field, value), behind.replace(field, value)
    digits = len(str(files)) if "index" in fields else 0
    longest = max(SUFFIXES, key=len) if named == INDEXED else ""
    _require_component(table, "name", f"{before}{'0' * digits}{behind}")
    _require_component(table, "name", f"{before}{'0' * digits}{behind}{longest}")
    return before, behind, digits


def _record(table: Table, named: str) -> int | None:
    if "record" not in table:
        if named == INDEXED:
            table.require("record", "the indices are of records")
        return None
    if named != INDEXED and named not in EXTENSIONS:
        formats = ", ".join((INDEXED, *EXTENSIONS))
        table.fail("record", f"only containers have records: {formats}")
    record = table.size("record")
    if record < 1:
        table.fail("record", "a record has at least 1 byte", record)
    return record


def _with_sizes(table: Table, made: FileSet) -> FileSet:
    """Return a set with the distribution of sizes that its table says."""
    if "size" not in table:
        table.require("records", "say size, the bytes of a file, or records and record")
        return _of_records(table, made)
    if "records" in table:
        table.whole("records", 1, 1)  # others would be two ways to say one thing
        made = replace(made, record=MAX_SIZE)
    least = _least(made)
    if table.is_table("size"):
        inner = table.table("size")
        sizes = _distribution(inner, least)
        inner.close()
    else:
        sizes = Fixed(table.size("size"))
    made = replace(made, sizes=sizes)
    for size in sizes.extremes:
        _require_possible(table, "size", made, size)
    return made


def _of_records(table: Table, made: FileSet) -> FileSet:
    """Return a set whose files are the smallest that hold so many records."""
    if made.record is None:
        table.fail("record", "is missing: its bytes, as there is no size")
    records = table.whole("records", 1, MAX_SIZE)
    size = records * made.record
    if size > MAX_SIZE:
        table.fail("records", f"of {made.record} bytes have more than 2^63-1 together", records)
    if made.extension in EXTENSIONS:
        low, high = size - 1, 2 * size
        while not _is_enough(made, high, records):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _is_enough(made, middle, records) else (middle, high)
        size = high
        try:
            made.spec_of(size, 0)
        except SpecError as error:
            _, _, advice = _rule(error).partition("; ")
            said = f"a {made.extension} file cannot have so many of {made.record} bytes"
            table.fail("records", f"{said}; {advice}" if advice else said, records)
    made = replace(made, sizes=Fixed(size))
    _require_possible(table, "records", made, size)
    return made


def _is_enough(made: FileSet, size: int, records: int) -> bool:
    """Return whether a container of ``size`` bytes holds so many records, or is too large."""
    if size < _least(made):
        return False
    try:
        container = made.spec_of(size, 0).container
    except SpecError:
        return True
    assert container is not None
    assert made.record is not None
    return container.records >= records and container.payload >= records * made.record


def _rule(error: SpecError) -> str:
    """Return the rule that the plain name of a file breaks, in words of profiles."""
    return error.rule.replace("name an r of", "say a record of")


def _require_possible(table: Table, key: str, made: FileSet, size: int) -> None:
    """Raise ProfileError if there is no file of a set with ``size`` bytes, or no index of it."""
    try:
        made.spec_of(size, 0)
    except SpecError as error:
        table.fail(key, f"{size} bytes: {_rule(error)}")
    if made.indexed and NUMBER_BYTES * made.samples(size) > MAX_SIZE:
        table.fail(key, f"the index of a file of {size} bytes has more than {MAX_SIZE}")


def _least(made: FileSet) -> int:
    """Return the bytes of the smallest file of a set: of a container, one byte of payload."""
    if made.extension not in EXTENSIONS:
        return 0
    from dgenfs.content.containers.formats import FORMATS  # here, as most sets need none

    return FORMATS[made.extension].least


def _distribution(table: Table, least: int) -> Distribution:
    kinds = {"normal": _normal, "log-normal": _log_normal, "list": _weighted}
    name = table.text("distribution", "")
    if name not in kinds:
        table.fail("distribution", f"is {', '.join(kinds)}; a fixed size is a number", name)
    return kinds[name](table, least)


def _bounds(table: Table, least: int) -> tuple[int, int]:
    """Return the sizes that all others are clipped to."""
    lower = table.size("least", least)
    if lower < least:
        table.fail("least", f"the smallest file of this format has {least} bytes", lower)
    upper = table.size("most", MAX_SIZE)
    if upper < lower:
        table.fail("most", f"is not below the least size, {lower}", upper)
    return lower, upper


def _normal(table: Table, least: int) -> Distribution:
    for key in ("mean", "deviation"):
        table.require(key, "bytes")
    mean, deviation = (Decimal(table.size(key)) for key in ("mean", "deviation"))
    return Normal(mean, deviation, *_bounds(table, least))


def _log_normal(table: Table, least: int) -> Distribution:
    for key in ("mu", "sigma"):
        table.require(key, "of the sizes' natural logarithm")
    mu = table.real("mu", -MAX_EXPONENT, MAX_EXPONENT)
    sigma = table.real("sigma", 0, MAX_EXPONENT)
    return LogNormal(mu, sigma, *_bounds(table, least))


def _weighted(table: Table, _: int) -> Distribution:
    sizes = tuple(table.size_of("sizes", one) for one in table.array("sizes"))
    weights = table.array("weights", [1] * len(sizes))
    if len(weights) != len(sizes):
        table.fail("weights", f"are as many as sizes, {len(sizes)}", weights)
    for weight in weights:
        if type(weight) is not int or not 1 <= weight <= MAX_WEIGHT:
            table.fail("weights", f"a weight is a whole number from 1 to {MAX_WEIGHT}", weight)
    return Weighted(sizes, tuple(accumulate(weights)))


def _folders(sets: Sequence[FileSet]) -> tuple[Folder, ...]:
    """Return the directories that sets name, the top first, each behind the one that holds it."""
    numbers: dict[tuple[str, ...], int] = {(): 0}
    for one in sets:
        for depth in range(1, len(one.directory) + 1):
            numbers.setdefault(one.directory[:depth], len(numbers))
    inside: dict[tuple[str, ...], list[FileSet]] = {}
    below: dict[tuple[str, ...], list[int]] = {}
    for one in sets:
        inside.setdefault(one.directory, []).append(one)
    for path, number in numbers.items():
        if path:
            below.setdefault(path[:-1], []).append(number)
    return tuple(
        Folder(
            path,
            numbers[path[:-1]],
            tuple(below.get(path, ())),
            max((one.subfolders for one in inside.get(path, ())), default=0),
            tuple(inside.get(path, ())),
        )
        for path in numbers
    )


def _require_distinct(
    sets: Sequence[FileSet], tables: Sequence[Table], folders: Sequence[Folder]
) -> None:
    """Raise ProfileError if two sets may have the same name in one directory."""
    for folder in folders:
        names = {folders[number].path[-1] for number in folder.folders}
        for one in folder.sets:
            fail = tables[one.number].fail
            if one.subfolders not in (0, folder.subfolders):
                said = f"there are {folder.subfolders} in the same directory already"
                fail("subfolders", said, one.subfolders)
            if one.subfolders:
                count = len(str(one.subfolders))
                for name in names:
                    if re.fullmatch(f"[0-9]{{{count}}}", name):
                        fail("subfolders", f"one may be called as the directory '{name}'")
            elif any(one.find(name) for name in names):
                fail("name", "a file is called as a directory is")
            elif one.files and folder.subfolders and re.fullmatch("[0-9]*", "".join(one.name)):
                fail("name", "a file may be called as a subfolder is")
            for other in sets[: one.number]:
                same = other.directory == one.directory
                if same and bool(other.subfolders) == bool(one.subfolders):
                    _require_unlike(one, other, tables[one.number])


def _require_unlike(one: FileSet, other: FileSet, table: Table) -> None:
    """Raise ProfileError if files of two sets in one directory may have the same name."""
    if one.digits and other.digits:
        alike = one.files > 0 and other.files > 0 and _are_alike(one, other)
    else:
        single, more = (other, one) if one.digits else (one, other)
        names = (single.file_name(0) + suffix for suffix in SUFFIXES[: single.kinds])
        alike = single.files > 0 and any(more.find(name) for name in names)
    if alike:
        said = f"set {other.number + 1} may have files of the same name in this directory"
        table.fail("name", f"{said}: give them another start or end")


def _are_alike(one: FileSet, other: FileSet) -> bool:
    """Return whether numbers of any length can make two sets' names the same."""
    (before, behind), (other_before, other_behind) = one.name, other.name
    if not (before.startswith(other_before) or other_before.startswith(before)):
        return False
    ends = [behind + suffix for suffix in SUFFIXES[: one.kinds]]
    others = [other_behind + suffix for suffix in SUFFIXES[: other.kinds]]
    return any(a.endswith(b) or b.endswith(a) for a in ends for b in others)
