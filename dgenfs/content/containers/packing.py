"""Containers as kernels take them: programs (kernels.frames)."""

import numpy as np
from numpy.typing import NDArray

from dgenfs.content.containers.frames import Container, Crc, CrcKind, Number, Run
from dgenfs.kernels import digests, frames
from dgenfs.kernels.crc import combine, crc, masked, zeros
from dgenfs.kernels.row import WORD


def packed(container: Container) -> NDArray[np.uint64]:
    """Return a container's program, uint64[::1]; it holds an address of this process."""
    first_field = frames.FIRST + frames.RUN_WORDS * len(container.runs)
    runs: list[int] = []
    fields: list[int] = []
    text = bytearray()
    all_fields = sum(len(_varying(run)) for run in container.runs)
    text_at = WORD * (first_field + frames.FIELD_WORDS * all_fields)
    for start, run in zip(container.starts, container.runs, strict=True):
        varying = _varying(run)
        runs += [
            start,
            run.count,
            run.stride,
            len(run.head),
            run.hole,
            text_at + len(text),
            frames.NO_PAYLOAD if run.payload is None else run.payload,
            run.filler,
            first_field + len(fields),
            len(varying),
        ]
        for field in varying:
            fields += _field(field)
        text += _text(run)
    text += bytes(-len(text) % WORD)
    head = [len(container.runs), digests.TABLE.ctypes.data]
    numbers = np.array([*head, *runs, *fields], np.uint64)
    return np.concatenate([numbers, np.frombuffer(text, np.uint64)])


def _varying(run: Run) -> list[Number | Crc]:
    """Return the fields that do not stand in the text already."""
    return [one for one in run.fields if isinstance(one, Number) or one.payload is not None]


def _field(field: Number | Crc) -> list[int]:
    if isinstance(field, Number):
        numbers = [field.base, field.step, field.more, 0]
        return [field.at, field.width, field.encoding, *numbers]
    assert field.payload is not None
    before = _crc(field.before, field.kind)
    numbers = [field.payload, field.step, before, field.length]
    return [field.at, field.width, frames.CRC + field.kind, *numbers]


def _text(run: Run) -> bytes:
    """Return a run's own bytes, with the CRCs that no payload is in."""
    text = bytearray(run.head + run.tail)
    for field in run.fields:
        if isinstance(field, Crc) and field.payload is None:
            kind = np.int64(field.kind)
            value = zeros(np.uint64(field.length), kind)
            value = combine(np.uint64(_crc(field.before, field.kind)), value, field.length, kind)
            if field.kind is CrcKind.CRC_32C_MASKED:
                value = masked(value)
            at = field.at if field.at < len(run.head) else field.at - run.hole
            text[at : at + field.width] = int(value).to_bytes(field.width, "little")
    return bytes(text)


def _crc(data: bytes, kind: CrcKind) -> int:
    return int(crc(np.frombuffer(data, np.uint8), np.uint64(0), np.int64(kind)))
