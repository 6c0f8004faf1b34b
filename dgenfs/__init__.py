"""Test data with an exact deduplication and compression ratio, generated where it is read."""

from importlib.metadata import version

from dgenfs.api.aio import AsyncDataGenerator
from dgenfs.api.file import open
from dgenfs.api.generator import DataGenerator, generate_data
from dgenfs.names.spec import Spec, SpecError

__version__ = version("dgenfs")

__all__ = [
    "AsyncDataGenerator",
    "DataGenerator",
    "Spec",
    "SpecError",
    "__version__",
    "generate_data",
    "open",
]
