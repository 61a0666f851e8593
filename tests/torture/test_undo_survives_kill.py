# SPDX-License-Identifier: Apache-2.0
"""The undo of an import killed at any moment leaves each key in the vault or in its file; the next undo finishes it."""

from pathlib import Path

import pytest

from tests.import_kills import UNDO, killed_everywhere, somebody


def test_killed_anywhere_no_key_is_lost_and_the_next_undo_finishes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with somebody() as user:
        told = killed_everywhere(user, UNDO, tmp_path / "log")
    with capsys.disabled():
        print(f"\nundo: {told}")
