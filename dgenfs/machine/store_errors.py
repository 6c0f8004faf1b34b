"""Errors of stores and their libraries, all in one form."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")
# Of what Python itself raises, these are of stores; the rest are our own mistakes. Paramiko raises
# EOFError where a server has gone, and fsspec NotImplementedError where a store cannot be written.
_OF_STORES = (OSError, EOFError, NotImplementedError)
_OURS = ("builtins", "concurrent", "dgenfs", "numba", "numpy")
_NUMBERS = {400: errno.EINVAL, 401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT}


class StoreError(OSError):
    """What a store, its library or the way to it failed at.

    Attributes:
        errno: ENOENT, EACCES, EEXIST or another where that is known, else EIO.
        strerror: what the library said, and the request's id.
        filename: the URL, without a password.
        request_id: the store's own of the request, None where it gave none.
    """

    def __init__(self, number: int, message: str, url: str, request_id: str | None = None) -> None:
        """Say what failed, of which URL."""
        self.request_id = request_id
        self._said = message
        request = "" if request_id is None else f" (request {request_id})"
        super().__init__(number, message + request, shown(url))

    def __reduce__(self) -> Any:
        """Return what it is made of again."""
        return type(self), (self.errno, self._said, self.filename, self.request_id)


class MissingObjectError(StoreError, FileNotFoundError):
    """A store has no object, bucket or directory of that name."""


def shown(url: str) -> str:
    """Return a URL without a password in it."""
    return _PASSWORD.sub(r"\1@", url)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Have errors of stores and their libraries be a StoreError.

    Args:
        url: of what is asked for inside.

    Raises:
        StoreError: what failed; its cause is what the library raised.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        package = type(error).__module__.split(".")[0]
        if package in _OURS and not isinstance(error, _OF_STORES):
            raise
        raise _translation(error, url) from error


def _translation(error: Exception, url: str) -> StoreError:
    number, text, request_id = _told(error)
    kind = MissingObjectError if number == errno.ENOENT else StoreError
    return kind(number, text, url, request_id)


def _told(error: Exception) -> tuple[int, str, str | None]:
    """Return errno, text and the request's id of what a library raised."""
    cause = error.__cause__
    if isinstance(error, FileNotFoundError) and type(cause).__module__.startswith("aiohttp"):
        # fsspec says so of all that keeps it from asking a web server.
        assert isinstance(cause, Exception)
        if getattr(cause, "status", None) != 404:
            return _told(cause)
    number = errno_of(error)
    response = _response(error)
    if response is not None:
        about = response.get("Error", {})
        meta = response.get("ResponseMetadata", {})
        number = number or _NUMBERS.get(meta.get("HTTPStatusCode"), errno.EIO)
        text = ": ".join(filter(None, (about.get("Code"), about.get("Message"))))
        return number, _line(text) or os.strerror(number), meta.get("RequestId") or None
    if isinstance(error, NotImplementedError):
        return errno.EOPNOTSUPP, "this store cannot do that", None
    status = getattr(error, "status", None)  # of aiohttp
    if isinstance(status, int) and status >= 400:
        text = f"HTTP {status} {getattr(error, 'message', '')}".rstrip()
        return number or _NUMBERS.get(status, errno.EIO), _line(text), None
    if number == errno.ENOENT:
        return number, "no such object or directory", None  # what s3fs and others say is a path
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return number or errno.EIO, _line(text), None


def errno_of(error: Exception) -> int:
    """Return the errno that an error has, or its class; 0 if neither has one."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    kinds: dict[type[Exception], int] = {
        FileNotFoundError: errno.ENOENT,
        PermissionError: errno.EACCES,
        FileExistsError: errno.EEXIST,
        IsADirectoryError: errno.EISDIR,
        NotADirectoryError: errno.ENOTDIR,
        TimeoutError: errno.ETIMEDOUT,
    }
    return next((number for kind, number in kinds.items() if isinstance(error, kind)), 0)


def _response(error: BaseException | None) -> dict[str, Any] | None:
    """Return what botocore kept of a store's answer, however deep; None if there is none."""
    for _ in range(8):
        if error is None:
            break
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return response
        error = error.__cause__ or error.__context__
    return None


def _line(text: str) -> str:
    return " ".join(text.split())
