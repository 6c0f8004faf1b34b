"""Objects in S3 that are sent in parts.

Source: AWS S3 API Reference, CreateMultipartUpload and what is related to it there.
"""

import asyncio
import functools
import logging
import threading
from concurrent.futures import Future, wait

from dgenfs.machine.requests import Requests
from dgenfs.machine.store_errors import MissingObjectError, StoreError, translated
from dgenfs.machine.stores import Store

MAX_PARTS = 10_000  # of an object; AWS S3 User Guide, "Amazon S3 multipart upload limits"
ANSWER_SECONDS = 5  # that an interrupt waits for, so that no upload is left that was just begun

log = logging.getLogger(__name__)


class Multipart:
    """An object that becomes one when the last of its parts is there.

    Attributes:
        parts: how many.
    """

    def __init__(self, store: Store, parts: int) -> None:
        """Prepare to ask the store for it."""
        self.parts = parts
        self._store = store
        bucket, key, _ = store.fs.split_path(store.path)
        self._names = {"Bucket": bucket, "Key": key}
        self._tags: dict[int, str] = {}
        self._lock = threading.Lock()
        self._asked = False
        self._begun: Future[str] = Future()

    def begin(self) -> None:
        """Ask the store, and wait until parts may be sent.

        Raises:
            StoreError: the store does not take it.
        """
        self._asked = True
        # An interrupt may come before we have what this returns.
        asyncio.run_coroutine_threadsafe(self._ask(), self._store.fs.loop)
        with translated(self._store.url):
            self._names["UploadId"] = self._begun.result()

    async def _ask(self) -> None:
        try:
            answer = await self._store.fs._call_s3("create_multipart_upload", **self._names)
        except Exception as error:
            if not self._begun.cancelled():
                self._begun.set_exception(error)
        else:
            if not self._begun.cancelled():
                self._begun.set_result(answer["UploadId"])

    def put(self, number: int, body: bytearray, requests: Requests) -> bool:
        """Send part ``number``, from 0, and make the object with the last one; return whether."""
        call = functools.partial(self._store.fs._call_s3, **self._names)
        with translated(self._store.url):
            answer = requests.run(call("upload_part", PartNumber=number + 1, Body=body))
        with self._lock:
            self._tags[number + 1] = answer["ETag"]
            if len(self._tags) < self.parts:
                return False
        parts = [{"PartNumber": one, "ETag": tag} for one, tag in sorted(self._tags.items())]
        with translated(self._store.url):
            requests.run(call("complete_multipart_upload", MultipartUpload={"Parts": parts}))
        return True

    @property
    def answered(self) -> bool:
        """Whether the store has answered what it was asked."""
        return self._begun.done()

    def abort(self) -> None:
        """Have the store forget it; for who waits for none of its parts any more."""
        if not self._asked:
            return
        # Who is interrupted in ``begin`` does not know yet what the store made.
        wait([self._begun], ANSWER_SECONDS)
        if self._begun.cancel():
            log.warning("%s: no answer: parts of it may stay in the store", self._store.url)
        elif self._begun.exception() is None:
            names = {**self._names, "UploadId": self._begun.result()}
            try:
                with translated(self._store.url):
                    self._store.fs.call_s3("abort_multipart_upload", **names)
            except MissingObjectError:
                pass  # it became the object, though the answer was lost
            except StoreError as error:
                log.warning("%s: parts of it may stay in the store: %s", self._store.url, error)
