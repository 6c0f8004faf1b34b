"""Names, good and hostile, and ranges of bytes, for Hypothesis."""

import oracle
from hypothesis import strategies as st

MAX_SIZE = 2**63 - 1
UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGTPE", 1):
    UNITS |= {
        _letter: 1024**_power,
        f"{_letter}iB": 1024**_power,
        f"{_letter}B": 1000**_power,
        _letter.lower(): 1024**_power,
        f"{_letter.lower()}b": 1000**_power,
    }
CHECKSUMS = ["sha256", "sha1", "md5", "blake2b", "xxh128", "crc32"]


@st.composite
def sizes(draw: st.DrawFn, most: int = MAX_SIZE) -> str:
    """A size as names write it, at most ``most`` bytes, small ones more often."""
    ceiling = draw(st.sampled_from([0, 10, 4096, 1 << 16, 1 << 22, 1 << 24, 1 << 40, MAX_SIZE]))
    ceiling = min(ceiling, most)
    suffix, factor = draw(st.sampled_from([u for u in UNITS.items() if u[1] <= max(1, ceiling)]))
    count = draw(st.integers(0, ceiling // factor))
    size = count * factor
    text = f"{count}{suffix}"
    if factor % 4 == 0 and size + factor // 4 <= most and draw(st.booleans()):
        text = f"{count}.25{suffix}"
        size += factor // 4
    change = draw(st.integers(-min(size, 5000), min(most - size, 5000)))
    return f"{text}{change:+}" if draw(st.booleans()) else text


def ratios(most: int) -> st.SearchStrategy[str]:
    def text(milli: int) -> str:
        return f"{milli // 1000}.{milli % 1000:03}"

    some = st.sampled_from([str(n) for n in (1, 2, 3, 4, 10, most)])
    return some | st.integers(1000, most * 1000).map(text)


@st.composite
def params(draw: st.DrawFn, tree: bool = False) -> str:
    values = {
        "d": ratios(1000),
        "c": ratios(20),
        "s": st.integers(0, 2**64 - 1).map(str),
        "b": st.sampled_from(["4K", "4KiB", "16k", "65536B", "0.5M", "1M", "4M"]),
    }
    if tree:
        values["f"] = st.sampled_from(["1", "3", "1000", "9" * 20])
    chosen = draw(st.lists(st.sampled_from(sorted(values)), unique=True))
    return "".join(f"_{letter}{draw(values[letter])}" for letter in chosen)


extensions = st.sampled_from(["", ".bin", ".dat", ".x", ".Img8", ".a1234567"])


@st.composite
def names(draw: st.DrawFn, sidecars: bool = True) -> str:
    """A plain file's name."""
    sidecar = draw(st.sampled_from(["", *(f".{name}" for name in CHECKSUMS)])) if sidecars else ""
    return draw(sizes()) + draw(params()) + draw(extensions) + sidecar


@st.composite
def container_names(draw: st.DrawFn, most: int = 1 << 20) -> str:
    """The name of a file of a format, or of one too small to be."""
    format_name = draw(st.sampled_from(sorted(oracle.CONTAINERS)))
    least = oracle.container(format_name).LEAST
    size = draw(st.integers(max(0, least - 3), least + 300) | st.integers(0, most))
    record = draw(st.none() | st.integers(1, max(1, size)) | st.sampled_from([4096, 65536, 114660]))
    given = "" if record is None else f"_r{record}"
    return f"{size}{draw(params())}{given}.{format_name}"


@st.composite
def tree_names(draw: st.DrawFn, most_files: int = 10**9) -> str:
    """A tree's name."""
    files = draw(st.integers(1, min(200, most_files)) | st.integers(1, most_files))
    size = draw(sizes(MAX_SIZE // files))
    return f"{files}x{size}" + draw(params(tree=True)) + draw(extensions)


@st.composite
def hostile_names(draw: st.DrawFn) -> str:
    """What a name could be mistaken for, and what nobody would."""
    short = ["", "x", "K", "e", "1e9", "0x10", "\n", "\0", "٣", "²", "Ⅷ", "\udc80", *" _.+-dcsbf"]
    parts = ["..", "_d", "_c0", "_d1.2345", ".sha256", "9" * 30, "9" * 5000]
    odd = st.sampled_from(short + parts)
    pieces = st.lists(odd | st.text(max_size=8) | names() | tree_names(), min_size=1, max_size=6)
    mixed = pieces.map("".join)

    @st.composite
    def mutated(draw: st.DrawFn) -> str:
        name = draw(names() | tree_names())
        at = draw(st.integers(0, len(name)))
        cut = draw(st.integers(0, 3))
        return name[:at] + draw(odd | st.text(max_size=2)) + name[at + cut :]

    return draw(mixed | mutated())


@st.composite
def names_like(draw: st.DrawFn, right: bytes) -> bytes:
    """What a directory may hold instead of a file's name, or that name, or another file's."""
    nothing_else = st.binary(max_size=20).map(lambda some: some.replace(b"\0", b""))
    at = draw(st.integers(0, len(right)))
    cut = draw(st.integers(0, 2))
    digit = draw(st.sampled_from([bytes([digit]) for digit in b"0123456789/:"]))
    changed = [
        right,
        right[:at] + digit + right[at + 1 :],
        right[:at] + draw(nothing_else) + right[at + cut :],
        right[:at] + right[at + cut :],
        right.swapcase(),
        b"0" + right,
        right + b".",
    ]
    return draw(st.sampled_from(changed) | nothing_else)


@st.composite
def ranges(draw: st.DrawFn, size: int, unit: int, most: int = 1 << 16) -> tuple[int, int]:
    """An offset and a length, near the ends of sectors, units, blocks and the file more often."""
    step = draw(st.sampled_from([1, 8, 512, unit, 4 << 20]))
    near = draw(st.integers(0, size // step)) * step + draw(st.integers(-16, 16))
    from_end = size - draw(st.integers(0, min(size, 2000)))
    offset = draw(st.sampled_from([0, near, from_end]))
    length = draw(st.integers(0, 64) | st.integers(0, most))
    return min(max(0, offset), size), length
