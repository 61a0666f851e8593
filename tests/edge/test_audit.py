# SPDX-License-Identifier: Apache-2.0
"""An audit line is whole and down, or the caller is told that it is not."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from vaultd.edge.audit import Audit, tells_of_an_opening
from vaultd.wire.errors import Refused, StorageFailed


def lines(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_lines_are_appended_in_order_and_private(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl", fsync=True)
    audit.append({"n": 1, "text": "caf\u00e9\n\x1b"})
    audit.append({"n": 2})
    asyncio.run(audit.sync())
    assert [{"n": 1, "text": "caf\u00e9\n\x1b"}, {"n": 2}] == lines(tmp_path / "audit.jsonl")
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_crash_cut_off_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"n":1}\n{"n":')
    Audit(path, fsync=False).append({"n": 3})
    assert [b'{"n":1}', b'{"n":', b'{"n":3}'] == path.read_bytes().splitlines()


def test_a_full_disk_is_reported_until_a_line_is_down_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    audit = Audit(path, fsync=True)
    with pytest.raises(StorageFailed):
        audit.append({"n": 1})  # a link in its place was put there by somebody else
    path.unlink()
    audit._path = Path("/dev/full")
    with pytest.raises(StorageFailed) as caught:
        audit.append({"n": 1})
    assert "No space left" in caught.value.message
    assert str(audit.failure) == "No space left on device"
    audit._path = path
    audit.append({"n": 2})
    assert audit.failure is None
    assert [{"n": 2}] == lines(path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_somebody_elses_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.touch()
    os.chown(path, 1234, 1234)
    with pytest.raises(Refused):
        Audit(path, fsync=True).append({"n": 1})
    assert path.read_bytes() == b""


def test_a_deferred_fsync_happens(tmp_path: Path) -> None:
    """`sync_soon` leaves nothing dirty behind once its timer has run."""
    audit = Audit(tmp_path / "audit.jsonl", fsync=True)

    async def scenario() -> bool:
        audit.append({"n": 1})
        audit.sync_soon()
        assert audit._soon
        audit._soon.cancel()
        audit._sync_now()
        assert audit._syncing
        await audit._syncing
        return audit._dirty

    assert asyncio.run(scenario()) is False


@pytest.mark.parametrize(
    ("line", "tells"),
    [
        ({"op": "init", "verdict": "ok"}, True),
        ({"op": "unlock", "verdict": "ok"}, True),
        ({"op": "recover", "verdict": "ok"}, True),
        ({"op": "unlock", "verdict": "wrong-passphrase"}, False),
        ({"op": "lock", "verdict": "ok"}, False),
        ({"op": "get", "verdict": "locked"}, False),
    ],
)
def test_only_an_opening_is_history(tmp_path: Path, line: dict[str, str], *, tells: bool) -> None:
    """On a new machine a mistyped passphrase must not make the missing high-water mark look like an attack."""
    path = tmp_path / "audit.jsonl"
    assert not tells_of_an_opening(path)
    Audit(path, fsync=False).append(line)
    assert tells == tells_of_an_opening(path)
