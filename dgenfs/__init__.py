"""Test data with an exact deduplication and compression ratio, generated where it is read."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgenfs.api.aio import AsyncDataGenerator
    from dgenfs.api.file import open
    from dgenfs.api.generator import DataGenerator, generate_data
    from dgenfs.names.grammar import SpecError
    from dgenfs.names.spec import Spec
    from dgenfs.verifying.ranges import verify_range

    __version__: str

__all__ = [
    "AsyncDataGenerator",
    "DataGenerator",
    "Spec",
    "SpecError",
    "__version__",
    "generate_data",
    "open",
    "verify_range",
]

_HOMES = {
    "AsyncDataGenerator": "dgenfs.api.aio",
    "DataGenerator": "dgenfs.api.generator",
    "Spec": "dgenfs.names.spec",
    "SpecError": "dgenfs.names.grammar",
    "generate_data": "dgenfs.api.generator",
    "open": "dgenfs.api.file",
    "verify_range": "dgenfs.verifying.ranges",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and not before: most of it loads a compiler (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("dgenfs")
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names and what is there already."""
    return sorted({*__all__, *globals()})
