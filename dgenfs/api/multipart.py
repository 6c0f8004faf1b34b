"""Objects in S3 that are sent in parts.

Source: AWS S3 API Reference, CreateMultipartUpload and what is related to it there.
"""

import asyncio
import functools
import logging
import threading
from concurrent.futures import wait

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
        """Ask the store for it; ``begin`` waits for the answer."""
        self.parts = parts
        self._store = store
        bucket, key, _ = store.fs.split_path(store.path)
        self._names = {"Bucket": bucket, "Key": key}
        self._tags: dict[int, str] = {}
        self._lock = threading.Lock()
        asked = store.fs._call_s3("create_multipart_upload", **self._names)
        self._begun = asyncio.run_coroutine_threadsafe(asked, store.fs.loop)

    def begin(self) -> None:
        """Wait until parts may be sent.

        Raises:
            StoreError: the store does not take it.
        """
        with translated(self._store.url):
            self._names["UploadId"] = self._begun.result()["UploadId"]

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
    def begun(self) -> bool:
        """Whether the store has answered."""
        return self._begun.done()

    def abort(self) -> None:
        """Have the store forget it; for who waits for none of its parts any more."""
        # Who is interrupted in ``begin`` does not know yet what the store made.
        wait([self._begun], ANSWER_SECONDS)
        if self._begun.cancel():
            log.warning("%s: no answer: parts of it may stay in the store", self._store.url)
        elif self._begun.exception() is None:
            names = {**self._names, "UploadId": self._begun.result()["UploadId"]}
            try:
                with translated(self._store.url):
                    self._store.fs.call_s3("abort_multipart_upload", **names)
            except MissingObjectError:
                pass  # it became the object, though the answer was lost
            except StoreError as error:
                log.warning("%s: parts of it may stay in the store: %s", self._store.url, error)
