"""Test data with an exact deduplication and compression ratio, generated where it is read."""

from importlib.metadata import version

from dgenfs.aio import AsyncDataGenerator
from dgenfs.file import open
from dgenfs.generator import DataGenerator, generate_data
from dgenfs.spec import Spec, SpecError

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
