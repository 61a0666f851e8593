# SPDX-License-Identifier: Apache-2.0
"""As in promises/, with a third file; and the undo of an import, killed at any moment, loses no key and can be finished."""

from pathlib import Path

import pytest

from tests.import_kills import IMPORT, UNDO, killed_everywhere, somebody


@pytest.mark.parametrize("words", [IMPORT, UNDO], ids=["import", "undo"])
def test_killed_anywhere_no_key_is_lost_and_the_next_one_finishes(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with somebody() as user:
        told = killed_everywhere(user, words, tmp_path / "log")
    with capsys.disabled():
        print(f"\n{' '.join(words)}: {told}")
