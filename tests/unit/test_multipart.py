"""Objects that are sent in parts, which nobody waits for any more."""

from typing import Any

import pytest
from servers import Server

from dgenfs.api.multipart import Multipart
from dgenfs.machine.store_errors import MissingObjectError
from dgenfs.machine.stores import open_store

BUCKET = "multipart"


def test_one_that_was_just_asked_for(seaweedfs: Server, caplog: pytest.LogCaptureFixture) -> None:
    seaweedfs.s3.create_bucket(Bucket=BUCKET)
    with seaweedfs.configured():
        Multipart(open_store(f"s3://{BUCKET}/asked"), 3).abort()
        left: dict[str, Any] = seaweedfs.s3.list_multipart_uploads(Bucket=BUCKET)
        assert "Uploads" not in left
        refused = Multipart(open_store("s3://no-bucket/x"), 3)
        with pytest.raises(MissingObjectError, match="NoSuchBucket"):
            refused.begin()
        refused.abort()
    assert not caplog.records
