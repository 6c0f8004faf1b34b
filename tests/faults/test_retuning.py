import json
from pathlib import Path

import pytest
from clients import NAME, right
from mounting import DGENFS, RETUNED, mounted


def test_counters_never_go_back(tmp_path: Path) -> None:
    with mounted(tmp_path, NAME, "--cache=8M", *RETUNED) as mount:
        for _ in range(3):  # seen, kept, and there
            right(mount.path / NAME)
        before = mount.stats()
        assert before["cache"]["0"]["hits"] > 0
        for settings in ({"cache_bytes": 0}, {"cache_bytes": 4 << 20, "workers_per_node": 3}):
            (mount.path / ".topology").write_text(json.dumps(settings))
            after = mount.stats()
            for name in ("hits", "misses", "evictions"):
                assert after["cache"]["0"][name] >= before["cache"]["0"][name]
            assert after["cache"]["0"]["resident_bytes"] == 0
            assert after["requests"]["READ"] >= before["requests"]["READ"]


def test_a_cache_that_there_is_no_room_for(tmp_path: Path) -> None:
    log = [r"\.topology: .*nothing was changed"]
    limit = ("prlimit", f"--as={4 << 30}")
    with mounted(tmp_path, NAME, *RETUNED, command=(*limit, DGENFS), expected_log=log) as mount:
        before = mount.topology()
        with pytest.raises(OSError, match="Invalid argument"):
            (mount.path / ".topology").write_text(json.dumps({"cache_bytes": 8 << 30}))
        assert mount.topology()["cache_bytes"] == before["cache_bytes"]
        right(mount.path / NAME)
