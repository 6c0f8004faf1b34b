"""Names written and proved by several hosts at once, such as the workers of a Dask cluster."""

from dgenfs.distributed.generating import gen
from dgenfs.distributed.verifying import verify

__all__ = ["gen", "verify"]
