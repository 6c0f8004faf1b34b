"""Content format v1, slow and obvious: what every kernel, file and mount is compared with.

Written from the format's text alone; shares no code with the package.
"""

import functools
import hashlib
import importlib
import re
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

CHECKSUMS = {"sha256", "sha1", "md5", "blake2b", "xxh128", "crc32"}
CONTAINERS = {"npy", "npz", "tfrecord", "h5", "hdf5", "parquet", "safetensors", "tar"}
BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50, "e": 2**60}
DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15, "e": 10**18}


class BadName(Exception):  # noqa: N818
    pass


@dataclass(frozen=True)
class Content:
    files: int
    size: int
    d_milli: int
    c_milli: int
    seed: int
    unit: int
    units_per_file: int
    units: int
    content_units: int
    key: int
    tree: bool
    per_directory: int | None
    ext: str
    sidecar: str | None
    record: int | None


def must(condition: object) -> None:
    if not condition:
        raise BadName


def whole(value: Fraction) -> int:
    must(value.denominator == 1)
    return int(value)


def digits(text: str) -> int:
    must(text != "" and all(c in "0123456789" for c in text))
    return int(text)


def number_and_unit(text: str) -> Fraction:
    letters = text.lstrip("0123456789.")
    number = text[: len(text) - len(letters)]
    must(re.fullmatch("[0-9]+([.][0-9]+)?", number))
    unit = letters.lower()
    if unit in ("", "b"):
        factor = 1
    elif unit in BINARY or (unit.endswith("ib") and unit[:-2] in BINARY):
        factor = BINARY[unit[0]]
    else:
        must(unit.endswith("b") and unit[:-1] in DECIMAL)
        factor = DECIMAL[unit[0]]
    return Fraction(number) * factor


def size_of(text: str) -> int:
    for sign in "+-":
        if sign in text:
            before, after = text.split(sign, 1)
            extra = digits(after)
            return whole(number_and_unit(before)) + (extra if sign == "+" else -extra)
    return whole(number_and_unit(text))


def ratio(text: str, most: int) -> int:
    must(re.fullmatch("[0-9]+([.][0-9]{1,3})?", text))
    value = Fraction(text)
    must(1 <= value <= most)
    return int(value * 1000)


def without_extensions(name: str) -> tuple[str, str, str | None]:
    stem, ext, sidecar = name, "bin", None
    if "." in stem and stem.rsplit(".", 1)[1] in CHECKSUMS:
        stem, sidecar = stem.rsplit(".", 1)
    if "." in stem and stem.rsplit(".", 1)[1][:1] in set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ):
        stem, ext = stem.rsplit(".", 1)
        must(re.fullmatch("[A-Za-z][A-Za-z0-9]{0,10}", ext) and ext not in CHECKSUMS)
    return stem, ext, sidecar


