# SPDX-License-Identifier: Apache-2.0
"""An import killed at any moment leaves each key in the vault or in its file; the next one finishes it: not in both."""

from pathlib import Path

import pytest

from tests.import_kills import IMPORT, killed_everywhere, somebody


def test_killed_anywhere_no_key_is_lost_and_the_next_import_finishes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with somebody(dotenv=False) as user:
        told = killed_everywhere(user, IMPORT, tmp_path / "log")
    with capsys.disabled():
        print(f"\nimport: {told}")
