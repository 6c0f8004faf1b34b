"""Objects that are sent in parts, which nobody waits for any more."""

import socket
from concurrent.futures import Future
from typing import Any
from unittest.mock import patch

import pytest
from servers import Server

from dgenfs.api import multipart
from dgenfs.api.multipart import Multipart
from dgenfs.machine.store_errors import MissingObjectError
from dgenfs.machine.stores import open_store

BUCKET = "multipart"


def interrupted(asked: Multipart) -> None:
    """Begin it, and be interrupted before the answer is there."""
    with (
        patch.object(Future, "result", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        asked.begin()


def test_an_interrupt_before_the_answer(
    seaweedfs: Server, caplog: pytest.LogCaptureFixture
) -> None:
    seaweedfs.s3.create_bucket(Bucket=BUCKET)
    with seaweedfs.configured():
        asked = Multipart(open_store(f"s3://{BUCKET}/asked"), 3)
        asked.abort()  # which it was not yet
        interrupted(asked)
        asked.abort()
        left: dict[str, Any] = seaweedfs.s3.list_multipart_uploads(Bucket=BUCKET)
        assert "Uploads" not in left
        refused = Multipart(open_store("s3://no-bucket/x"), 3)
        with pytest.raises(MissingObjectError, match="NoSuchBucket"):
            refused.begin()
        refused.abort()
    assert not caplog.records


def test_a_store_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(multipart, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        given = {"endpoint_url": endpoint, "key": "key", "secret": "secret"}
        with patch.dict("fsspec.config.conf", {"s3": given}):
            asked = Multipart(open_store("s3a://bucket/key"), 3)
            interrupted(asked)
            asked.abort()
        assert asked.answered  # by nobody else than us
    assert caplog.messages == ["s3a://bucket/key: no answer: parts of it may stay in the store"]