def params_of(fields: list[str], letters: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for param in fields:
        must(param != "" and param[0] in letters)
        must(param[0] not in params)
        params[param[0]] = param[1:]
    return params


def parse(name: str) -> Content:
    must(len(name.encode("utf-8", "surrogatepass")) <= 255)
    stem, ext, sidecar = without_extensions(name)
    fields = stem.split("_")
    tree = re.match("[0-9]+x", fields[0]) is not None
    files = 1
    if tree:
        must(sidecar is None)
        count, fields[0] = fields[0].split("x", 1)
        files = digits(count)
        must(1 <= files <= 10**9)
    must(fields[0][:1] in set("0123456789"))
    size = size_of(fields[0])
    must(0 <= size <= 2**63 - 1)
    must(files * size <= 2**63 - 1)
    letters = "dcsb" + ("r" if ext in CONTAINERS else "") + ("f" if tree else "")
    params = params_of(fields[1:], letters)
    d_milli = ratio(params.get("d", "1"), 1000)
    c_milli = ratio(params.get("c", "1"), 20)
    seed = digits(params.get("s", "0"))
    must(seed < 2**64)
    per_directory = None
    if "f" in params:
        per_directory = digits(params["f"])
        must(per_directory >= 1)
    if "b" in params:
        must(params["b"][-1:].isalpha())
        unit = whole(number_and_unit(params["b"]))
        must(unit in [2**power for power in range(12, 23)])
    else:
        unit = default_unit(files, size, d_milli)
    m = units_per_file(size, unit)
    return Content(
        files=files,
        size=size,
        d_milli=d_milli,
        c_milli=c_milli,
        seed=seed,
        unit=unit,
        units_per_file=m,
        units=files * m,
        content_units=content_units(files, size, d_milli, unit),
        key=key(files, size, d_milli, c_milli, seed, unit),
        tree=tree,
        per_directory=per_directory,
        ext=ext,
        sidecar=sidecar,
        record=record_of(params, ext, size),
    )


def record_of(params: dict[str, str], ext: str, size: int) -> int | None:
    must(ext not in CONTAINERS or size >= container(ext).LEAST)
    if "r" not in params:
        return None
    record = whole(number_and_unit(params["r"]))
    must(1 <= record <= size)
    return record


def container(ext: str) -> Any:
    """The slow writer of a format."""
    return importlib.import_module(f"containers.{'hdf5' if ext == 'h5' else ext}")


def roundup(size: int) -> int:
    power = 4096
    while power < size:
        power *= 2
    return power


def units_per_file(size: int, unit: int) -> int:
    whole_units, rest = divmod(size, unit)
    return max(1, whole_units + (1 if rest else 0))


def many(files: int, d_milli: int) -> bool:
    return 1000 * files >= 64 * d_milli


def half_up(x: int, d_milli: int) -> int:
    return (2000 * x + d_milli) // (2 * d_milli)


def fits(files: int, size: int, d_milli: int, unit: int) -> bool:
    if files == 1 or d_milli == 1000 or size % unit == 0:
        return True
    return 1000 * units_per_file(size, unit) >= 64 * d_milli


def default_unit(files: int, size: int, d_milli: int) -> int:
    most = min(2**22, roundup(size))
    if many(files, d_milli):
        return most
    good = []
    for unit in [1 << power for power in range(12, 23)]:
        n = files * units_per_file(size, unit)
        units_enough = d_milli == 1000 or 1000 * n >= 64 * d_milli
        if unit <= most and fits(files, size, d_milli, unit) and units_enough:
            good.append(unit)
    if good:
        return max(good)
    if fits(files, size, d_milli, 4096) or 2 * files <= units_per_file(size, 4096):
        return 4096
    return most


def content_units(files: int, size: int, d_milli: int, unit: int) -> int:
    m = units_per_file(size, unit)
    odd = not fits(files, size, d_milli, unit) and 2 * files > m
    if many(files, d_milli) or odd:
        return m * max(1, half_up(files, d_milli))
    return max(1, half_up(files * m, d_milli))


def key(files: int, size: int, d_milli: int, c_milli: int, seed: int, unit: int) -> int:
    data = struct.pack("<QQIIQQ", files, size, d_milli, c_milli, seed, unit)
    digest = hashlib.blake2b(data, digest_size=8, person=b"dgenfs-v1").digest()
    return int(struct.unpack("<Q", digest)[0])


def random_words(c_milli: int, sector: int) -> int:
    if c_milli == 1000:
        return 64
    n = max(c_milli, 64000 - (3 * c_milli) // 5)
    r = sector % c_milli
    return ((r + 1) * n) // c_milli - (r * n) // c_milli


def sector_bytes(content: Content, sector: int) -> bytes:
    """The 512 bytes of sector T of the content space."""
    first = (content.key + (64 * sector + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = np.uint64(first) + np.arange(64, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    z[random_words(content.c_milli, sector) :] = 0
    return z.astype("<u8").tobytes()


def read(content: Content, file: int, offset: int, length: int) -> bytes:
    """Bytes [offset, offset + length) of a file, less at its end."""
    if content.ext in CONTAINERS:
        return whole_container(content, file)[offset : offset + length]
    return read_content(content, file, offset, length)


@functools.lru_cache(maxsize=4)
def whole_container(content: Content, file: int) -> bytes:
    payload = read_content(content, file, 0, content.size)
    written: bytes = container(content.ext).file(
        content.size, content.record, content.d_milli > 1000, payload
    )
    return written


def read_content(content: Content, file: int, offset: int, length: int) -> bytes:
    """Bytes of a file without what a format adds, a sector at a time."""
    end = min(content.size, offset + length)
    pieces = []
    sectors_per_unit = content.unit // 512
    while offset < end:
        i, in_unit = divmod(offset, content.unit)
        g = file * content.units_per_file + i
        q = g % content.content_units
        sector, in_sector = divmod(in_unit, 512)
        data = sector_bytes(content, q * sectors_per_unit + sector)
        piece = data[in_sector : in_sector + end - offset]
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


def read_all_files(content: Content, offset: int, length: int) -> bytes:
    """Bytes of all files one after the other."""
    end = min(content.files * content.size, offset + length)
    pieces = []
    while offset < end:
        file, within = divmod(offset, content.size)
        piece = read(content, file, within, end - offset)
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)


def tree_path(content: Content, file: int) -> str:
    name = str(file).rjust(max(6, len(str(content.files - 1))), "0") + "." + content.ext
    if content.per_directory is None:
        return name
    directories = -(-content.files // content.per_directory)
    width = max(4, len(str(directories - 1)))
    return str(file // content.per_directory).rjust(width, "0") + "/" + name


def unique_bytes(content: Content) -> int:
    """Distinct content: each content unit as far as any file shows it."""
    seen: dict[int, int] = {}
    for file in range(content.files):
        for i in range(content.units_per_file):
            q = (file * content.units_per_file + i) % content.content_units
            shown = min(content.unit, content.size - i * content.unit)
            seen[q] = max(seen.get(q, 0), shown)
    return sum(seen.values())
