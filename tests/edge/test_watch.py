# SPDX-License-Identifier: Apache-2.0
"""What the watcher makes of files that are written in place, and of lines that were taken out long ago."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vaultd.core.exposure import Exposure
from vaultd.edge.watch import GONE, Watcher

OURS = f"[profile dev]\ncredential_process = {Path(sys.executable).with_name('awsvault')} get dev\n"
OTHERS = "[profile dev]\ncredential_process = /usr/bin/other\n"


class Street:
    """A directory, and a clock that the test moves."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "config"
        self.now = datetime(2026, 11, 24, tzinfo=UTC)
        self.told: list[Exposure] = []
        self.watcher = Watcher(directory, lambda: self.now, self.told.append)

    async def write(self, text: str) -> None:
        self.config.write_text(text)
        await self.watcher.look()


def test_a_line_that_is_gone_for_a_moment_is_still_known(tmp_path: Path) -> None:
    """An editor that writes in place empties the file first, and somebody may look just then."""

    async def scenario() -> None:
        street = Street(tmp_path)
        await street.write(OURS)
        await street.write("")
        street.now += GONE
        await street.write(OTHERS)
        assert [Exposure("hook-changed", "dev", "config", 2)] == street.told
        await street.write(OURS)
        assert () == street.watcher.entries()
        street.watcher.close()

    asyncio.run(scenario())


def test_a_line_that_was_taken_out_is_nobodys_business_any_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        street = Street(tmp_path)
        await street.write(OURS)
        await street.write("")
        street.now += GONE + timedelta(seconds=1)
        await street.write(OTHERS)
        assert [] == street.told
        street.watcher.close()

    asyncio.run(scenario())
